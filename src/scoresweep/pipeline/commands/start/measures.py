"""Metrics and extractors that apply to a dataset."""

from __future__ import annotations

from dataclasses import dataclass

from scoresweep.pipeline.commands.start.data_facts import DataFacts
from scoresweep.pipeline.commands.start.training_choice import Device
from scoresweep.pipeline.study.methods.metrics import METRICS

__all__ = ["Measures", "choose_measures"]

SMALLEST_PHOTOGRAPH = 24
"""Side in pixels from which features of photographs, those of the Inception network, are used."""

MANY_IMAGES = 5000
"""Real images whose Inception features a CPU computes in minutes."""


@dataclass(frozen=True)
class Measures:
    """Options of the `evaluate` block, with reasons."""

    metrics: list[str]
    extractors: list[str]
    reason: str
    """Why these extractors."""
    real_count: int | None
    """None: all real samples."""


def choose_measures(facts: DataFacts, device: Device) -> Measures:
    """Return the metrics of networks and samples, and the features that they compare."""
    extractors, reason = _extractors(facts)
    metrics = ["score_error", "frechet", "kid", "prdc", "nearest"]
    if not facts.is_image:
        metrics = ["score_error", "frechet", "energy_distance", "prdc"]
    if "classifier" in extractors:
        metrics.append("classes")
    metrics += [m.name for m in METRICS.values() if m.dataset == facts.dataset.name]
    is_slow = device == "cpu" and "inception" in extractors and facts.train_count > MANY_IMAGES
    return Measures(metrics, extractors, reason, MANY_IMAGES if is_slow else None)


def _extractors(facts: DataFacts) -> tuple[list[str], str]:
    if not facts.is_image:
        return ["pixels"], "the points themselves"
    channels, *sides = facts.shape
    if min(sides) >= SMALLEST_PHOTOGRAPH and (channels == 3 or facts.num_classes < 2):
        return ["inception"], "the published Inception network: frechet is the FID, kid the KID"
    kind = "grey images" if channels == 1 else "small images"
    if facts.num_classes < 2:
        return ["pixels"], f"the pixels themselves, for {kind} without classes"
    return (
        ["classifier", "pixels"],
        f"a network trained on the {facts.num_classes} classes, for {kind}; and the pixels",
    )
