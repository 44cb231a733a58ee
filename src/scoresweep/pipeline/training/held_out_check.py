"""Does an imported network denoise held-out images better than the simplest denoiser does?

A file of weights does not say which function they belong to: another activation or another range
of the data fits as well. What can be checked is what the network does on the staged dataset.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scoresweep.metrics.noise_left import noise_left, normal_score
from scoresweep.networks.base import ScoreNetwork
from scoresweep.pipeline.data.shard_loader import random_samples
from scoresweep.seeds import generator_for

__all__ = ["HeldOutCheck", "check_held_out"]

LEVELS = 8
"""Most levels at which it is checked, the first and the last among them."""
IMAGES = (2, 64)
"""Least and most test images."""
OPERATIONS = 1.5e12
"""Floating-point operations that decide how many images are taken: seconds on a few cores."""
FITTED = 2**26
"""Most numbers of training data to which the normal distribution is fitted."""
MARGIN = 0.05
"""Share of the noise's variance by which a network has to be worse to be called so.

At the largest levels the normal distribution leaves next to nothing, and a network that was trained
a little already leaves a few hundredths more.
"""


@dataclass(frozen=True)
class HeldOutCheck:
    """What a network leaves of the noise on held-out images, level by level."""

    images: int
    level: list[int]
    """Levels that were checked, counted from 1."""
    sigma: list[float]
    noise_left: list[float]
    """Share of the noise's variance that the network leaves."""
    noise_left_by_normal: list[float]
    """The same of the score of a normal distribution with the data's mean and variance."""
    worse_at: list[int]
    """Levels at which the network is worse, by more than `MARGIN`."""

    def facts(self) -> dict[str, Any]:
        """Return the check as plain values."""
        return asdict(self) | {"verdict": self.verdict}

    def table(self) -> str:
        """Write the shares of every level in one line."""
        return "; ".join(
            f"level {level} (sigma {sigma:.3g}) {own:.2g} / {normal:.2g}"
            for level, sigma, own, normal in zip(
                self.level, self.sigma, self.noise_left, self.noise_left_by_normal, strict=True
            )
        )

    @property
    def verdict(self) -> str:
        """Say in a few words how the network did."""
        of = f"{len(self.worse_at)} of {len(self.level)} levels"
        better = "nowhere clearly worse than the score of a normal distribution"
        return f"worse than the score of a normal distribution at {of}" if self.worse_at else better


@torch.no_grad()
def check_held_out(network: ScoreNetwork, store: Path) -> HeldOutCheck:
    """Compare `network` with the score of a normal distribution on test images of `store`.

    Both denoise the same images with the same noise, on the CPU. The number of images depends on
    the network's cost alone. What a network leaves is not finite where its scores are not.
    """
    size = math.prod(network.shape)
    normal = normal_score(random_samples(store, "train", max(FITTED // size, 2)))
    last = len(network.sigmas) - 1
    levels = sorted({round(last * i / (LEVELS - 1)) for i in range(LEVELS)})
    images = random_samples(store, "test", IMAGES[1])
    affordable = OPERATIONS / max(_operations(network, images[:1]) * len(levels), 1)
    images = images[: max(IMAGES[0], int(affordable))]
    sigmas = [float(network.sigmas[level]) for level in levels]
    own, others, worse_at = [], [], []
    for level, sigma in zip(levels, sigmas, strict=True):
        noise = torch.randn(images.shape, generator=generator_for("held_out_check", level))
        left, by_normal = (noise_left(score, images, sigma, noise) for score in (network, normal))
        own.append(float(left.mean()))
        others.append(float(by_normal.mean()))
        if not own[-1] - others[-1] <= MARGIN:
            worse_at.append(level + 1)
    return HeldOutCheck(len(images), [level + 1 for level in levels], sigmas, own, others, worse_at)


def _operations(network: ScoreNetwork, image: Tensor) -> int:
    """Return the floating-point operations that the convolutions take for one score.

    (PyTorch's own counter imports its compiler, which takes longer than the whole check.)
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
