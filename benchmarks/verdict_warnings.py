"""Whether warnings about the best setting are right: networks of digits, trained briefly and long.

One training with a constant learning rate has all shorter ones as its beginnings. Each row has the
share of noise of the samples at a step (`share_of_noise`, of the Fréchet distance of pixels), the
relative fall of the loss up to there, which warnings come of them, and by which factor the distance
beyond that of real samples changes if the training is three times as long (`longer`). Each value is
the mean over seeds; the warnings are those of the mean share and of the mean curve.

Then flat curves and straight ones with noise show how often a fall is found (`found`: share of
curves of which the interval is above 0).

    python benchmarks/verdict_warnings.py --output verdict_warnings.json
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch
from harness import Benchmark, begin, command_line
from sklearn.datasets import load_digits
from torch import Tensor

from scoresweep.metrics.frechet import frechet_distance
from scoresweep.networks import MLP
from scoresweep.noise import geometric, max_distance
from scoresweep.objectives import dsm
from scoresweep.pipeline.report.warnings.distance_scale import LIMIT, share_of_noise
from scoresweep.pipeline.report.warnings.falling_loss import LEAST, loss_fall
from scoresweep.samplers import annealed_langevin

STEPS = [30, 90, 270, 810, 2430]
WIDTHS = [8, 128]
BATCH = 128
SEEDS = 2
DRAWN = 500
FALLS = (0.0, 0.01, 0.02, 0.05)
"""Relative falls over the last third of simulated curves."""


def train(
    data: Tensor, sigmas: Tensor, width: int, seed: int, steps: Sequence[int]
) -> tuple[list[float], list[Tensor]]:
    """Return the loss of each step, and samples of the averaged weights after each of `steps`."""
    torch.manual_seed(seed)
    network = MLP(data.shape[1:], sigmas, width=width, blocks=2)
    average = copy.deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    losses, drawn = [], []
    for step in range(1, steps[-1] + 1):
        x = data[torch.randint(len(data), (BATCH,))]
        sigma = sigmas[torch.randint(len(sigmas), (BATCH,))]
        loss = dsm(network, x, sigma, torch.randn_like(x)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        decay = min(0.999, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, new in zip(average.parameters(), network.parameters(), strict=True):
                mean.lerp_(new, 1 - decay)
        losses.append(loss.item())
        if step in steps:
            start = 0.5 + sigmas[0] * torch.randn(DRAWN, *data.shape[1:])
            x = annealed_langevin(average, start, sigmas, step_size=3e-3, denoise=True)
            drawn.append(x.clamp(0, 1))
    return losses, drawn


def train_and_measure(benchmark: Benchmark) -> None:
    """Add a row for each width and number of steps."""
    steps = STEPS[:3] if benchmark.options.quick else STEPS
    images = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 16
    test, held_out, data = images[:DRAWN], images[DRAWN : 2 * DRAWN], images[2 * DRAWN :]
    sigmas = geometric(max_distance(data.flatten(1)), 0.1, 10).float()
    real = frechet_distance(held_out, test)
    noise = frechet_distance(
        torch.rand(test.shape, generator=torch.Generator().manual_seed(0)), test
    )
    for width in WIDTHS:
        trained = [train(data, sigmas, width, seed, steps) for seed in range(SEEDS)]
        values = np.mean(
            [[frechet_distance(x, test) for x in drawn] for _, drawn in trained], axis=0
        )
        curve = np.mean([losses for losses, _ in trained], axis=0)
        for index, step in enumerate(steps):
            every = max(1, step // 200)
            points = curve[: step // every * every].reshape(-1, every).mean(axis=1)
            fall = loss_fall(points)
            assert fall is not None
            share = share_of_noise("frechet_pixels", values[index], real, noise)
            after = values[index + 1] - real if index + 1 < len(steps) else np.nan
            benchmark.add(
                width=width,
                steps=step,
                share_of_noise=share,
                near_noise=share > LIMIT,
                loss_fall=fall.value,
                fall_low=fall.low,
                falling_loss=fall.low >= LEAST,
                longer=float(after / (values[index] - real)),
            )


def simulate(benchmark: Benchmark, curves: int) -> None:
    """Add a row for each fall: how often it is found, with independent and correlated points."""
    random = np.random.default_rng(0)
    for fall in FALLS:
        line = 1 - fall * np.maximum(0, np.arange(120) - 80) / 40
        for correlation in (0.0, 0.5):
            noise = random.standard_normal((curves, 121))
            noise = noise[:, 1:] + correlation * noise[:, :-1]
            falls = [loss_fall(curve) for curve in line + 0.02 * noise]
            is_found = [each is not None and each.low > 0 for each in falls]
            benchmark.add(fall=fall, correlation=correlation, found=float(np.mean(is_found)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    benchmark = begin(command_line(__doc__, repeats=1), arguments)
    train_and_measure(benchmark)
    simulate(benchmark, 50 if benchmark.options.quick else 1000)
    benchmark.finish()


if __name__ == "__main__":
    main()
