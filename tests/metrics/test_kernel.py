from __future__ import annotations

import pytest
import torch
from torchmetrics.image.kid import KernelInceptionDistance, poly_mmd

from scoresweep.metrics import Features, Options, kernel_distance, kid
from scoresweep.metrics.kernel import squared_mmd


def pair(count: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(count, 7, generator=generator, dtype=torch.float64)
    return x, 1.2 * torch.randn(count, 7, generator=generator, dtype=torch.float64) + 0.3


def test_agrees_with_torchmetrics() -> None:
    x, y = pair()
    assert float(squared_mmd(x, y)) == pytest.approx(float(poly_mmd(x, y)), rel=1e-10)


class Identity(torch.nn.Module):
    num_features = 7

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def of_torchmetrics(x: torch.Tensor, y: torch.Tensor, subsets: int, size: int) -> list[float]:
    """Return mean and standard deviation over random subsets."""
    theirs = KernelInceptionDistance(Identity(), subsets=subsets, subset_size=size)
    theirs.set_dtype(torch.float64)
    theirs.update(x, real=True)
    theirs.update(y, real=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return [float(value) for value in theirs.compute()]


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save")
def test_agrees_with_torchmetrics_over_subsets() -> None:
    x, y = pair()
    mean, std = of_torchmetrics(x, y, 50, 40)
    ours = kernel_distance(x, y, 50, 40, torch.Generator().manual_seed(0))
    assert ours == pytest.approx(mean, abs=5 * std * (2 / 50) ** 0.5)


@pytest.mark.filterwarnings("ignore:Metric `Kernel Inception Distance` will save")
def test_kid_of_all_samples_agrees_with_torchmetrics() -> None:
    x, y = pair()
    options = Options(kid_subsets=2, kid_subset_size=60)
    ours = kid(Features(x), Features(y), options)["kid"].value
    assert ours == pytest.approx(of_torchmetrics(x, y, 2, 60)[0], rel=1e-10)


def test_is_unbiased_for_equal_distributions() -> None:
    """The mean over independent pairs is zero within five standard errors."""
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(2, 400, 10, 3, generator=generator, dtype=torch.float64)
    values = torch.stack([squared_mmd(x, y) for x, y in zip(*draws, strict=True)])
    assert abs(values.mean()) < 5 * values.std() / 20


def test_depends_on_the_seed_only_and_uses_all_of_a_small_set() -> None:
    x, y = pair()
    options = Options(kid_subsets=3, kid_subset_size=20, seed=1)
    first, second = (kid(Features(x), Features(y), options)["kid"].value for _ in range(2))
    assert first == second
    assert kid(Features(x), Features(y), Options(3, 3, 20, seed=2))["kid"].value != first
    generator = torch.Generator().manual_seed(0)
    assert kernel_distance(x, y, 2, 250, generator) == pytest.approx(float(squared_mmd(x, y)))
    with pytest.raises(ValueError, match="2 samples or more"):
        kernel_distance(x, y[:1], 2, 250, generator)


def test_kept_sums_of_real_samples_are_those_of_the_options() -> None:
    """Samples that were compared before, with any options, give the same bits as new ones."""
    x, y = pair()
    real = Features(x)
    for options in (Options(5, 3, 20), Options(5, 3, 20, seed=1), Options(5, 4, 20), Options(5, 3)):
        for generated in (Features(y), Features(y[:30] + 1), Features(y)):
            kept = kid(real, generated, options)["kid"].value
            assert kept == kid(Features(x), generated, options)["kid"].value
