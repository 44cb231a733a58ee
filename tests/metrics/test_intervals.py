from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scoresweep.metrics import Features, frechet_distance, half_sample_errors


@pytest.mark.parametrize("count", [200, 201])
def test_error_of_a_mean(count: int) -> None:
    """The scatter over random halves gives s/√n."""
    x = torch.randn(count, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    errors = half_sample_errors(
        lambda index: {"mean": x[index].mean(), "both": x[index].mean() * torch.ones(2)},
        count,
        4000,
        torch.Generator().manual_seed(1),
    )
    expected = float(x.std()) / count**0.5
    assert float(errors["mean"]) == pytest.approx(expected, rel=0.04)
    assert errors["both"].tolist() == [pytest.approx(expected, rel=0.04)] * 2


def test_error_of_a_frechet_distance_is_its_scatter_over_fresh_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    real = Features(torch.randn(2000, 3, generator=generator, dtype=torch.float64))

    def draw() -> Tensor:
        return 1.3 * torch.randn(300, 3, generator=generator, dtype=torch.float64) + 0.2

    fresh = torch.tensor([frechet_distance(real, Features(draw())) for _ in range(150)]).std()
    x = draw()
    errors = half_sample_errors(
        lambda index: {"d": torch.tensor(frechet_distance(real, Features(x[index])))},
        300,
        150,
        generator,
    )
    assert float(errors["d"]) == pytest.approx(float(fresh), rel=0.3)
