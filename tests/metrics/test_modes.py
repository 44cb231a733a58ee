from __future__ import annotations

import pytest
import torch

from scoresweep.distributions import GaussianMixture
from scoresweep.metrics import Features, Options, modes
from scoresweep.metrics.modes import likeliest_mode


@pytest.fixture
def mixture() -> GaussianMixture:
    means = torch.tensor([[-3.0, 0.0], [3.0, 0.0], [3.5, 0.0]], dtype=torch.float64)
    weights = torch.tensor([0.1, 0.6, 0.3])
    return GaussianMixture(weights, means, torch.tensor([1.0, 0.5, 2.0]))


def test_mode_is_the_component_of_largest_responsibility(mixture: GaussianMixture) -> None:
    x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)).double() * 4
    each = [
        w.log() + torch.distributions.MultivariateNormal(m, v * torch.eye(2).double()).log_prob(x)
        for w, m, v in zip(mixture.weights, mixture.means, mixture.variances, strict=True)
    ]
    found = likeliest_mode(x, mixture)
    assert torch.equal(found, torch.stack(each).argmax(dim=0))
    assert set(found.tolist()) == {0, 1, 2}


def test_shares_and_their_error(mixture: GaussianMixture) -> None:
    drawn = torch.tensor([[-3.0, 0.0]] * 3 + [[3.0, 0.1]] * 2 + [[9.0, 9.0]] * 5)
    real = Features(torch.zeros(7, 2))
    found = modes(real, Features(drawn), Options(mixture=mixture))
    assert found["mode_share"].value.tolist() == pytest.approx([0.3, 0.2, 0.5])
    assert found["mode_weight"].value.tolist() == pytest.approx([0.1, 0.6, 0.3])
    assert found["mode_error"].value == pytest.approx(0.4)
    assert {m.dimension for n, m in found.items() if n != "mode_error"} == {"mode"}
    assert not any(measure.per_extractor for measure in found.values())


def test_samples_of_the_mixture_have_its_weights(mixture: GaussianMixture) -> None:
    apart = GaussianMixture(mixture.weights, 10 * mixture.means, torch.zeros(1))
    drawn = apart.sample(4000, 0.5, torch.Generator().manual_seed(1))
    found = modes(Features(drawn), Features(drawn), Options(mixture=apart))
    assert found["mode_error"].value < 3 * (0.6 * 0.4 / 4000) ** 0.5


def test_data_without_a_mixture_has_no_modes() -> None:
    drawn = Features(torch.zeros(3, 2))
    with pytest.raises(ValueError, match="mixture"):
        modes(drawn, drawn, Options())
