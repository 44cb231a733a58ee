"""A network and its training that fit the size of the samples and the device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from scoresweep.pipeline.commands.start.data_facts import DataFacts

__all__ = ["Device", "TrainingChoice", "choose_training"]

Device = Literal["cpu", "gpu"]

LARGEST_FOR_MLP = 16
"""Side in pixels up to which a multilayer perceptron replaces a convolutional network on a CPU."""

LEVELS_ON_CPU = 60
"""Levels for a U-Net on a CPU, as in config/studies/fashion_mnist.yaml."""

FACTORS = (1 / 3, 1, 3, 6)
FACTORS_OF_SMALL = (1, 2, 4, 6)
"""Step sizes of the grid, in units of Technique 4's: small networks, trained for minutes, do best
above it (docs/gallery)."""

SIDE_OF_LAST_STAGE = 8
"""Approximate side in pixels of the smallest feature maps of a U-Net."""


@dataclass(frozen=True)
class TrainingChoice:
    """Options of the `train` and `sample` blocks, each with the reason for its numbers."""

    network: dict[str, Any]
    network_reason: str
    optimizer: dict[str, Any]
    optimizer_reason: str
    steps: int
    steps_reason: str
    batch_size: int
    batch_reason: str
    steps_per_level: int
    steps_per_level_reason: str
    count: int
    count_reason: str
    factors: tuple[float, ...] = FACTORS
    """Step sizes of the grid, in units of Technique 4's."""
    max_levels: int | None = None
    """Maximum number of levels, to be quick; None: as many as Technique 2 gives."""


def choose_training(facts: DataFacts, device: Device) -> TrainingChoice:
    """Return options for the data on a CPU or a GPU."""
    side = max(facts.shape[1:]) if facts.is_image else 0
    if not facts.is_image or (device == "cpu" and side <= LARGEST_FOR_MLP):
        return _mlp(facts, device)
    return _unet(facts, side) if device == "cpu" else _ncsnv2(facts, side)


def _mlp(facts: DataFacts, device: Device) -> TrainingChoice:
    size = {"width": 512, "blocks": 4} if facts.is_image else {"width": 256, "blocks": 3}
    kind = "images of up to 16 pixels" if facts.is_image else "points"
    batch, reason = _batch(128, facts, "as config/config.yaml")
    return TrainingChoice(
        {"name": "mlp"} | size,
        f"a residual multilayer perceptron, enough for {kind}: {facts.dimension:,} values a sample",
        {"learning_rate": 1e-3, "schedule": "cosine"},
        "those of config/config.yaml",
        3000 if device == "cpu" else 20_000,
        "as config/config.yaml" if device == "cpu" else "a guess: more than on a CPU",
        batch,
        reason,
        5,
        "as NCSNv2",
        1000 if device == "cpu" else 10_000,
        "more samples narrow the intervals; values of different counts cannot be compared",
        FACTORS_OF_SMALL if device == "cpu" else FACTORS,
    )


def _unet(facts: DataFacts, side: int) -> TrainingChoice:
    halvings = max(1, round(math.log2(side / SIDE_OF_LAST_STAGE)))
    halvings = min(halvings, int(math.log2(min(facts.shape[1:]))))
    like = "as config/studies/fashion_mnist.yaml" if side <= 32 else "small, for large images"
    batch, reason = _batch(64 if side <= 32 else 16, facts, like)
    return TrainingChoice(
        {
            "name": "unet",
            "channels": 16,
            "multipliers": [1] + [2] * halvings,
            "blocks": 1,
            "attention": [side >> halvings],
            "data_std": float(f"{math.hypot(facts.std, facts.mean - 0.5):.2g}"),
        },
        f"a U-Net with half the channels of config/studies/fashion_mnist.yaml, to be quick on a "
        f"CPU;\nstages down to {side >> halvings} pixels; data_std is the root mean square of "
        f"pixel - 1/2",
        {"learning_rate": 1e-3, "schedule": "cosine", "warmup": 100},
        "those of config/studies/fashion_mnist.yaml",
        2500,
        "slightly fewer than in config/studies/fashion_mnist.yaml; more give better samples",
        batch,
        reason,
        1,
        "1, to be quick on a CPU; NCSNv2 has 5",
        500,
        "few, to be quick on a CPU; values of different counts cannot be compared",
        FACTORS_OF_SMALL,
        LEVELS_ON_CPU,
    )


def _ncsnv2(facts: DataFacts, side: int) -> TrainingChoice:
    name, batch = "ncsnv2_deepest", 16
    if side <= 64:
        name, batch = "ncsnv2", 128
    elif side <= 128:
        name, batch = "ncsnv2_deeper", 32
    like = "as NCSNv2" if side <= 64 else "a guess, for one GPU; NCSNv2 has 128, on several"
    size, reason = _batch(batch, facts, like)
    return TrainingChoice(
        {"name": name, "channels": 128},
        f"NCSNv2's network for images of {side} pixels",
        {"learning_rate": 1e-4},
        "that of NCSNv2",
        100_000,
        "a third of NCSNv2's for CIFAR-10",
        size,
        reason,
        5,
        "as NCSNv2",
        10_000,
        "values of different counts cannot be compared; published ones are of 50,000, or 10,000",
    )


def _batch(wanted: int, facts: DataFacts, reason: str) -> tuple[int, str]:
    """Return the batch size: `wanted`, or the largest power of two in a small training set."""
    if wanted <= facts.train_count:
        return wanted, reason
    size = 1 << int(math.log2(facts.train_count))
    return size, f"the largest power of two in {facts.train_count:,} training samples"
