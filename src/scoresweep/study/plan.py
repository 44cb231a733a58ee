"""From a study to its runs and settings, each with an id that stays the same."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from scoresweep.errors import InputError, did_you_mean
from scoresweep.labels import LABELS
from scoresweep.study.base import content_hash, result_fields
from scoresweep.study.checks import check_plan
from scoresweep.study.components.datasets import Dataset
from scoresweep.study.grid import Point, expand
from scoresweep.study.layout import Layout
from scoresweep.study.schema import NETWORK_OPTIONS, Evaluate, Sample, Study, Train

__all__ = ["Evaluation", "Plan", "Run", "Setting", "axis_names", "axis_value", "plan_study"]

RESERVED = {"sample", "metric", "value", "interval", *LABELS} | {
    *("mean", "low", "high", "n", "real", "noise"),
    *("networks", "samplings", "error", "freedom", "resampling"),
}
"""Variables of the report and columns of its tables: no axis is called so."""

LONGEST = 80
"""Most characters of a block's name and options in an id or a coordinate."""


@dataclass(frozen=True)
class Run:
    """One point of the training grid: one trained network."""

    id: str
    dataset: Dataset
    train: Train
    axes: Point
    """Axis name to value."""

    def config(self) -> dict[str, Any]:
        """Return what `config.yaml` of the run holds."""
        return {
            "run": self.id,
            "dataset": self.dataset.model_dump(mode="json"),
            "train": self.train.model_dump(mode="json"),
            "axes": self.axes,
        }


@dataclass(frozen=True)
class Setting:
    """One point of the sampling grid, applied to every run."""

    id: str
    sample: Sample
    axes: Point


R = TypeVar("R", Run, Setting)


@dataclass(frozen=True)
class Evaluation:
    """One point of the evaluation grid, measured on every setting."""

    evaluate: Evaluate
    axes: Point


@dataclass(frozen=True)
class Plan:
    """A study and everything that it runs."""

    study: Study
    layout: Layout
    runs: list[Run]
    settings: list[Setting]
    evaluations: list[Evaluation]

    def run(self, run_id: str) -> Run:
        """Return the run with this id; raise `InputError` if there is none."""
        return _find(self.runs, run_id, "run")

    def setting(self, setting_id: str) -> Setting:
        """Return the setting with this id; raise `InputError` if there is none."""
        return _find(self.settings, setting_id, "setting")

    def dataset(self, dataset_id: str) -> Dataset:
        """Return the dataset with this id; raise `InputError` if there is none."""
        datasets = {dataset.id: dataset for dataset in self.study.dataset}
        if dataset_id not in datasets:
            raise InputError(
                f"dataset {dataset_id!r} is not part of the study {self.study.study}."
                f"{did_you_mean(dataset_id, datasets)} Known: {', '.join(datasets)}."
            )
        return datasets[dataset_id]

    @property
    def extractors(self) -> list[str]:
        """Names of the feature extractors that the study's metrics need."""
        named = [name for e in self.evaluations for name in e.evaluate.extractors]
        return list(dict.fromkeys(named))

    def extractor(self, name: str) -> str:
        """Return the extractor with this name; raise `InputError` if the study has none."""
        if name not in self.extractors:
            raise InputError(
                f"extractor {name!r} is not part of the study {self.study.study}."
                f"{did_you_mean(name, self.extractors)} Known: {', '.join(self.extractors)}."
            )
        return name

    def reference(self, dataset_id: str, extractor: str) -> Path:
        """Return where the features of a dataset's real samples lie."""
        return self.layout.reference(dataset_id, extractor, self.study.evaluate.real_count)

    @property
    def measures_score_error(self) -> bool:
        """Whether the score error is among the metrics."""
        return any("score_error" in e.evaluate.metrics for e in self.evaluations)

    def evaluate_hash(self) -> str:
        """Return a hash of what is measured on samples: a change runs the evaluations again."""
        options = [
            (e.evaluate.model_dump(exclude=set(NETWORK_OPTIONS)), e.axes) for e in self.evaluations
        ]
        return content_hash(options)

    def score_error_hash(self) -> str:
        """Return a hash of how networks are measured: a change runs `score_error` again."""
        return content_hash(
            [
                (e.evaluate.score_error_samples, e.evaluate.seed, e.axes, *_later(e.evaluate))
                for e in self.evaluations
                if "score_error" in e.evaluate.metrics
            ]
        )


