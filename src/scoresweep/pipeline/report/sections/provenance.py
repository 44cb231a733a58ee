"""What a report lacks, and where what it has comes from."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr

from scoresweep.pipeline.report.format import format_number
from scoresweep.pipeline.report.tables.collect import MetricFailure, MissingResult, ReportData
from scoresweep.pipeline.report.tables.compute_cost import MEASURING, SPENT
from scoresweep.pipeline.results.code_summary import code_rows, mixed_code_lines
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.console import duration

__all__ = [
    "blocked_note",
    "code_lead",
    "gap_rows",
    "missing_summary",
    "problem_rows",
    "provenance_rows",
]

GAP_ROWS = 100
"""Most missing parts that are listed."""

SHORT = 13
"""Letters of a commit that are told apart."""

NAMES = 3
"""Most commits and machines that are named."""


def missing_summary(plan: Plan, data: ReportData) -> str:
    """Count what is missing; "" where nothing is."""
    gaps, problems = data.gaps, data.problems
    parts: Counter[str] = Counter(gap.part for gap in gaps)
    totals = {"training": len(plan.runs), "score error": len(plan.runs)}
    totals["sampling"] = len(plan.runs) * len(plan.settings)
    names = {"training": "trainings", "score error": "score errors", "sampling": "settings"}
    counts = [f"{parts[part]:,} of {totals[part]:,} {names[part]}" for part in names if parts[part]]
    failed = sum(gap.state == "failed" for gap in gaps)
    text = f"Without a result: {', '.join(counts)}." if gaps else ""
    text += f" Failed: {failed:,}." if failed else ""
    if problems:
        settings = len({(problem.run, problem.setting) for problem in problems})
        measures = ", ".join(sorted({problem.metric for problem in problems}))
        text += f" Not computed for {settings:,} setting{'s' * (settings != 1)}: {measures}."
    return text.strip()


def code_lead(data: ReportData) -> str:
    """Say which results were made by several codes, and so cannot be compared; "" if none."""
    lines = mixed_code_lines(data.codes)
    return f"Made by different code, {'; '.join(lines)}." if lines else ""


def gap_rows(gaps: Sequence[MissingResult]) -> list[dict[str, str]]:
    """Return missing parts, each with the command that makes it; none that waits for a training."""
    return [_gap_row(gap) for gap in gaps if not _waits(gap)]


def blocked_note(gaps: Sequence[MissingResult]) -> str:
    """Say how many of the missing parts wait for a training; "" where none does."""
    count = sum(map(_waits, gaps))
    are = "s that wait for their networks are" if count != 1 else " that waits for its network is"
    return f"{count:,} part{are} not listed." if count else ""


def _waits(gap: MissingResult) -> bool:
    return gap.reason.startswith("its network is not trained")


def problem_rows(problems: Sequence[MetricFailure]) -> list[dict[str, str]]:
    """Return each metric that could not be computed, with the reason and where it was so."""
    found: dict[tuple[str, str], list[MetricFailure]] = {}
    for problem in problems:
        found.setdefault((problem.metric, problem.reason), []).append(problem)
    return [
        {
            "metric": metric,
            "reason": reason,
            "first": f"{alike[0].run} / {alike[0].setting}",
            "more": f"and {len(alike) - 1:,} more" if len(alike) > 1 else "",
        }
        for (metric, reason), alike in found.items()
    ][:GAP_ROWS]


def _gap_row(gap: MissingResult) -> dict[str, str]:
    which = f"--run {gap.run}" + (f" --setting {gap.setting}" if gap.setting else "")
    steps = {"training": ["train"], "score error": ["score-error"], "sampling": ["evaluate"]}
    commands = steps[gap.part]
    if gap.part == "sampling" and "not evaluated" not in gap.reason:
        commands = ["sample", "evaluate"]
    return {
        "part": gap.part,
        "name": gap.name,
        "state": gap.state,
        "reason": gap.reason,
        "command": " && ".join(f"scoresweep {command} STUDY {which}" for command in commands),
    }


def provenance_rows(plan: Plan, data: ReportData) -> list[tuple[str, str]]:
    """Return program, machine and data of the report."""
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
        *_spent(data),
        *_datasets(plan),
    ]


def _runs(plan: Plan, commit: str) -> Iterator[tuple[str, str]]:
    """Yield the code and the machines of the trainings, where they are not the report's own."""
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
    """Yield where imported weights come from, what is taken on trust, and how they did."""
    found = [(run, about["imported"]) for run, about in _provenances(plan) if "imported" in about]
    for run, about in found[:NAMES]:
        parts = [f"{about['file']} (SHA-256 {about['sha256'][:SHORT]})"]
        trusted = about.get("on_trust", {})
        if trusted:
            parts.append("on trust: " + ", ".join(f"{k}: {v}" for k, v in trusted.items()))
        if check := about.get("held_out_check"):
            parts.append(f"on {check['images']} test images {check['verdict']}")
        yield f"imported weights: {run}", "; ".join(parts)
    if len(found) > NAMES:
        yield "imported weights", f"of {len(found) - NAMES:,} more runs"


