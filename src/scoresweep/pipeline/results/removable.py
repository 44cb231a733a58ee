"""Which files of a study can be removed: what can be recomputed, and what it no longer names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scoresweep.pipeline.results.best_step import best_group, has_best_step, step_plan
from scoresweep.pipeline.results.examine import examine_results
from scoresweep.pipeline.results.result import Results
from scoresweep.pipeline.study import Plan, Run, Setting
from scoresweep.pipeline.study.batches import SCORE_ERROR
from scoresweep.pipeline.study.ids import ID
from scoresweep.pipeline.system.batch_state import BatchState
from scoresweep.pipeline.system.removal import is_left_behind

__all__ = ["KINDS", "Removable", "find_removable"]

KINDS: dict[str, str] = {
    "features": "features of samples",
    "chunks": "chunk files of finished samples",
    "checkpoints": "checkpoints of finished runs",
    "earlier": "metrics with earlier options, and records of earlier versions and batches",
    "unfinished": "unfinished files of killed processes",
    "unnamed": "results that the study no longer names",
}
"""What can be removed. All but `unnamed` costs no result: the study can compute it again."""

FOLDERS = frozenset({"runs", "samples", "metrics", "features", "batches"})
"""Folders of results that hold a folder for each run."""

SAMPLE_FILE = re.compile(rf"\.?({ID.pattern})\.(?:zarr|json|parts|progress\.json|lock|manifest)")
BATCH_FILE = re.compile(r"\d+-of-(\d+)(?:-at-(\d+))?(?:\.progress)?\.json")
METRICS_FILE = re.compile(rf"({ID.pattern})\.nc")


@dataclass(frozen=True)
class Removable:
    """A file or folder that can be removed."""

    kind: str
    """A key of `KINDS`."""
    path: Path
    locks: tuple[Path, ...] = ()
    """Locks of the processes that may use it."""


def find_removable(plan: Plan) -> list[Removable]:
    """Return what can be removed from the results of a study; its data are shared and stay."""
    results = examine_results(plan)
    found = [
        *(Removable("features", path) for path in _entries(plan, "features")),
        *_chunks(plan, results),
        *_checkpoints(plan, results),
        *_earlier_files(plan),
        *_earlier_batches(plan),
        *_unfinished(plan),
        *_unnamed_runs(plan),
        *_unnamed_settings(plan),
        *_unnamed_choices(plan),
    ]
    return [each for each in found if os.path.lexists(each.path)]


def _chunks(plan: Plan, results: Results) -> Iterator[Removable]:
    """Yield leftover chunk files; those of samples that are not complete save time and stay."""
    growing = {
        (run, setting.store)
        for run, settings in results.settings.items()
        for setting in settings
        if results["sample", run, setting.id].is_due
    }
    for run in plan.runs:
        for store in sorted({setting.store for setting in plan.settings}):
            if (run.id, store) not in growing:
                lock = plan.paths.samples_lock(run.id, store)
                yield Removable("chunks", plan.paths.chunk_folder(run.id, store), (lock,))


def _checkpoints(plan: Plan, results: Results) -> Iterator[Removable]:
    """Yield checkpoints of finished runs.

    Networks of an early version do not record their data, but their checkpoints do, so they stay.
    """
    for run in plan.runs:
        network = results["train", run.id]
        if not network.is_due and network.is_recorded:
            yield Removable(
                "checkpoints", plan.paths.checkpoints(run.id), _training_locks(plan, run.id)
            )


def _training_locks(plan: Plan, run: str) -> tuple[Path, ...]:
    return plan.paths.training_lock(run), plan.paths.launch_lock(run)


def _earlier_files(plan: Plan) -> Iterator[Removable]:
    """Yield metrics with other options, and copies of manifests that an earlier version wrote."""
    stores = {setting.store for setting in plan.settings}
    for run in plan.runs:
        yield Removable("earlier", plan.paths.results / "metrics" / run.id / "earlier")
        for path in (plan.paths.results / "samples" / run.id).glob(".*.manifest"):
            store = path.stem.removeprefix(".")
            if store in stores and plan.paths.samples_manifest(run.id, store).exists():
                yield Removable("earlier", path)


def _earlier_batches(plan: Plan) -> Iterator[Removable]:
    """Yield the records of batches of another size than the last, unless a batch is running."""
    counts: set[str | None] = {str(count) for count in plan.counts} or {None}
    for run in plan.runs:
        files = _files(plan.paths.batches(run.id))
        states = [BatchState.read(path) for path in files if path.match("*.progress.json")]
        if any(state and state.state == "running" and not state.has_ended for state in states):
            continue
        last: dict[str | None, str] = {}  # the number of batches at each count
        found = [(path, match) for path in files if (match := BATCH_FILE.fullmatch(path.name))]
        for _, match in sorted(found, key=lambda each: each[0].stat().st_mtime):
            last[match[2]] = match[1]
        for path, match in found:
            if match[2] not in counts or match[1] != last[match[2]]:
                yield Removable("earlier", path)


def _unfinished(plan: Plan) -> Iterator[Removable]:
    """Yield temporary files whose process was killed."""
    for name in sorted(FOLDERS - {"features"}):
        folder = plan.paths.results / name
        for place in (folder, *(folder / run.id for run in plan.runs)):
            yield from (Removable("unfinished", p) for p in _files(place) if is_left_behind(p))


# ── Results that the study no longer names ──────────────────────────────────────────────────────


def _unnamed_runs(plan: Plan) -> Iterator[Removable]:
    runs = {run.id for run in plan.runs}
    for name in sorted(FOLDERS - {"features"}):
        for path in _entries(plan, name):
            if path.name not in runs:
                locks = _training_locks(plan, path.name) if name == "runs" else path.glob(".*.lock")
                yield Removable("unnamed", path, tuple(locks))


def _unnamed_settings(plan: Plan) -> Iterator[Removable]:
    """Yield samples and metrics of settings, in the folders of runs that the study names."""
    stores = {setting.store for setting in plan.settings}
    ids = {id_ for setting in plan.settings for id_ in (setting.id, *setting.ids.values())}
    for run in plan.runs:
        steps = [s for best in _best(plan, run) for s in step_plan(plan, run, best).settings]
        named, used = ids | {s.id for s in steps}, stores | {s.store for s in steps}
        for path in _files(plan.paths.results / "samples" / run.id):
            found = SAMPLE_FILE.fullmatch(path.name)
            if found and found[1] not in used:
                yield Removable("unnamed", path, (plan.paths.samples_lock(run.id, found[1]),))
        for path in _files(plan.paths.results / "metrics" / run.id):
            found = METRICS_FILE.fullmatch(path.name)
            if found and found[1] not in named:
                yield Removable("unnamed", path)
        errors = {plan.paths.score_error(run.id, name) for name in plan.measured_weights(run)}
        for path in (plan.paths.results / "metrics" / run.id).glob(f"{SCORE_ERROR}*.nc"):
            if path not in errors and not METRICS_FILE.fullmatch(path.name):
                yield Removable("unnamed", path)


def _best(plan: Plan, run: Run) -> list[Setting]:
    """Return the settings whose training step is chosen for a run."""
    return [setting for setting in plan.settings if has_best_step(run, setting)]


def _unnamed_choices(plan: Plan) -> Iterator[Removable]:
    """Yield files of successive halving, and choices of training steps."""
    named = {(g, f"{count}.json") for g in plan.halving_groups() for count in plan.counts}
    for run in plan.runs:
        named |= {(best_group(run, s), f"{s.sample.count}.json") for s in _best(plan, run)}
    for folder in _files(plan.paths.results / "halving"):
        for path in _files(folder):
            if (folder.name, path.name) not in named:
                yield Removable("unnamed", path)


def _entries(plan: Plan, name: str) -> Iterable[Path]:
    """Return the folders of runs in a folder of results; nothing that a user may have put there."""
    return [path for path in _files(plan.paths.results / name) if ID.fullmatch(path.name)]


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
