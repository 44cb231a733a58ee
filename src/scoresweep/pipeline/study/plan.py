"""The plan of a study: its runs, settings and evaluations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from scoresweep.pipeline.errors import InputError, did_you_mean
from scoresweep.pipeline.study.config import content_hash, hashed_fields
from scoresweep.pipeline.study.grid import Point
from scoresweep.pipeline.study.methods.datasets import Dataset
from scoresweep.pipeline.study.paths import StudyPaths
from scoresweep.pipeline.study.schema import NETWORK_OPTIONS, Evaluate, Sample, Study, Train

__all__ = ["Evaluation", "Plan", "Run", "Setting"]


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
    paths: StudyPaths
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
        return self.paths.reference(dataset_id, extractor, self.study.evaluate.real_count)

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
                (
                    e.evaluate.score_error_samples,
                    e.evaluate.seed,
                    e.axes,
                    *_network_metric_options(e.evaluate),
                )
                for e in self.evaluations
                if "score_error" in e.evaluate.metrics
            ]
        )


def _network_metric_options(evaluate: Evaluate) -> list[dict[str, Any]]:
    """Return how networks are measured beyond the score error; nothing where they are not."""
    options = hashed_fields(evaluate, defaults=False)
    beyond = NETWORK_OPTIONS & options.keys() - {"score_error_samples"}
    return [{name: options[name] for name in sorted(beyond)}] if beyond else []


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
