"""From a study to its runs and settings, each with a stable id."""

from __future__ import annotations

import re
from pathlib import Path

from scoresweep.pipeline.study.axes import axis_names, axis_value
from scoresweep.pipeline.study.checks import check_plan
from scoresweep.pipeline.study.config import content_hash
from scoresweep.pipeline.study.grid import Point, expand
from scoresweep.pipeline.study.paths import StudyPaths
from scoresweep.pipeline.study.plan import Evaluation, Plan, Run, Setting
from scoresweep.pipeline.study.schema import Evaluate, Sample, Study, Train

__all__ = ["plan_study"]


def plan_study(study: Study, root: Path = Path(), where: str = "study") -> Plan:
    """Expand `study` into runs, settings and evaluations; raise `InputError` on a wrong grid.

    An id is the varied values and a hash of everything that affects the result. Where a folder of
    the same hash exists already (from a grid with fewer axes, say), its name is kept: widening a
    grid runs nothing again.
    """
    layout = StudyPaths(study.study, root)
    train = expand(study.train, Train, f"{where}: train")
    sample = expand(study.sample, Sample, f"{where}: sample")
    evaluate = expand(study.evaluate, Evaluate, f"{where}: evaluate")
    names = axis_names(study, list(train[0][0]), list(sample[0][0]), list(evaluate[0][0]))
    known = _known_names(layout.results / "runs")
    runs = []
    for dataset in study.dataset:
        for point, config in train:
            axes = {names["train"][path]: axis_value(value) for path, value in point.items()}
            if "dataset" in names["dataset"]:
                axes = {"dataset": dataset.id, **axes}
            digest = content_hash(dataset.id, config)
            runs.append(Run(known.get(digest) or _make_id(axes, digest), dataset, config, axes))
    known = _known_names(*(layout.results / "samples" / run.id for run in runs))
    settings = []
    for point, setting in sample:
        axes = {names["sample"][path]: axis_value(value) for path, value in point.items()}
        digest = content_hash(setting)
        settings.append(Setting(known.get(digest) or _make_id(axes, digest), setting, axes))
    evaluations = [
        Evaluation(e, {names["evaluate"][path]: axis_value(v) for path, v in point.items()})
        for point, e in evaluate
    ]
    return check_plan(Plan(study, layout, runs, settings, evaluations), where)


def _make_id(axes: Point, digest: str) -> str:
    """Put an id together: "levels=10_seed=0_3f2a9c1b"."""
    parts = [
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in axes.items()
    ]
    text = re.sub(r"[^A-Za-z0-9=._+-]+", "-", "_".join(parts))[:100].strip("-_")
    return f"{text}_{digest}" if text else digest


def _known_names(*folders: Path) -> dict[str, str]:
    """Return hash to name of what lies in `folders`."""
    names = {}
    for folder in folders:
        if folder.is_dir():
            for entry in folder.iterdir():
                name = entry.name.removesuffix(".zarr").removesuffix(".json")
                if re.fullmatch(r"(?:.*_)?[0-9a-f]{8}", name):
                    names[name[-8:]] = name
    return names
