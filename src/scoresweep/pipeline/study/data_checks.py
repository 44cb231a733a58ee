"""Checks against the data: does a study fit the shape and the number of the samples?

`check_plan` runs those that need only the study file, `check_data` also looks at staged data.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.dataset_size import dataset_size, training_count
from scoresweep.pipeline.study.methods.datasets import Size
from scoresweep.pipeline.study.methods.networks import NCSNpp, UNet
from scoresweep.pipeline.study.methods.sigma_laws import LogNormal
from scoresweep.pipeline.study.real_statistics import read_statistics
from scoresweep.pipeline.system.console import say

if TYPE_CHECKING:
    from scoresweep.pipeline.study.plan import Plan, Run

__all__ = ["check_data", "shape_problems"]


def check_data(plan: Plan, where: str) -> None:
    """Raise `InputError` if the study does not fit its data, as staged or as known in advance.

    Attention sizes without effect, and training levels and starting points that do not suit the
    ladder, are only warnings. Only `scoresweep plan` runs this check: if the data have changed, the
    study may fit once they are staged again.
    """
    sizes = {d.id: dataset_size(plan.paths, d) for d in plan.study.dataset}
    problems = dict.fromkeys([*shape_problems(plan, sizes), *_batch_problems(plan)])
    if problems:
        raise InputError("\n".join(f"{where}: {problem}" for problem in problems))
    warnings = [*_unused_attention(plan, sizes), *_far_laws(plan), *_starts_without_noise(plan)]
    for warning in dict.fromkeys(warnings):
        say(f"{where}: {warning}")


def shape_problems(plan: Plan, sizes: dict[str, Size | None]) -> Iterable[str]:
    """Yield what does not fit the sample shapes; `sizes` maps dataset ids to sizes."""
    for run in plan.runs:
        size = sizes[run.dataset.id]
        if size is not None:
            yield from run.train.objective.problems(math.prod(size[0]))
            if len(size[0]) != 3:
                yield from _point_problems(run)
        yield from _small_images(run, size)
    yield from _unfit_measurements(plan, sizes)
    yield from _statistics_of_others(plan, sizes)


def _unfit_measurements(plan: Plan, sizes: dict[str, Size | None]) -> Iterable[str]:
    """Yield extractors and metrics that need other samples."""
    metrics = [metric for e in plan.evaluate_blocks for metric in e.sample_metrics]
    shapes = [(dataset, size[0]) for dataset, size in sizes.items() if size is not None]
    for dataset, shape in shapes:
        is_image = len(shape) == 3
        for extractor in plan.extractors.values():
            if extractor.needs_images and not is_image:
                yield (
                    f"evaluate.extractors: {extractor.name}: needs images, but {dataset} has "
                    f"points; expected [pixels], which takes points as they are"
                )
            if is_image and min(shape[1:]) < extractor.smallest_side:
                yield (
                    f"evaluate.extractors: {extractor.name}: needs images of "
                    f"{extractor.smallest_side} pixels or more, but those of {dataset} have "
                    f"{min(shape[1:])}; expected another extractor"
                )
        for metric in metrics:
            if metric.needs_images and not is_image:
                yield (
                    f"evaluate.metrics: {metric.name}: needs images, but {dataset} has points; "
                    f"expected another metric"
                )


def _statistics_of_others(plan: Plan, sizes: dict[str, Size | None]) -> Iterable[str]:
    """Yield real statistics with another number of features than the samples have values."""
    for evaluate in plan.evaluate_blocks:
        path = evaluate.real_statistics
        if path is None or "pixels" not in evaluate.extractors:
            continue
        try:
            found = len(read_statistics(path).mu)
        except ValueError:
            continue  # `check_plan` says what is wrong with the file
        for dataset, size in sizes.items():
            if size is not None and math.prod(size[0]) != found:
                yield (
                    f"evaluate.real_statistics: {path}: has {found:,} features, but a sample of "
                    f"{dataset} has {math.prod(size[0]):,} values, the features of the extractor "
                    f"pixels; expected statistics of them, or another extractor"
                )


def _point_problems(run: Run) -> Iterable[str]:
    """Yield options that need images, for a dataset of points."""
    network = run.train.network
    if network.needs_images:
        yield (
            f"train.network: {network.name}: needs images, but {run.dataset.id} has points; "
            f"expected mlp or plain_mlp"
        )
    if run.train.flip:
        yield (f"train.flip: true: mirrors images, but {run.dataset.id} has points; expected false")


def _small_images(run: Run, size: Size | None) -> Iterable[str]:
    """Yield a problem if the network cannot halve the images often enough."""
    network = run.train.network
    sides = size[0][1:] if size is not None else (getattr(run.dataset, "size", None),)
    known = [side for side in sides if side is not None]
    side, divisor = min(known, default=None), network.side_divisor
    if any(side % divisor for side in known):
        yield (
            f"train.network: {network.name}: images of {run.dataset.id} cannot be halved for each "
            f"of its stages: {' x '.join(map(str, known))} pixels; expected multiples of {divisor} "
            f"pixels, or fewer multipliers"
        )
    elif side is not None and side < network.smallest_side:
        fewer_stages = ", or fewer multipliers" if isinstance(network, UNet) else ""
        yield (
            f"train.network: {network.name}: images of {run.dataset.id} are too small to be "
            f"halved at each stage: {side} pixels; expected at least {network.smallest_side} "
            f"pixels{fewer_stages}"
        )


def _unused_attention(plan: Plan, sizes: dict[str, Size | None]) -> Iterable[str]:
    """Yield a warning for `attention` sizes that no feature map of the network has."""
    for run in plan.runs:
        network, size = run.train.network, sizes[run.dataset.id]
        if isinstance(network, UNet | NCSNpp) and size is not None and len(size[0]) == 3:
            maps = [max(size[0][1:]) >> stage for stage in range(len(network.multipliers))]
            if unused := [side for side in network.attention if side not in maps]:
                yield (
                    f"train.network.attention: {unused}: has no effect: on {run.dataset.id}, the "
                    f"feature maps of {network.name} have {', '.join(map(str, maps))} pixels"
                )


def _far_laws(plan: Plan) -> Iterable[str]:
    """Yield a warning for laws of σ in training whose median is outside the ladder."""
    for train in (run.train for run in plan.runs):
        law, levels = train.noise_sampling, train.noise.known_sigmas()
        first, last = math.log(levels[0]), math.log(levels[-1])
        if not isinstance(law, LogNormal) or not train.network.is_trained or last == math.inf:
            continue
        if not last <= law.mean <= first:
            yield (
                f"train.noise_sampling.mean: {law.mean:g}: half of the levels of the training "
                f"have log sigma {'below' if law.mean < last else 'above'} it, and that of "
                f"train.noise is {first:.3g} to {last:.3g}"
            )


def _starts_without_noise(plan: Plan) -> Iterable[str]:
    """Yield a warning for samplers that start in [0, 1] but need noise of a large level."""
    ladders = {run.train.noise.model_dump_json(): run.train.noise for run in plan.runs}
    for sample in (setting.sample for setting in plan.settings):
        if not sample.sampler.starts_with_noise or sample.initial != "uniform":
            continue
        for noise in [sample.noise] if sample.noise else ladders.values():
            first = noise.known_sigmas()[0]
            if 1 < first < math.inf:
                yield (
                    f"sample.initial: uniform: starts in [0, 1], but the sampler "
                    f"{sample.sampler.name} needs noise of the first level, {first:g}; use "
                    f"`initial: normal`"
                )


def _batch_problems(plan: Plan) -> Iterable[str]:
    """Yield batch sizes larger than the training set, of runs without weights.

    Imported weights need no training here.
    """
    counts = {d.id: training_count(plan.paths, d) for d in plan.study.dataset}
    for run in plan.runs:
        count, size = counts[run.dataset.id], run.train.batch_size
        is_trained_here = run.train.network.is_trained and not plan.paths.weights(run.id).exists()
        if is_trained_here and count is not None and size > count:
            yield (
                f"train.batch_size: {size}: the dataset {run.dataset.id} has only {count:,} "
                f"training samples; expected {count:,} or less"
            )
