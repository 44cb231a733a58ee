"""Floating-point spacing of data far from the origin."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from exact_targets import generator

from scoresweep.noise import geometric
from scoresweep.samplers import langevin
from scoresweep.samplers.float_spacing import float_spacing, last_drift

FAR = 100.0


@pytest.mark.parametrize("size", [1e-3, 0.3, 1.0, 100.0, 3e7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_spacing_agrees_with_numpy(size: float, dtype: torch.dtype) -> None:
    x = torch.tensor([[0.0, -size], [0.1 * size, size]], dtype=dtype)
    expected = np.spacing(x.numpy()[1, 1])
    assert float_spacing(x) == expected
    assert float_spacing(torch.zeros(3, 2)) == 0


def test_the_last_drift_is_that_of_a_step_or_the_last_gap() -> None:
    sigmas = geometric(1.0, 0.25, 3)
    none = torch.full((3,), math.nan)
    assert last_drift(sigmas, torch.tensor([9.0, 9.0, 0.01])) == pytest.approx(0.04)
    assert last_drift(sigmas, none) == pytest.approx(0.25)  # 0.5 to 0.25
    assert last_drift(sigmas[-1:], none[:1]) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("moves", "least", "most"), [(4.0, 0.97, 1.03), (1.0, 0.97, 1.05), (0.25, 1.3, 5.0)]
)
def test_the_variance_is_right_if_a_move_is_at_least_a_float_spacing(
    moves: float, least: float, most: float
) -> None:
    """Data of one point at 100: stationary variance σ²·2a/(1 − (1−a)²), a = η/σ² = 0.05."""
    a, gap = 0.05, float_spacing(torch.tensor([[FAR]]))
    sigma = moves * gap / a
    x = FAR + sigma * torch.randn(20_000, 1, generator=generator(1))
    sigmas = torch.tensor([sigma], dtype=torch.float64)
    assert last_drift(sigmas, torch.tensor([a * sigma**2])) == pytest.approx(moves * gap)
    options = {"step_size": a * sigma**2, "steps": 100, "denoise": False}

    def point(x: torch.Tensor, sigma_n: torch.Tensor) -> torch.Tensor:
        return (FAR - x) / sigma_n[:, None] ** 2

    found = langevin(point, x, sigmas, generator=generator(2), **options)
    variance = float((found.double() - FAR).square().mean())
    assert least < variance / (sigma**2 * 2 * a / (1 - (1 - a) ** 2)) < most
