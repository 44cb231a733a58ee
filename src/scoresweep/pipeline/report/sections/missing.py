"""Missing and failed results, and metrics that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from scoresweep.pipeline.report.tables.report_data import (
    UNTRAINED,
    MetricFailure,
    MissingResult,
    ReportData,
)
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.console import counted

__all__ = ["MAX_MISSING_ROWS", "blocked_note", "failure_rows", "missing_rows", "missing_summary"]

MAX_MISSING_ROWS = 100
"""Maximum number of missing results that are listed."""


def missing_summary(plan: Plan, data: ReportData) -> str:
    """Count what is missing; "" if nothing is."""
    missing, failures = data.missing, data.failures
    parts: Counter[str] = Counter(result.part for result in missing)
    totals = {"training": len(plan.runs), "score error": len(plan.runs)}
    totals["sampling"] = len(plan.runs) * len(plan.settings)
    names = {"training": "trainings", "score error": "score errors", "sampling": "settings"}
    counts = [f"{parts[part]:,} of {totals[part]:,} {names[part]}" for part in names if parts[part]]
    failed = sum(result.state == "failed" for result in missing)
    text = f"Without a result: {', '.join(counts)}." if missing else ""
    text += f" Failed: {failed:,}." if failed else ""
    if failures:
        settings = len({(failure.run, failure.setting) for failure in failures})
        metrics = ", ".join(sorted({failure.metric for failure in failures}))
        text += f" Not computed for {counted(settings, 'setting')}: {metrics}."
    return text.strip()


def missing_rows(missing: Sequence[MissingResult]) -> list[dict[str, str]]:
    """Return missing results with the command for each, except those that wait for a training."""
    return [_row(result) for result in missing if not _is_blocked(result)]


def blocked_note(missing: Sequence[MissingResult]) -> str:
    """Count the missing results that wait for a training; "" if none does."""
    count = sum(map(_is_blocked, missing))
    rest = "s that wait for their networks are" if count != 1 else " that waits for its network is"
    return f"{count:,} result{rest} not listed." if count else ""


def _is_blocked(result: MissingResult) -> bool:
    return result.reason.startswith(UNTRAINED)


def failure_rows(failures: Sequence[MetricFailure]) -> list[dict[str, str]]:
    """Return each metric that failed, with the reason and the settings."""
    groups: dict[tuple[str, str], list[MetricFailure]] = {}
    for failure in failures:
        groups.setdefault((failure.metric, failure.reason), []).append(failure)
    return [
        {
            "metric": metric,
            "reason": reason,
            "first": f"{alike[0].run} / {alike[0].setting}",
            "more": f"and {len(alike) - 1:,} more" if len(alike) > 1 else "",
        }
        for (metric, reason), alike in groups.items()
    ][:MAX_MISSING_ROWS]


def _row(result: MissingResult) -> dict[str, str]:
    which = f"--run {result.run}" + (f" --setting {result.setting}" if result.setting else "")
    steps = {"training": ["train"], "score error": ["score-error"], "sampling": ["evaluate"]}
    commands = steps[result.part]
    if result.part == "sampling" and "not evaluated" not in result.reason:
        commands = ["sample", "evaluate"]
    return {
        "part": result.part,
        "name": result.name,
        "state": result.state,
        "reason": result.reason,
        "command": " && ".join(f"scoresweep {command} STUDY {which}" for command in commands),
    }
