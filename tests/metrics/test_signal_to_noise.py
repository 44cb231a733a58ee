"""The signal-to-noise ratio of Langevin steps against the steps themselves."""

from __future__ import annotations

import torch

from scoresweep.metrics.signal_to_noise import signal_to_noise
from scoresweep.samplers.step_sizes import step_sizes

SIGMAS = torch.tensor([2.0, 0.5, 0.1], dtype=torch.float64)


def test_is_the_ratio_of_drift_and_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    score, noise = torch.randn(2, 3, 100_000, generator=generator, dtype=torch.float64)
    score, steps = score / SIGMAS[:, None], torch.tensor([0.3, 0.02, 1e-3], dtype=torch.float64)
    signal, random = steps[:, None] * score, (2 * steps[:, None]).sqrt() * noise
    norm = SIGMAS * score.square().mean(1).sqrt()
    expected = (signal.square().sum(1) / random.square().sum(1)).sqrt()
    torch.testing.assert_close(signal_to_noise(steps, SIGMAS, norm), expected, rtol=0.01, atol=0)


def test_only_the_variance_rule_has_a_constant_ratio() -> None:
    one = torch.ones(3, dtype=torch.float64)  # of a score that grows as 1/σ
    for rule, power in (("variance", 0), ("denoise", 0), ("linear", -0.5), ("constant", -1)):
        ratio = signal_to_noise(step_sizes(rule, SIGMAS, 1e-3), SIGMAS, one)
        torch.testing.assert_close(ratio / ratio[0], (SIGMAS / SIGMAS[0]) ** power)
    ratio = signal_to_noise(step_sizes("variance", SIGMAS, 1e-3), SIGMAS, one)
    torch.testing.assert_close(ratio, 0.05**0.5 * one)  # √(ε/2)/σ_L
