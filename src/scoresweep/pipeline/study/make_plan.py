"""Expand a study into runs, settings and evaluations with stable ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scoresweep.pipeline.study.axis_names import axis_names, axis_value
from scoresweep.pipeline.study.config import content_hash, label_of
from scoresweep.pipeline.study.grid import Expanded, Point, expand
from scoresweep.pipeline.study.ids import IdFinder, StoreFinder
from scoresweep.pipeline.study.labels import LabelledValue, Labels, axis_labels
from scoresweep.pipeline.study.models import Sample, Study
from scoresweep.pipeline.study.option_checks import check_plan
from scoresweep.pipeline.study.paths import StudyPaths
from scoresweep.pipeline.study.plan import Evaluation, Plan, Run, Setting, halving_counts

__all__ = ["plan_study"]


def plan_study(study: Study, root: Path | str = Path(), where: str = "study") -> Plan:
    """Expand `study` into runs, settings and evaluations.

    Args:
        study: the study.
        root: folder of `data/` and `results/`.
        where: name of the study file in error messages.

    Raises:
        InputError: if a grid is wrong, or options do not work together.
    """
    paths = StudyPaths(study.study, Path(root))
    train = expand(study.train, study.train_model, f"{where}: train")
    sample = expand(study.sample, study.sample_model, f"{where}: sample")
    evaluate = expand(study.evaluate, study.evaluate_model, f"{where}: evaluate")
    paths_of = [list(points[0].point) for points in (train, sample, evaluate)]
    names = axis_names(study, *paths_of)

    def axes_of(block: str, point: Point) -> Point:
        return {names[block][path]: axis_value(value) for path, value in point.items()}

    find_id = IdFinder([paths.results / "runs"]).find
    runs = []
    for dataset in study.dataset:
        dataset_axis = {"dataset": dataset.id} if names["dataset"] else {}
        for point, config, _ in train:
            axes = dataset_axis | axes_of("train", point)
            runs.append(Run(find_id(axes, content_hash(dataset.id, config)), dataset, config, axes))
    settings = _settings(paths, runs, sample, names["sample"], halving_counts(study.sample))
    evaluations = [Evaluation(each.config, axes_of("evaluate", each.point)) for each in evaluate]
    labels = _labels(study, names, {"train": train, "sample": sample}, where)
    return check_plan(Plan(study, paths, runs, settings, evaluations, labels), where)


def _labels(
    study: Study,
    names: Mapping[str, Mapping[str, str]],
    points: Mapping[str, Sequence[Expanded[Any]]],
    where: str,
) -> Labels:
    """Return the labels of the swept blocks, by axis and value."""
    axes = {"dataset": "dataset"} if names["dataset"] else {}
    datasets = study.dataset if axes else []
    found: list[LabelledValue] = [
        ("dataset", dataset.id, label_of(dataset)) for dataset in datasets
    ]
    for block, expanded in points.items():
        axes |= {f"{block}.{path}": axis for path, axis in names[block].items()}
        found += [
            (f"{block}.{path}", axis_value(value), each.labels.get(path))
            for each in expanded
            for path, value in each.point.items()
        ]
    return axis_labels(found, axes, where)


def _settings(
    paths: StudyPaths,
    runs: Sequence[Run],
    points: Iterable[Expanded[Sample]],
    names: Mapping[str, str],
    counts: Sequence[int],
) -> list[Setting]:
    """Return the settings at `points`, with their ids at each of `counts`."""
    find_id = IdFinder(paths.results / "metrics" / run.id for run in runs).find
    find_store = StoreFinder([paths.results / "samples" / run.id for run in runs]).find
    settings = []
    for point, config, _ in points:
        is_best = config.training_step == "best"
        sample = config if is_best else config.model_copy(update={"best_step": None})
        axes = {names[path]: axis_value(value) for path, value in point.items()}
        store_axes = {names[path]: axes[names[path]] for path in point if path != "count"}
        ids = {
            count: find_id(axes, content_hash(sample.model_copy(update={"count": count})))
            for count in counts
        }
        id_, store = find_id(axes, content_hash(sample)), find_store(store_axes, sample)
        settings.append(Setting(id_, sample, axes, store, ids))
    return settings
