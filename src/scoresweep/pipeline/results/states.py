"""The state of each kind of result: is it there, whole, and made from what is there now?"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scoresweep.pipeline.data.manifest import check_store
from scoresweep.pipeline.data.source_state import is_same
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results.made_by import made_by_of
from scoresweep.pipeline.results.made_from import (
    KEY,
    data_sha256,
    network_sha256,
    recorded_in,
    training_sha256,
)
from scoresweep.pipeline.results.result import WHAT, Result
from scoresweep.pipeline.study import Plan, StudyPaths
from scoresweep.pipeline.study.methods.datasets import Dataset, UserData
from scoresweep.pipeline.system.hdf5 import contains_text, is_complete

__all__ = [
    "data_of",
    "is_imported",
    "metrics_of",
    "names_in",
    "network_of",
    "reference_of",
    "samples_of",
    "score_error_of",
    "staged_data",
]


def staged_data(layout: StudyPaths, dataset: Dataset) -> Result:
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
    own = dataset.path if isinstance(dataset, UserData) else None
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


def data_of(layout: StudyPaths, dataset: str) -> Result:
    """Return the hashes of a staged dataset as its manifest says, without looking at its files."""
    result = Result("stage", layout.dataset_manifest(dataset))
    with contextlib.suppress(KeyError, TypeError):
        _identify(result, _read(result.output))
    return result


def _identify(data: Result, manifest: Mapping[str, Any]) -> None:
    data.sha256 = data_sha256(manifest)
    data.hashes = {"data": data.sha256, "training_data": training_sha256(manifest)}


def network_of(layout: StudyPaths, run: str, data: Result) -> Result:
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


def _trained_on(layout: StudyPaths, run: str) -> dict[str, str]:
    """Return what the last checkpoint says of the data, for weights of an earlier version."""
    for state in sorted(layout.checkpoints(run).glob("step-*/state.json"), reverse=True)[:1]:
        return {"training_data": str(_read(state).get("data", ""))}
    return {}


def score_error_of(plan: Plan, run: str, network: Result, data: Result) -> Result:
    """Return the state of the score error of a run."""
    result = Result("score_error", plan.paths.score_error(run))
    there = result.output.exists()
    return _measurement(result, there, plan.score_error_hash(), network, data)


def samples_of(
    layout: StudyPaths,
    run: str,
    setting: str,
    network: Result,
    data: Result,
    names: set[str] | None = None,
) -> Result:
    """Return the state of a setting's samples; `names` are those in its folder, if known."""
    manifest, store = layout.samples_manifest(run, setting), layout.samples(run, setting)
    names = names_in(manifest.parent) if names is None else names
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
    path = plan.paths.metrics(run, setting)
    names = names_in(path.parent) if names is None else names
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
    elif not is_complete(path):
        result.state, result.reason, result.is_damaged = "missing", f"{path} is damaged", True
    elif not contains_text(path, options):
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


def is_imported(layout: StudyPaths, run: str) -> bool:
    """Whether a run's weights came from a checkpoint file, not from training on its data."""
    return layout.weights(run).exists() and "imported" in _read(layout.provenance(run))


def _read(path: Path) -> dict[str, Any]:
    """Return a JSON file's content; nothing if it is missing or damaged."""
    try:
        return dict(json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}


def names_in(folder: Path) -> set[str]:
    """Return the names in a folder; none if there is no such folder."""
    return {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
