"""The plan of a study: runs, settings and evaluations, found by id."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from scoresweep.pipeline.errors import InputError, did_you_mean
from scoresweep.pipeline.study.config import content_hash, hashed_fields, is_runtime_only
from scoresweep.pipeline.study.grid import Point
from scoresweep.pipeline.study.labels import Labels
from scoresweep.pipeline.study.methods.datasets import Dataset
from scoresweep.pipeline.study.methods.metrics import ExtractorFacts
from scoresweep.pipeline.study.models import (
    NETWORK_OPTIONS,
    Evaluate,
    Halving,
    Sample,
    SampleBlock,
    Study,
    Train,
)
from scoresweep.pipeline.study.origin import Plugin
from scoresweep.pipeline.study.paths import StudyPaths
from scoresweep.pipeline.study.plugins.used_plugins import earlier_contents, used_plugins
from scoresweep.pipeline.study.real_statistics import statistics_sha256
from scoresweep.pipeline.study.weights_name import weights_name

__all__ = ["Evaluation", "Plan", "Run", "Setting", "halving_counts", "network_metrics_hash"]


@dataclass(frozen=True)
class Run:
    """One point of the training grid: one trained network."""

    id: str
    dataset: Dataset
    train: Train
    axes: Point
    """Swept values by axis name."""

    def weights_of(self, sample: Sample) -> str:
        """Return the name of the averaged weights that a setting uses: "" for the default ones.

        The best step counts as the last one; `results/best_step.py` finds it.
        """
        train, step = self.train, sample.training_step
        if not train.network.is_trained:
            return ""
        named = None if step == "best" else step
        return weights_name(named, sample.ema, train.steps, train.decays[0])

    def config(self) -> dict[str, Any]:
        """Return the content of the run's `config.yaml`."""
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
    """Id of its metrics."""
    sample: Sample
    axes: Point
    """Swept values by axis name."""
    store: str
    """Name of its sample store, which settings that differ in `count` only share."""
    ids: Mapping[int, str] = field(default_factory=dict)
    """Ids of this setting at every count of successive halving; empty without it."""

    def at(self, count: int) -> Setting:
        """Return this setting at one of the counts of successive halving."""
        if count == self.sample.count:
            return self
        sample = self.sample.model_copy(update={"count": count})
        return replace(self, id=self.ids[count], sample=sample)


LATER_OPTIONS = {"inception_score_splits"}
"""Options of `evaluate` that earlier versions did not have: part of the hash of finished results
only if they differ from their defaults."""


@dataclass(frozen=True)
class Evaluation:
    """One point of the evaluation grid, measured on every setting."""

    evaluate: Evaluate
    axes: Point


