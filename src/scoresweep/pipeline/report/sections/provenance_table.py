"""Where the results of a report come from: code, machines, time and data."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import xarray as xr

from scoresweep.pipeline.report.format import format_number
from scoresweep.pipeline.report.tables.compute_cost import COST_FIELDS, EVALUATE_PREFIX
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.results.code_summary import code_rows, mixed_code_lines
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.console import duration

__all__ = ["mixed_code_warning", "provenance_rows"]

SHORT = 13
"""Length of an abbreviated commit or hash."""

MAX_NAMES = 3
"""Maximum number of commits, machines or imported runs that are named."""


def mixed_code_warning(data: ReportData) -> str:
    """Name results made by different code, which are not comparable; "" if there are none."""
    lines = mixed_code_lines(data.codes)
    return f"Made by different code, {'; '.join(lines)}." if lines else ""


def provenance_rows(plan: Plan, data: ReportData) -> list[tuple[str, str]]:
    """Return names and descriptions of the program, the machines and the data of the report."""
    about = data.tree.attrs
    versions: dict[str, str] = json.loads(about["versions"])
    commit = about["commit"] or "no repository"
    if about["commit"] and json.loads(about["uncommitted_changes"]):
        commit += " with uncommitted changes"
    found = {
        "written": about["created"],
        "commit": commit,
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items() if version),
        "machine": f"{about['processor']}, {about['cores']} cores, Python {about['python']}, "
        f"{about['platform']}",
    }
    return [
        *found.items(),
        *_runs(plan, about["commit"]),
        *_imports(plan),
        *code_rows(data.codes),
        *_compute_times(data),
        *_datasets(plan),
    ]


def _runs(plan: Plan, commit: str) -> Iterator[tuple[str, str]]:
    """Yield the commits of the trainings if they differ from the report's, and their machines."""
    commits, hosts = Counter[str](), Counter[str]()
    for _, about in _provenances(plan):
        changed = " with uncommitted changes" if about.get("uncommitted_changes") else ""
        commits[f"{(about.get('commit') or 'no repository')[:SHORT]}{changed}"] += 1
        hosts[f"{about.get('host', 'unknown')} ({about.get('processor', 'unknown')})"] += 1
    if set(commits) - {commit[:SHORT]}:
        yield "networks made by commit", _counted(commits)
    if hosts:
        yield "networks made on", _counted(hosts)


def _provenances(plan: Plan) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the id and the provenance of every run that has one."""
    for run in plan.runs:
        try:
            text = plan.paths.provenance(run.id).read_text(encoding="utf-8")
            yield run.id, json.loads(text)
        except (OSError, ValueError):
            continue


def _imports(plan: Plan) -> Iterator[tuple[str, str]]:
    """Yield the source of imported weights, unverified options and their check."""
    found = [(run, about["imported"]) for run, about in _provenances(plan) if "imported" in about]
    for run, about in found[:MAX_NAMES]:
        parts = [f"{about['file']} (SHA-256 {about['sha256'][:SHORT]})"]
        trusted = about.get("on_trust", {})
        if trusted:
            parts.append("not verified: " + ", ".join(f"{k}: {v}" for k, v in trusted.items()))
        if check := about.get("held_out_check"):
            parts.append(f"on {check['images']} test images {check['verdict']}")
        yield f"imported weights: {run}", "; ".join(parts)
    if len(found) > MAX_NAMES:
        yield "imported weights", f"of {len(found) - MAX_NAMES:,} more runs"


def _counted(names: Counter[str]) -> str:
    """List the most frequent names, with their counts if there are several."""
    if len(names) == 1:
        return next(iter(names))
    shown = [f"{name}: {count:,}" for name, count in names.most_common(MAX_NAMES)]
    more = len(names) - len(shown)
    return "; ".join([*shown, *([f"and {more:,} more"] if more else [])])


def _compute_times(data: ReportData) -> Iterator[tuple[str, str]]:
    """Yield the time of each stage on each kind of device."""
    for name, stage, prefix in (
        ("training", "training", ""),
        ("sampling", "sampling", ""),
        ("measuring samples", "sampling", EVALUATE_PREFIX),
        ("score error", "score_error", ""),
        ("features of real samples", "reference", ""),
    ):
        group = data.tree[stage].to_dataset()
        work = xr.Dataset({key: group[prefix + key] for key in COST_FIELDS})
        exists = group["state"] == "done" if "state" in group else xr.ones_like(work["seconds"])
        text = _times(work, exists.astype(bool))
        if text or name in ("training", "sampling"):
            yield f"time: {name}", text or "not recorded"


def _times(work: xr.Dataset, exists: xr.DataArray) -> str:
    """Format the time on each kind of device; "" if there is no work."""
    kinds = np.unique(work["device"].values.astype(str)).tolist()
    times = [_time_on(work, kind) for kind in kinds if kind]
    missing = int((exists & work["seconds"].isnull()).sum())
    return "; ".join([*times, *([f"not recorded for {missing:,}"] if missing else [])])


def _time_on(group: xr.Dataset, kind: str) -> str:
    """Format the hours on one kind of device: GPUs, or cores of the CPU."""
    is_kind = group["device"].astype(str) == kind
    seconds = group["seconds"].where(is_kind)
    hours = float((seconds * group["devices"]).sum()) / 3600
    unit = "core-hours" if kind == "cpu" else f"device-hours on {kind}"
    pieces = int(is_kind.sum())
    text = duration(float(seconds.sum()))
    if pieces > 1:
        text = f"{pieces:,} jobs, {text} in total"
    unknown = int((seconds.notnull() & group["devices"].isnull()).sum())
    if unknown:
        text += f"; number of devices not recorded for {unknown:,}"
    return text if unknown == pieces else f"{format_number(hours)} {unit} ({text})"


def _datasets(plan: Plan) -> Iterable[tuple[str, str]]:
    """Yield source and licence of every staged dataset."""
    for dataset in plan.study.dataset:
        path = plan.paths.dataset_manifest(dataset.id)
        if path.exists():
            about = json.loads(path.read_text(encoding="utf-8"))["attributes"]
            source, licence = about.get("source", "unknown"), about.get("licence", "unknown")
            yield f"data: {dataset.id}", f"{source}; licence: {licence}"
