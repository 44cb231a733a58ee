"""Starting points."""

from __future__ import annotations

import pytest
import torch

from scoresweep.samplers import initial_samples


def generator():
    return torch.Generator().manual_seed(5)


def draw(kind, **options):
    return initial_samples(kind, 50_000, (2, 3), sigma_max=4.0, generator=generator(), **options)


def test_uniform_fills_the_unit_interval():
    x = draw("uniform")
    assert x.shape == (50_000, 2, 3)
    assert x.min() >= 0
    assert x.max() < 1
    # 300,000 numbers: standard errors 5e-4 of the mean, 1.4e-4 of the variance.
    assert float(x.mean()) == pytest.approx(1 / 2, abs=0.002)
    assert float(x.var()) == pytest.approx(1 / 12, abs=0.0006)


def test_normal_has_the_largest_noise_level():
    x = draw("normal")
    # Standard errors 0.0073 of the mean, 0.041 of the variance.
    assert float(x.mean()) == pytest.approx(0, abs=0.03)
    assert float(x.var()) == pytest.approx(16, abs=0.17)


def test_data_plus_noise_adds_the_largest_noise_level_to_training_samples():
    data = torch.stack([torch.full((2, 3), 0.0), torch.full((2, 3), 100.0)])
    x = draw("data_plus_noise", data=data)
    upper = x.mean((1, 2)) > 50
    assert float(upper.float().mean()) == pytest.approx(0.5, abs=0.01)
    noise = x - 100 * upper[:, None, None]
    assert float(noise.mean()) == pytest.approx(0, abs=0.03)
    assert float(noise.var()) == pytest.approx(16, abs=0.17)


def test_data_plus_noise_needs_data():
    with pytest.raises(ValueError, match="data"):
        draw("data_plus_noise")


@pytest.mark.parametrize("kind", ["uniform", "normal", "data_plus_noise"])
def test_samples_depend_on_the_generator(kind):
    data = torch.rand(7, 2, 3)
    assert torch.equal(draw(kind, data=data), draw(kind, data=data))
    other = initial_samples(kind, 50_000, (2, 3), sigma_max=4.0, data=data)
    assert not torch.equal(draw(kind, data=data), other)