@dataclass(frozen=True)
class Plan:
    """A study and everything that it computes."""

    study: Study
    paths: StudyPaths
    runs: list[Run]
    settings: list[Setting]
    evaluations: list[Evaluation]
    labels: Labels = field(default_factory=dict)
    """Labels of swept blocks, by axis and value."""

    def run(self, run_id: str) -> Run:
        """Return the run with this id or hash; raise `InputError` if there is none."""
        if found := self._run_by_hash.get(run_id[-8:]):
            return found
        raise self._unknown("run", run_id, [run.id for run in self.runs])

    @functools.cached_property
    def _run_by_hash(self) -> dict[str, Run]:
        return {run.id[-8:]: run for run in self.runs}

    def setting(self, setting_id: str) -> Setting:
        """Return the setting with this id or hash; raise `InputError` if there is none."""
        if found := self._setting_by_hash.get(setting_id[-8:]):
            return found
        raise self._unknown("setting", setting_id, [setting.id for setting in self.settings])

    @functools.cached_property
    def _setting_by_hash(self) -> dict[str, Setting]:
        return {id_[-8:]: setting for id_, setting in self.settings_by_id().items()}

    def _unknown(self, kind: str, wanted: str, ids: list[str]) -> InputError:
        listed = ", ".join(ids[:6]) + (", ..." if len(ids) > 6 else "")
        return InputError(
            f"{kind} {wanted!r} is not part of the study.{did_you_mean(wanted, ids)} "
            f"Expected one of {listed}.{self._plugin_hint(wanted)}"
        )

    @functools.cached_property
    def plugins(self) -> list[Plugin]:
        """The plugins whose methods the study uses."""
        used = [block for run in self.runs for block in (run.dataset, run.train)]
        return used_plugins(*used, *(s.sample for s in self.settings), *self.evaluate_blocks)

    @property
    def evaluate_blocks(self) -> list[Evaluate]:
        """What is measured, at each point of the evaluation grid."""
        return [evaluation.evaluate for evaluation in self.evaluations]

    def edited_plugins(self) -> dict[Plugin, str]:
        """Return the plugins that were edited since they were used, with an earlier SHA-256."""
        earlier = {plugin: earlier_contents(self.paths, plugin) for plugin in self.plugins}
        return {plugin: found[-1].sha256 for plugin, found in earlier.items() if found}

    def _plugin_hint(self, wanted: str) -> str:
        """Return how plugins may be the cause that an id is unknown; "" without plugins."""
        if not self.study.plugins:
            return ""
        known = "".join(
            f" {plugin} has SHA-256 {plugin.sha256} here; the study was run with {before}."
            for plugin, before in self.edited_plugins().items()
        )
        return (
            f" Ids depend on the content of plugins ({', '.join(self.study.plugins)}): if "
            f"{wanted!r} was planned on another machine, or before an edit, use the same files "
            f"here, or plan again.{known}"
        )

    def settings_by_id(self) -> dict[str, Setting]:
        """Return the settings by their ids, at every count of successive halving."""
        stages = (s.at(count) for s in self.settings for count in s.ids)
        return {setting.id: setting for setting in (*self.settings, *stages)}

    def measured_weights(self, run: Run) -> list[str]:
        """Return the names of the weights of a run whose score error is measured.

        They are those that settings name, or those of the last step if all settings use the best
        one; none if the study measures no networks.
        """
        return [*dict.fromkeys(map(run.weights_of, self._samples_by_weights))]

    @functools.cached_property
    def _samples_by_weights(self) -> list[Sample]:
        """A sample block for every choice of weights whose score error is measured."""
        samples = [setting.sample for setting in self.settings if self.measures_networks]
        named = [sample for sample in samples if sample.training_step != "best"] or samples
        return [*{(sample.training_step, sample.ema): sample for sample in named}.values()]

    def first_settings(self) -> list[Setting]:
        """Return what is drawn in any case: all settings, at the first count of halving."""
        return [s.at(self.counts[0]) for s in self.settings] if self.halving else [*self.settings]

    @property
    def halving(self) -> Halving | None:
        """The options of successive halving; None without it."""
        return self.study.sample.halving

    @property
    def counts(self) -> list[int]:
        """The counts of successive halving, the last one included; empty without it."""
        return halving_counts(self.study.sample)

    def halving_groups(self) -> dict[str, list[Run]]:
        """Return the runs whose settings compete in successive halving, by the name of the group.

        Over a study, exact scores compete among themselves: they are the reference for networks.
        """
        groups: dict[str, list[Run]] = {}
        for run in self.runs if self.halving else ():
            name = run.id
            if self.halving and self.halving.over == "study":
                name = run.dataset.id + ("" if run.train.network.is_trained else ".exact")
            groups.setdefault(name, []).append(run)
        return groups

    def dataset_id(self, shown: str) -> str:
        """Return the id of the dataset that a report shows as `shown`: its label or its id."""
        labels = self.labels.get("dataset", {})
        return next((str(id_) for id_, label in labels.items() if label == shown), shown)

    def dataset(self, dataset_id: str) -> Dataset:
        """Return the dataset with this id; raise `InputError` if there is none."""
        datasets = {dataset.id: dataset for dataset in self.study.dataset}
        if dataset_id not in datasets:
            raise InputError(
                f"dataset {dataset_id!r} is not part of the study {self.study.study}."
                f"{did_you_mean(dataset_id, datasets)} Expected one of {', '.join(datasets)}."
            )
        return datasets[dataset_id]

    @functools.cached_property
    def extractors(self) -> dict[str, ExtractorFacts]:
        """The feature extractors that the study uses, by key."""
        return {each.key: each for e in self.evaluate_blocks for each in e.feature_extractors}

    def extractor(self, name: str) -> str:
        """Return the key of the extractor with this key or name.

        Raises `InputError` if the study has none, or several of this name.
        """
        if name in self.extractors:
            return name
        keys = [key for key, extractor in self.extractors.items() if extractor.name == name]
        if len(keys) != 1:
            problem = "has several keys in" if keys else "is not part of"
            raise InputError(
                f"extractor {name!r} {problem} the study {self.study.study}."
                f"{did_you_mean(name, self.extractors)} Expected one of "
                f"{', '.join(keys or self.extractors)}.{self._plugin_hint(name)}"
            )
        return keys[0]

    def reference(self, dataset_id: str, extractor: str) -> Path:
        """Return the file of the features of a dataset's real samples."""
        return self.paths.reference(dataset_id, extractor, self.study.evaluate.real_count)

    @property
    def measures_score_error(self) -> bool:
        """Whether the score error is among the metrics."""
        return any(evaluate.measures_score_error for evaluate in self.evaluate_blocks)

    @property
    def measures_networks(self) -> bool:
        """Whether any metric of networks is among the metrics."""
        return any(name in e.evaluate.metrics for e in self.evaluations for name in NETWORK_OPTIONS)

    def network_metrics(self) -> dict[str, list[Any]]:
        """Return the metrics of networks that are measured, each with what its values depend on."""
        options = {
            name: [options_of(e) for e in self.evaluations if name in e.evaluate.metrics]
            for name, options_of in _NETWORK_METRIC_OPTIONS.items()
        }
        return {name: each for name, each in options.items() if each}

    def evaluate_hash(self) -> str:
        """Return a hash of the options of sample metrics; a change reruns `evaluate`."""
        return content_hash(
            [(_sample_metric_options(e.evaluate), e.axes) for e in self.evaluations]
        )

    def score_error_hash(self) -> str:
        """Return a hash of the options of network metrics; a change reruns `score_error`."""
        return network_metrics_hash(self.network_metrics())