def _counted(names: Counter[str]) -> str:
    """Write the most frequent names, each with how often it occurs where there are several."""
    if len(names) == 1:
        return next(iter(names))
    shown = [f"{name}: {count:,}" for name, count in names.most_common(NAMES)]
    more = len(names) - len(shown)
    return "; ".join([*shown, *([f"and {more:,} more"] if more else [])])


def _spent(data: ReportData) -> Iterator[tuple[str, str]]:
    """Yield the time that each stage took, on how many devices of which kind."""
    for name, stage, prefix in (
        ("training", "training", ""),
        ("sampling", "sampling", ""),
        ("measuring samples", "sampling", MEASURING),
        ("score error", "score_error", ""),
        ("features of real samples", "reference", ""),
    ):
        group = data.tree[stage].to_dataset()
        work = xr.Dataset({key: group[prefix + key] for key in SPENT})
        is_there = group["state"] == "done" if "state" in group else xr.ones_like(work["seconds"])
        told = _times(work, is_there.astype(bool))
        if told or name in ("training", "sampling"):
            yield f"time: {name}", told or "not recorded"


def _times(work: xr.Dataset, is_there: xr.DataArray) -> str:
    """Write the time of each kind of device; "" where no work is there."""
    kinds = np.unique(work["device"].values.astype(str)).tolist()
    told = [_time_on(work, kind) for kind in kinds if kind]
    missing = int((is_there & work["seconds"].isnull()).sum())
    return "; ".join([*told, *([f"not recorded for {missing:,}"] if missing else [])])


def _time_on(group: xr.Dataset, kind: str) -> str:
    """Write the hours of one kind of device; a device is a GPU, or a core of the CPU."""
    there = group["device"].astype(str) == kind
    seconds = group["seconds"].where(there)
    hours = float((seconds * group["devices"]).sum()) / 3600
    unit = "core-hours" if kind == "cpu" else f"device-hours on {kind}"
    pieces = int(there.sum())
    text = duration(float(seconds.sum()))
    if pieces > 1:
        text = f"{pieces:,} pieces of work, {text} one after another"
    unknown = int((seconds.notnull() & group["devices"].isnull()).sum())
    if unknown:
        text += f"; on how many devices is not recorded for {unknown:,}"
    return text if unknown == pieces else f"{format_number(hours)} {unit} ({text})"


def _datasets(plan: Plan) -> Iterable[tuple[str, str]]:
    """Yield source and licence of every staged dataset."""
    for dataset in plan.study.dataset:
        path = plan.paths.dataset_manifest(dataset.id)
        if path.exists():
            about = json.loads(path.read_text(encoding="utf-8"))["attributes"]
            source, licence = about.get("source", "unknown"), about.get("licence", "unknown")
            yield f"data: {dataset.id}", f"{source}; licence: {licence}"