def plan_study(study: Study, root: Path = Path(), where: str = "study") -> Plan:
    """Expand `study` into runs, settings and evaluations; raise `InputError` on a wrong grid.

    An id is the varied values and a hash of everything that affects the result. Where a folder of
    the same hash exists already (from a grid with fewer axes, say), its name is kept: widening a
    grid runs nothing again.
    """
    layout = Layout(study.study, root)
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
            runs.append(Run(known.get(digest) or _readable(axes, digest), dataset, config, axes))
    known = _known_names(*(layout.results / "samples" / run.id for run in runs))
    settings = []
    for point, setting in sample:
        axes = {names["sample"][path]: axis_value(value) for path, value in point.items()}
        digest = content_hash(setting)
        settings.append(Setting(known.get(digest) or _readable(axes, digest), setting, axes))
    evaluations = [
        Evaluation(e, {names["evaluate"][path]: axis_value(v) for path, v in point.items()})
        for point, e in evaluate
    ]
    return check_plan(Plan(study, layout, runs, settings, evaluations), where)


def axis_names(
    study: Study, train: list[str], sample: list[str], evaluate: list[str]
) -> dict[str, dict[str, str]]:
    """Name the report's dimension of every swept path, block by block.

    A dimension is called after the last part of its path (`noise.levels` is `levels`); where that
    is taken, after the last two parts or the block and the last part (`sample_seed`). Variables of
    the report keep their names: `optimizer.learning_rate` is `optimizer_learning_rate`, beside the
    curve `learning_rate`.
    """
    taken = set(RESERVED)
    names: dict[str, dict[str, str]] = {"dataset": {}}
    if len(study.dataset) > 1:
        names["dataset"]["dataset"] = "dataset"
        taken.add("dataset")
    for block, paths in (("train", train), ("sample", sample), ("evaluate", evaluate)):
        names[block] = {}
        for path in paths:
            parts = path.split(".")
            candidates = [parts[-1], "_".join(parts[-2:]), "_".join([block, *parts])]
            if len(parts) == 1:
                candidates[1] = f"{block}_{path}"
            names[block][path] = next(name for name in candidates if name not in taken)
            taken.add(names[block][path])
    return names


def axis_value(value: Any) -> Any:
    """Return a value as a coordinate: a number or a text (a block by its name and options)."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float | str):
        return value
    if isinstance(value, dict) and "name" in value:
        options = [f"{key}={axis_value(v)}" for key, v in value.items() if key != "name"]
        text = f"{value['name']}({', '.join(options)})" if options else str(value["name"])
        return text if len(text) <= LONGEST else f"{value['name']}_{content_hash(value)[:4]}"
    return json.dumps(value, default=str, separators=(",", ":"))


def _readable(axes: Point, digest: str) -> str:
    """Put an id together: "levels=10_seed=0_3f2a9c1b"."""
    parts = [
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in axes.items()
    ]
    text = re.sub(r"[^A-Za-z0-9=._+-]+", "-", "_".join(parts))[:100].strip("-_")
    return f"{text}_{digest}" if text else digest


def _later(evaluate: Evaluate) -> list[dict[str, Any]]:
    """Return how networks are measured beyond the score error; nothing where they are not."""
    options = result_fields(evaluate, defaults=False)
    beyond = NETWORK_OPTIONS & options.keys() - {"score_error_samples"}
    return [{name: options[name] for name in sorted(beyond)}] if beyond else []


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


def _find(items: list[R], wanted: str, what: str) -> R:
    """Return the item whose id or hash is `wanted`."""
    for item in items:
        if item.id == wanted or item.id[-8:] == wanted[-8:]:
            return item
    known = [item.id for item in items]
    listed = ", ".join(known[:6]) + (", ..." if len(known) > 6 else "")
    raise InputError(
        f"{what} {wanted!r} is not part of the study.{did_you_mean(wanted, known)} Known: {listed}."
    )
