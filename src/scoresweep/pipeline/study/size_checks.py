"""Mistakes that the shape and the number of samples show, as far as these are known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.known_size import known_size, known_training_count
from scoresweep.pipeline.study.methods.datasets import Size
from scoresweep.pipeline.study.methods.metrics import IMAGE_EXTRACTORS
from scoresweep.pipeline.study.methods.networks import UNet
from scoresweep.pipeline.system.console import say

if TYPE_CHECKING:
    from scoresweep.pipeline.study.plan import Plan, Run

__all__ = ["check_staged", "shape_mistakes"]


def check_staged(plan: Plan, where: str) -> None:
    """Raise `InputError` naming what does not fit the data as they are staged, or known before.

    Attention at sizes that no feature map has does no harm, and is only said. Only `scoresweep
    plan` does so: data that have changed may fit once they are staged again.
    """
    sizes = {d.id: known_size(plan.paths, d) for d in plan.study.dataset}
    mistakes = dict.fromkeys([*shape_mistakes(plan, sizes), *_batches(plan)])
    if mistakes:
        raise InputError("\n".join(f"{where}: {mistake}" for mistake in mistakes))
    for note in dict.fromkeys(_idle_attention(plan, sizes)):
        say(f"{where}: {note}")


def shape_mistakes(plan: Plan, sizes: dict[str, Size | None]) -> Iterable[str]:
    """Say what does not fit the shapes of samples; `sizes` has them by the id of the dataset."""
    for run in plan.runs:
        size = sizes[run.dataset.id]
        if size is not None:
            yield from run.train.objective.problems(math.prod(size[0]))
            if len(size[0]) != 3:
                yield from _points(run)
        yield from _small_images(run, size)
    needy = sorted(IMAGE_EXTRACTORS.intersection(plan.extractors))
    points = [name for name, size in sizes.items() if size is not None and len(size[0]) != 3]
    for dataset, name in itertools.product(points, needy):
        yield (
            f"evaluate.extractors: {name}: needs images, and {dataset} has points; expected "
            f"[pixels], the points as they are"
        )


def _points(run: Run) -> Iterable[str]:
    """What cannot be done with points."""
    network = run.train.network
    if network.needs_images:
        yield (
            f"train.network: {network.name}: needs images, and {run.dataset.id} has points; "
            f"expected mlp"
        )
    if run.train.flip:
        yield f"train.flip: true: mirrors images, and {run.dataset.id} has points"


def _small_images(run: Run, size: Size | None) -> Iterable[str]:
    """Images too small for the stages of a network."""
    network = run.train.network
    sides = size[0][1:] if size is not None else (getattr(run.dataset, "size", None),)
    side = min((side for side in sides if side is not None), default=None)
    if side is not None and side < network.smallest_side:
        few = " or fewer multipliers" if isinstance(network, UNet) else ""
        yield (
            f"train.network: {network.name}: halves images of {side} pixels a side to less "
            f"than one; expected {network.smallest_side} pixels or more{few}, found "
            f"{run.dataset.id}"
        )


def _idle_attention(plan: Plan, sizes: dict[str, Size | None]) -> Iterable[str]:
    """Sizes of `attention` that no feature map of a U-Net has."""
    for run in plan.runs:
        network, size = run.train.network, sizes[run.dataset.id]
        if isinstance(network, UNet) and size is not None and len(size[0]) == 3:
            maps = [max(size[0][1:]) >> stage for stage in range(len(network.multipliers))]
            if idle := [side for side in network.attention if side not in maps]:
                yield (
                    f"train.network.attention: {list(idle)}: no feature map of {network.name} has "
                    f"this size with {run.dataset.id}; they have {', '.join(map(str, maps))} pixels"
                )


def _batches(plan: Plan) -> Iterable[str]:
    """Batches larger than the training set."""
    counts = {d.id: known_training_count(plan.paths, d) for d in plan.study.dataset}
    for run in plan.runs:
        count, size = counts[run.dataset.id], run.train.batch_size
        if run.train.network.is_trained and count is not None and size > count:
            yield (
                f"train.batch_size: {size}: the dataset {run.dataset.id} has only {count:,} "
                f"training samples; expected that many or fewer"
            )
