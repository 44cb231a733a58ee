"""Check that an imported network denoises held-out images better than a Gaussian denoiser.

A weight file does not record the activation or the data range: weights load with the wrong ones,
too. The check runs the network on the staged dataset instead.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scoresweep.metrics.noise_left import noise_left, normal_score
from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.data.shard_loader import random_samples
from scoresweep.seeds import generator_for

__all__ = ["HeldOutCheck", "check_held_out"]

LEVELS = 8
"""Maximum number of levels checked, including the first and the last."""
IMAGES = (2, 64)
"""Minimum and maximum number of test images."""
OPERATIONS = 1.5e12
"""Budget of floating-point operations: a few seconds on a few cores."""
FITTED = 2**26
"""Maximum number of training values used to fit the normal distribution."""
MARGIN = 0.05
"""How much more of the noise variance a network may leave before it counts as worse.

At the largest levels the normal distribution leaves almost none, and even a good network leaves a
few hundredths more.
"""


@dataclass(frozen=True)
class HeldOutCheck:
    """How much noise a network leaves in held-out images, per level."""

    images: int
    level: list[int]
    """Levels that were checked, counted from 1."""
    sigma: list[float]
    noise_left: list[float]
    """Share of the noise variance that the network leaves."""
    noise_left_by_normal: list[float]
    """The same for the score of a normal distribution with the data's mean and variance."""
    worse_at: list[int]
    """Levels at which the network is worse, by more than `MARGIN`."""

    def facts(self) -> dict[str, Any]:
        """Return the check as plain values."""
        return asdict(self) | {"verdict": self.verdict}

    def table(self) -> str:
        """Return the shares of all levels as one line."""
        return "; ".join(
            f"level {level} (sigma {sigma:.3g}) {own:.2g} / {normal:.2g}"
            for level, sigma, own, normal in zip(
                self.level, self.sigma, self.noise_left, self.noise_left_by_normal, strict=True
            )
        )

    @property
    def verdict(self) -> str:
        """Summary of the result."""
        of = f"{len(self.worse_at)} of {len(self.level)} levels"
        better = "nowhere clearly worse than the score of a normal distribution"
        return f"worse than the score of a normal distribution at {of}" if self.worse_at else better


@torch.no_grad()
def check_held_out(network: ScoreNetwork, store: Path) -> HeldOutCheck:
    """Compare `network` with the score of a normal distribution on test images of `store`.

    Both denoise the same images with the same noise, on the CPU. The number of images depends
    only on the network's cost. Shares are not finite if the network's scores are not.
    """
    size = math.prod(network.shape)
    normal = normal_score(random_samples(store, "train", max(FITTED // size, 2)))
    last = len(network.sigmas) - 1
    levels = sorted({round(last * i / (LEVELS - 1)) for i in range(LEVELS)})
    images = random_samples(store, "test", IMAGES[1])
    affordable = OPERATIONS / max(_operations(network, images[:1]) * len(levels), 1)
    images = images[: max(IMAGES[0], int(affordable))]
    sigmas = [float(network.sigmas[level]) for level in levels]
    own, by_normal, worse_at = [], [], []
    for level, sigma in zip(levels, sigmas, strict=True):
        noise = torch.randn(images.shape, generator=generator_for("held_out_check", level))
        left, left_by_normal = (
            noise_left(score, images, sigma, noise) for score in (network, normal)
        )
        own.append(float(left.mean()))
        by_normal.append(float(left_by_normal.mean()))
        if not own[-1] - by_normal[-1] <= MARGIN:
            worse_at.append(level + 1)
    return HeldOutCheck(
        len(images), [level + 1 for level in levels], sigmas, own, by_normal, worse_at
    )


def _operations(network: ScoreNetwork, image: Tensor) -> int:
    """Return the floating-point operations of the convolutions for one score.

    PyTorch's own counter imports its compiler, which takes longer than the whole check.
    """
    counted = []

    def count(convolution: nn.Module, _: Any, output: Tensor) -> None:
        weight = convolution.get_parameter("weight")
        counted.append(2 * weight[0].numel() * output.numel())

    convolutions = [part for part in network.modules() if isinstance(part, nn.Conv2d)]
    hooks = [part.register_forward_hook(count) for part in convolutions]
    network(image, network.sigmas[:1])
    for hook in hooks:
        hook.remove()
    return sum(counted)
