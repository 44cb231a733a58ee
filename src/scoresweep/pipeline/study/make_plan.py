"""Expand a study into runs, settings and evaluations with stable ids."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from scoresweep.pipeline.study.axis_names import axis_names, axis_value
from scoresweep.pipeline.study.config import content_hash
from scoresweep.pipeline.study.grid import Point, expand
from scoresweep.pipeline.study.models import Evaluate, Sample, Study, Train
from scoresweep.pipeline.study.option_checks import check_plan
from scoresweep.pipeline.study.paths import StudyPaths
from scoresweep.pipeline.study.plan import Evaluation, Plan, Run, Setting

__all__ = ["plan_study"]


def plan_study(study: Study, root: Path = Path(), where: str = "study") -> Plan:
    """Expand `study` into runs, settings and evaluations.

    An id is the swept values and a hash of everything that affects the result. If a folder with
    the same hash exists (from a grid with fewer axes, say), its name is kept, so that widening a
    grid reruns nothing.

    Args:
        study: the study.
        root: folder of `data/` and `results/`.
        where: name of the study file in error messages.

    Raises:
        InputError: if a grid is wrong, or options do not work together.
    """
    paths = StudyPaths(study.study, root)
    train = expand(study.train, Train, f"{where}: train")
    sample = expand(study.sample, Sample, f"{where}: sample")
    evaluate = expand(study.evaluate, Evaluate, f"{where}: evaluate")
    names = axis_names(study, list(train[0][0]), list(sample[0][0]), list(evaluate[0][0]))

    def axes_of(block: str, point: Point) -> Point:
        return {names[block][path]: axis_value(value) for path, value in point.items()}

    find_id = _id_finder(paths.results / "runs")
    runs = []
    for dataset in study.dataset:
        dataset_axis = {"dataset": dataset.id} if names["dataset"] else {}
        for point, config in train:
            axes = dataset_axis | axes_of("train", point)
            runs.append(Run(find_id(axes, content_hash(dataset.id, config)), dataset, config, axes))
    find_id = _id_finder(*(paths.results / "samples" / run.id for run in runs))
    settings = []
    for point, setting in sample:
        axes = axes_of("sample", point)
        settings.append(Setting(find_id(axes, content_hash(setting)), setting, axes))
    evaluations = [Evaluation(options, axes_of("evaluate", point)) for point, options in evaluate]
    return check_plan(Plan(study, paths, runs, settings, evaluations), where)


def _id_finder(*folders: Path) -> Callable[[Point, str], str]:
    """Return a function that maps axes and hash to an id: one used in `folders`, or a new one."""
    existing = {}
    for folder in folders:
        if folder.is_dir():
            for entry in folder.iterdir():
                name = entry.name.removesuffix(".zarr").removesuffix(".json")
                if re.fullmatch(r"(?:.*_)?[0-9a-f]{8}", name):
                    existing[name[-8:]] = name
    return lambda axes, digest: existing.get(digest) or _make_id(axes, digest)


def _make_id(axes: Point, digest: str) -> str:
    """Build an id such as "levels=10_seed=0_3f2a9c1b"."""
    parts = [
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in axes.items()
    ]
    text = re.sub(r"[^A-Za-z0-9=._+-]+", "-", "_".join(parts))[:100].strip("-_")
    return f"{text}_{digest}" if text else digest
