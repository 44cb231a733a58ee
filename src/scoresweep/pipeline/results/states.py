"""The state of each kind of result: done, missing or outdated."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scoresweep.pipeline.data.file_changes import is_unchanged
from scoresweep.pipeline.data.store_manifest import check_store, num_held
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results.code_version import MADE_BY, find_code, parse_code, recorded_code
from scoresweep.pipeline.results.input_hashes import (
    MADE_FROM,
    dataset_sha256,
    find_made_from,
    recorded_weights_sha256,
    samples_sha256,
    training_sha256,
)
from scoresweep.pipeline.results.result import INPUT_NAMES, Result
from scoresweep.pipeline.study import Plan, Setting, StudyPaths
from scoresweep.pipeline.study.methods.datasets import Dataset, UserData
from scoresweep.pipeline.system.atomic_files import read_json
from scoresweep.pipeline.system.hdf5 import is_complete

__all__ = [
    "dataset_state",
    "is_imported",
    "list_names",
    "metrics_state",
    "network_state",
    "recorded_dataset",
    "reference_state",
    "samples_state",
    "score_error_state",
]


def dataset_state(paths: StudyPaths, dataset: Dataset) -> Result:
    """Return the state of a staged dataset: `outdated` if the user's source files have changed.

    Deleted source files count as unchanged.
    """
    result = Result("stage", paths.dataset_manifest(dataset.id))
    try:
        manifest = check_store(paths.dataset_store(dataset.id))
        _set_hashes(result, manifest)
    except (InputError, KeyError, TypeError) as error:
        result.state, result.reason = "missing", str(error)
        return result
    source = dataset.path if isinstance(dataset, UserData) else None
    if source is None or not source.exists():
        return result
    try:
        if is_unchanged(source, manifest["attributes"]["sha256"], paths.dataset_state(dataset.id)):
            return result
        result.reason = f"{source} has changed since it was staged"
    except (InputError, KeyError) as error:
        result.reason = str(error)
    result.state = "outdated"
    return result


def recorded_dataset(paths: StudyPaths, dataset: str) -> Result:
    """Return a staged dataset with the hashes in its manifest; its files are not checked."""
    result = Result("stage", paths.dataset_manifest(dataset))
    with contextlib.suppress(KeyError, TypeError):
        _set_hashes(result, read_json(result.output))
    return result


def _set_hashes(data: Result, manifest: Mapping[str, Any]) -> None:
    data.sha256 = dataset_sha256(manifest)
    data.hashes = {"data": data.sha256, "training_data": training_sha256(manifest)}
    data.code = parse_code(manifest.get(MADE_BY))


def network_state(paths: StudyPaths, run: str, data: Result, name: str = "") -> Result:
    """Return the state of a run's weights; `name` names others than the default ones."""
    weights, manifest = paths.weights(run, name), paths.weights_manifest(run, name)
    result = Result("train", manifest)
    if not weights.exists():
        result.state, result.reason = "missing", f"{name} not kept" if name else "not trained"
        return result
    result.sha256 = recorded_weights_sha256(weights)
    result.hashes = {"weights": result.sha256}
    with contextlib.suppress(FileNotFoundError):
        result.code = recorded_code(paths.provenance(run))
    content = read_json(manifest)
    record = {}
    if content and content.get("sha256") == result.sha256:
        record = content.get(MADE_FROM, {})
        result.hashes["weights_file"] = content.get("file_sha256")
        result.is_recorded = bool(record)
    return result.compare_inputs(record or _checkpoint_inputs(paths, run), data.hashes)


def _checkpoint_inputs(paths: StudyPaths, run: str) -> dict[str, str]:
    """Return the hash of the data in the last checkpoint, for weights of an earlier version."""
    for state in sorted(paths.checkpoints(run).glob("step-*/state.json"), reverse=True)[:1]:
        return {"training_data": str(read_json(state).get("data", ""))}
    return {}


