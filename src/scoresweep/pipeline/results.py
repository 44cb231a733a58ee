"""Which results of a study are finished, and which the next `snakemake` makes, and why.

`examine` decides it for `scoresweep plan`, `scoresweep status`, the report and the Snakefile, so
that they agree. It looks at the content of files alone, never at their times or at records of
Snakemake: each result records the hashes of what it was made from (`scoresweep.made_from`). A
result without such a record, of an earlier version, counts as finished. Each folder is listed once
and only small files are read.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from scoresweep.data.manifest import check_store
from scoresweep.data.own_state import is_same
from scoresweep.errors import InputError
from scoresweep.hdf5 import is_whole, mentions
from scoresweep.made_by import Kind, made_by_of, other_code
from scoresweep.made_from import (
    KEY,
    data_sha256,
    differences,
    network_sha256,
    recorded_in,
    training_sha256,
)
from scoresweep.study import Layout, Plan
from scoresweep.study.components.datasets import Dataset, OwnData

__all__ = [
    "RULES",
    "Result",
    "Results",
    "data_of",
    "examine",
    "is_imported",
    "metrics_of",
    "network_of",
    "reference_of",
    "samples_of",
    "score_error_of",
    "staged_data",
]

State = Literal["done", "missing", "outdated"]
"""`outdated`: made from something else than what is there now; kept until it is replaced."""

Rule = Literal["stage", "reference", "train", "score_error", "sample", "evaluate", "report"]
RULES: tuple[Rule, ...] = (
    *("stage", "reference", "train", "score_error", "sample", "evaluate", "report"),
)
KINDS: dict[str, Kind] = {
    "stage": "data",
    "reference": "features",
    "train": "networks",
    "score_error": "score_error",
    "sample": "samples",
    "evaluate": "metrics",
}
"""Which code makes the results of a rule."""

Key = tuple[str, ...]
"""A rule and the ids that its job is for: ("sample", RUN, SETTING)."""

WHAT = {
    **dict.fromkeys(("data", "training_data"), "its data"),
    **dict.fromkeys(("weights", "weights_file"), "its network"),
    "samples": "its samples",
}
"""What a result is made from, by the name in its record."""


@dataclass
class Result:
    """What one job of a rule makes."""

    rule: Rule
    output: Path
    """The file that the rule declares to Snakemake."""
    state: State = "done"
    reason: str = ""
    """Why it is not `done`."""
    sha256: str | None = None
    """Hash of its content; None if unknown."""
    is_recorded: bool = False
    """Whether it says what it was made from: an earlier version's does not."""
    is_due: bool = False
    """Whether the next `snakemake` runs its job: it is not done, or is made from what is due."""
    is_damaged: bool = False
    """Whether it is there and cannot be read."""
    other_code: str = ""
    """Which code made it, if that was asked and is not this one."""
    hashes: dict[str, str | None] = field(default_factory=dict)
    """Hashes by which the results that are made from it may know it."""

    def unless_made_from(
        self, record: Mapping[str, str], inputs: Mapping[str, str | None]
    ) -> Result:
        """Return this result; `outdated` if `record` names other inputs."""
        if changed := differences(record, inputs):
            self.state = "outdated"
            names = dict.fromkeys(WHAT[name] for name in changed)
            self.reason = f"{' and '.join(names)} changed since"
        return self

    def follow(self, *others: tuple[bool, str]) -> None:
        """Make the job due if the result is not done, or for the first of `others` that is true."""
        self.is_due = self.state != "done"
        for is_changing, reason in others:
            if is_changing and not self.is_due:
                self.is_due, self.reason = True, reason