def halving_counts(sample: SampleBlock) -> list[int]:
    """Return the counts of successive halving, the last one included; empty without it."""
    return [*sample.halving.counts, sample.count] if sample.halving else []


def network_metrics_hash(options: Mapping[str, list[Any]]) -> str:
    """Return a hash of what metrics of networks depend on, as `Plan.network_metrics` returns it."""
    if options.keys() <= {"score_error"}:  # the only one of earlier versions
        return content_hash(options.get("score_error", []))
    return content_hash(options)


def _sample_metric_options(evaluate: Evaluate) -> dict[str, Any]:
    """Return the options of `evaluate` that metrics of samples depend on."""
    others = {k for k in Evaluate.model_fields if is_runtime_only(Evaluate, k)}
    others |= {option for options in NETWORK_OPTIONS.values() for option in options}
    others |= {"metrics", "extractors", "real_statistics"} | LATER_OPTIONS
    options = evaluate.model_dump(exclude=others)
    options |= evaluate.model_dump(include=LATER_OPTIONS, exclude_defaults=True)
    if evaluate.real_statistics:  # the content of the file counts
        options["real_statistics"] = statistics_sha256(evaluate.real_statistics)
    # Methods are hashed with the code of plugins. The score error is measured along trajectories.
    metrics = [metric for metric in evaluate.metrics if metric != "bits_per_dimension"]
    return options | {"metrics": metrics, "extractors": evaluate.extractors}


def _score_error_options(evaluation: Evaluation) -> list[Any]:
    """Return what the score errors at a point of the evaluation grid depend on."""
    evaluate = evaluation.evaluate
    options = hashed_fields(evaluate, defaults=False)
    further = set(NETWORK_OPTIONS["score_error"]) & options.keys() - {"score_error_samples"}
    more = [{name: options[name] for name in sorted(further)}] if further else []
    return [evaluate.score_error_samples, evaluate.seed, evaluation.axes, *more]


def _likelihood_options(evaluation: Evaluation) -> list[Any]:
    """Return what the bits per dimension at a point of the evaluation grid depend on."""
    options = hashed_fields(evaluation.evaluate, defaults=False)
    own = {name: options[name] for name in NETWORK_OPTIONS["bits_per_dimension"] if name in options}
    return [evaluation.evaluate.seed, evaluation.axes, own]


_NETWORK_METRIC_OPTIONS: dict[str, Callable[[Evaluation], list[Any]]] = {
    "score_error": _score_error_options,
    "bits_per_dimension": _likelihood_options,
}