def score_error_state(
    plan: Plan, run: str, network: Result, data: Result, weights: str = ""
) -> Result:
    """Return the state of the score error of a run's `weights`, whose state is `network`."""
    result = Result("score_error", plan.paths.score_error(run, weights))
    exists = result.output.exists()
    return _measurement_state(result, exists, plan.score_error_hash(), network, data)


def samples_state(
    paths: StudyPaths,
    run: str,
    setting: Setting,
    network: Result,
    data: Result,
    names: set[str] | None = None,
) -> Result:
    """Return the state of a setting's samples; `names` lists their folder, if known.

    A store may hold more samples than the setting asks for; its own hash is that of the first.
    """
    manifest, store = paths.samples_manifest(run, setting.store), paths.samples(run, setting.store)
    names = list_names(manifest.parent) if names is None else names
    result = Result("sample", manifest)
    content = read_json(manifest) if manifest.name in names else {}
    if not content or store.name not in names:
        result.state = "missing"
        result.reason = "the samples were deleted" if content else "not drawn"
        return result
    count, held = setting.sample.count, num_held(content, setting.sample.count)
    result.code = parse_code(content.get(MADE_BY))
    result.sha256 = samples_sha256(content, count)
    result.is_recorded = MADE_FROM in content
    result.hashes = {"samples": result.sha256}
    record = {"weights_file": content.get("weights_sha256", "")} | content.get(MADE_FROM, {})
    result.compare_inputs(record, network.hashes | data.hashes)
    if result.state == "done" and held < count:
        result.state, result.reason = "missing", f"{held:,} of {count:,} samples are drawn"
        result.held = held
    return result


def metrics_state(
    plan: Plan,
    run: str,
    setting: str,
    samples: Result,
    data: Result,
    names: set[str] | None = None,
    options: str | None = None,
) -> Result:
    """Return the state of a setting's metrics.

    `names` lists their folder and `options` is `plan.evaluate_hash()`, if known.
    """
    path = plan.paths.metrics(run, setting)
    names = list_names(path.parent) if names is None else names
    options = plan.evaluate_hash() if options is None else options
    result = Result("evaluate", path)
    return _measurement_state(result, path.name in names, options, samples, data)


def _measurement_state(
    result: Result, exists: bool, options: str, measured: Result, data: Result
) -> Result:
    """Return the state of a file of measurements; `measured` is the network or the samples."""
    path = result.output
    if not exists:
        result.state, result.reason = "missing", "not measured"
        return result
    content = path.read_bytes()
    if not is_complete(content):
        result.state, result.reason, result.is_damaged = "missing", f"{path} is damaged", True
        return result
    result.code, record = find_code(content), find_made_from(content)
    if options.encode() not in content:
        result.state, result.reason = "outdated", "measured with other options"
        return result
    result.sha256 = json.dumps([options, record, result.code.code])
    result.is_recorded = bool(record)
    result.compare_inputs(record, measured.hashes | data.hashes)
    # An earlier version measured a network or samples that have since been replaced.
    if measured.is_recorded and not record:
        changed = INPUT_NAMES[next(iter(measured.hashes))]
        result.state, result.reason = "outdated", f"{changed} changed"
    return result


def reference_state(plan: Plan, dataset: str, extractor: str, data: Result) -> Result:
    """Return the state of a file of real features."""
    path = plan.reference(dataset, extractor)
    result = Result("reference", path)
    if not path.exists():
        result.state, result.reason = "missing", "not computed"
        return result
    import h5py

    try:
        with h5py.File(path, "r") as file:
            record = json.loads(file.attrs[MADE_FROM])[MADE_FROM] if MADE_FROM in file.attrs else {}
    except (OSError, ValueError, KeyError):
        result.state, result.reason = "missing", f"{path} is damaged"
        return result
    result.code = recorded_code(path)
    return result.compare_inputs(record, data.hashes)


def is_imported(paths: StudyPaths, run: str) -> bool:
    """Return whether a run's weights were imported from a checkpoint file."""
    return paths.weights(run).exists() and "imported" in read_json(paths.provenance(run))


def list_names(folder: Path) -> set[str]:
    """Return the names in a folder; none if it does not exist."""
    return {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()