@dataclass
class Results:
    """All results of a study by rule and ids."""

    found: dict[Key, Result] = field(default_factory=dict)

    def __getitem__(self, key: Key) -> Result:
        return self.found[key]

    def of(self, rule: Rule) -> list[Result]:
        """Return the results of a rule."""
        return [result for key, result in self.found.items() if key[0] == rule]

    @property
    def due(self) -> list[Result]:
        """The results whose jobs the next `snakemake` runs."""
        return [result for result in self.found.values() if result.is_due]

    def outdated_files(self, plan: Plan) -> dict[Path, str]:
        """Return the files of measurements that a report must leave out, each with the reason."""
        layout, reasons = plan.layout, dict[Path, str]()
        for key, result in self.found.items():
            above: list[Key] = [("train", key[1])] if len(key) > 1 else []
            path = layout.training_curves(key[1]) if key[0] == "train" else result.output
            if key[0] == "evaluate":
                above.append(("sample", *key[1:]))
            if key[0] in ("train", "score_error", "evaluate"):
                chain = [*(self.found[one] for one in above), result]
                reason = next((one.reason for one in chain if one.state == "outdated"), "")
                if reason:
                    reasons[path] = reason
        return reasons

    def content_sha256(self) -> str:
        """Return a hash of the results that a report is made from."""
        parts = [
            [*key, result.sha256 or ""]
            for key, result in sorted(self.found.items())
            if key[0] in ("train", "score_error", "evaluate") and not result.is_due
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def examine(plan: Plan, *, this_code: bool = False) -> Results:
    """Return the state of every result of `plan`.

    With `this_code`, results of other code are outdated as well.
    """
    layout, results, options = plan.layout, Results(), plan.evaluate_hash()
    found = results.found
    for dataset in plan.study.dataset:
        data = found["stage", dataset.id] = staged_data(layout, dataset)
        for extractor in plan.extractors:
            reference = reference_of(plan, dataset.id, extractor, data)
            found["reference", dataset.id, extractor] = reference
    for run in plan.runs:
        data = found["stage", run.dataset.id]
        network = found["train", run.id] = network_of(layout, run.id, data)
        if plan.measures_score_error:
            found["score_error", run.id] = score_error_of(plan, run.id, network, data)
        drawn = _names(layout.results / "samples" / run.id)
        measured = _names(layout.results / "metrics" / run.id)
        for setting in plan.settings:
            samples = samples_of(layout, run.id, setting.id, network, data, drawn)
            found["sample", run.id, setting.id] = samples
            metrics = metrics_of(plan, run.id, setting.id, samples, data, measured, options)
            found["evaluate", run.id, setting.id] = metrics
    if this_code:
        _compare_code(plan, results)
    _follow(plan, results)
    found["report",] = _report(plan, results)
    return results


def _compare_code(plan: Plan, results: Results) -> None:
    """Find the results that other code has made; imported networks cannot be made again."""
    for (rule, *ids), result in results.found.items():
        is_there = result.state == "done" and rule != "report"
        if not is_there or (rule == "train" and is_imported(plan.layout, ids[0])):
            continue
        kind = KINDS[rule]
        record = plan.layout.provenance(ids[0]) if rule == "train" else result.output
        result.other_code = other_code(record, kind)
        # What data staged by other code change is known once they are staged again.
        if result.other_code and rule != "stage":
            result.state, result.reason = "outdated", result.other_code


def _follow(plan: Plan, results: Results) -> None:
    """Find the jobs that are due because something that they use is made again.

    Data and features that are missing are made only if a job needs them; finished results do not.
    """
    found, needed = results.found, set[str]()
    for run in plan.runs:
        data = found["stage", run.dataset.id]
        changing = data.state == "outdated", "its data changed"
        network = found["train", run.id]
        if not (changing[0] and is_imported(plan.layout, run.id)):
            network.follow(changing)
        retrained = network.is_due, "its network is trained again"
        mine = [network]
        if plan.measures_score_error:
            error = found["score_error", run.id]
            error.follow(retrained, changing)
            mine.append(error)
        for setting in plan.settings:
            samples = found["sample", run.id, setting.id]
            metrics = found["evaluate", run.id, setting.id]
            samples.follow(retrained)
            metrics.follow((samples.is_due, "its samples are drawn again"), changing)
            mine += [samples, metrics]
        if any(result.is_due for result in mine):
            needed.add(run.dataset.id)
        if any(result.is_due for result in mine if result.rule == "evaluate"):
            for extractor in plan.extractors:
                found["reference", run.dataset.id, extractor].follow(changing)
    for dataset in plan.study.dataset:
        data = found["stage", dataset.id]
        data.is_due = data.state == "outdated" or (data.state != "done" and dataset.id in needed)
        if data.other_code and not data.is_due:
            data.is_due, data.reason = True, data.other_code


# ── each kind of result ─────────────────────────────────────────────────────────────────────────


def staged_data(layout: Layout, dataset: Dataset) -> Result:
    """Return the state of a staged dataset: `outdated` if the user's own files have changed.

    Own files that do not exist any more have not changed.
    """
    result = Result("stage", layout.dataset_manifest(dataset.id))
    try:
        manifest = check_store(layout.dataset_store(dataset.id))
        _identify(result, manifest)
    except (InputError, KeyError, TypeError) as problem:
        result.state, result.reason = "missing", str(problem)
        return result
    own = dataset.path if isinstance(dataset, OwnData) else None
    if own is None or not own.exists():
        return result
    try:
        if is_same(own, manifest["attributes"]["sha256"], layout.dataset_state(dataset.id)):
            return result
        result.reason = f"{own} has changed since it was staged"
    except (InputError, KeyError) as problem:
        result.reason = str(problem)
    result.state = "outdated"
    return result


def data_of(layout: Layout, dataset: str) -> Result:
    """Return the hashes of a staged dataset as its manifest says, without looking at its files."""
    result = Result("stage", layout.dataset_manifest(dataset))
    with contextlib.suppress(KeyError, TypeError):
        _identify(result, _read(result.output))
    return result


def _identify(data: Result, manifest: Mapping[str, Any]) -> None:
    data.sha256 = data_sha256(manifest)
    data.hashes = {"data": data.sha256, "training_data": training_sha256(manifest)}


def network_of(layout: Layout, run: str, data: Result) -> Result:
    """Return the state of a run's weights."""
    weights, manifest = layout.weights(run), layout.weights_manifest(run)
    result = Result("train", manifest)
    if not weights.exists():
        result.state, result.reason = "missing", "not trained"
        return result
    result.sha256 = network_sha256(weights)
    result.hashes = {"weights": result.sha256}
    content = _read(manifest)
    is_of_these = bool(content) and content.get("sha256") == result.sha256
    record = content.get(KEY, {}) if is_of_these else {}
    if is_of_these:
        result.hashes["weights_file"] = content.get("file_sha256")
        result.is_recorded = bool(record)
    return result.unless_made_from(record or _trained_on(layout, run), data.hashes)


def _trained_on(layout: Layout, run: str) -> dict[str, str]:
    """Return what the last checkpoint says of the data, for weights of an earlier version."""
    for state in sorted(layout.checkpoints(run).glob("step-*/state.json"), reverse=True)[:1]:
        return {"training_data": str(_read(state).get("data", ""))}
    return {}


def score_error_of(plan: Plan, run: str, network: Result, data: Result) -> Result:
    """Return the state of the score error of a run."""
    result = Result("score_error", plan.layout.score_error(run))
    there = result.output.exists()
    return _measurement(result, there, plan.score_error_hash(), network, data)


def samples_of(
    layout: Layout,
    run: str,
    setting: str,
    network: Result,
    data: Result,
    names: set[str] | None = None,
) -> Result:
    """Return the state of a setting's samples; `names` are those in its folder, if known."""
    manifest, store = layout.samples_manifest(run, setting), layout.samples(run, setting)
    names = _names(manifest.parent) if names is None else names
    result = Result("sample", manifest)
    content = _read(manifest) if manifest.name in names else {}
    if not content or store.name not in names:
        what = "the samples are gone" if content else "not drawn"
        result.state, result.reason = "missing", what
        return result
    result.sha256 = content.get("sha256")
    result.is_recorded = KEY in content
    result.hashes = {"samples": result.sha256}
    record = {"weights_file": content.get("weights_sha256", "")} | content.get(KEY, {})
    return result.unless_made_from(record, network.hashes | data.hashes)


def metrics_of(
    plan: Plan,
    run: str,
    setting: str,
    samples: Result,
    data: Result,
    names: set[str] | None = None,
    options: str | None = None,
) -> Result:
    """Return the state of a setting's metrics.

    `names` are those in its folder and `options` is `plan.evaluate_hash()`, if known.
    """
    path = plan.layout.metrics(run, setting)
    names = _names(path.parent) if names is None else names
    options = plan.evaluate_hash() if options is None else options
    result = Result("evaluate", path)
    return _measurement(result, path.name in names, options, samples, data)


def _measurement(
    result: Result, is_there: bool, options: str, measured: Result, data: Result
) -> Result:
    """Return the state of a file of measurements of `measured`, a network or samples."""
    path = result.output
    if not is_there:
        result.state, result.reason = "missing", "not measured"
    elif not is_whole(path):
        result.state, result.reason, result.is_damaged = "missing", f"{path} is damaged", True
    elif not mentions(path, options):
        result.state, result.reason = "outdated", "measured with other options"
    else:
        record = recorded_in(path)
        facts = [options, record, made_by_of(path).code]
        result.sha256, result.is_recorded = json.dumps(facts), bool(record)
        result.unless_made_from(record, measured.hashes | data.hashes)
        if measured.is_recorded and not record:  # by an earlier version, of what was there before
            result.state, result.reason = "outdated", f"{WHAT[next(iter(measured.hashes))]} changed"
    return result


def reference_of(plan: Plan, dataset: str, extractor: str, data: Result) -> Result:
    """Return the state of the features of a dataset's real samples."""
    path = plan.reference(dataset, extractor)
    result = Result("reference", path)
    if not path.exists():
        result.state, result.reason = "missing", "not computed"
        return result
    import h5py

    try:
        with h5py.File(path, "r") as file:
            record = json.loads(file.attrs[KEY])[KEY] if KEY in file.attrs else {}
    except (OSError, ValueError, KeyError):
        result.state, result.reason = "missing", f"{path} is damaged"
        return result
    return result.unless_made_from(record, data.hashes)


def _report(plan: Plan, results: Results) -> Result:
    """Return the state of the report, which holds what the study asks for and nothing else."""
    layout = plan.layout
    result = Result("report", layout.report)
    parts = (layout.report, layout.metrics_table, layout.report_page, layout.figures)
    missing = [path.name for path in parts if not path.exists()]
    if missing or not is_whole(layout.report):
        result.state = "missing"
        result.reason = f"without {', '.join(missing)}" if missing else "damaged"
    else:
        record = recorded_in(layout.report)
        if not (_is_of(plan, layout.report) if not record else _reports(record, results)):
            result.state, result.reason = "outdated", "its results changed since"
    result.follow((any(one.is_due for one in results.found.values()), "its results change"))
    return result


def _reports(record: Mapping[str, str], results: Results) -> bool:
    return record.get("results") == results.content_sha256()


def _is_of(plan: Plan, report: Path) -> bool:
    """Whether a report of an earlier version, without a record, has the points of `plan`."""
    import h5py

    from scoresweep.study import parse_study, plan_study

    try:
        with h5py.File(report, "r") as file:
            content = json.loads(file.attrs["config"])
        other = plan_study(parse_study(content, str(report)), plan.layout.root)
    except (OSError, ValueError, KeyError, InputError):
        return False
    return _points(plan) == _points(other)


def _points(plan: Plan) -> set[str]:
    """Return what tells the points of a plan from others."""
    ids = {point.id[-8:] for points in (plan.runs, plan.settings) for point in points}
    return ids | {plan.evaluate_hash(), plan.score_error_hash()}


def is_imported(layout: Layout, run: str) -> bool:
    """Whether a run's weights came from a checkpoint file, not from training on its data."""
    return layout.weights(run).exists() and "imported" in _read(layout.provenance(run))


def _read(path: Path) -> dict[str, Any]:
    """Return a JSON file's content; nothing if it is missing or damaged."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}


def _names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
