"""Count the results of a study by the code that computed them."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scoresweep.pipeline.results.code_version import (
    CodeVersion,
    Kind,
    current_code,
    describe_other_code,
    recorded_code,
)
from scoresweep.pipeline.results.due_jobs import KINDS
from scoresweep.pipeline.results.result import Results
from scoresweep.pipeline.system.atomic_files import remove
from scoresweep.pipeline.system.console import say

__all__ = [
    "RECOMPUTE_COMMAND",
    "CodeCounts",
    "code_records",
    "code_rows",
    "count_codes",
    "mixed_code_lines",
    "other_code_lines",
    "remove_if_other_code",
    "report_other_code",
]

RECOMPUTE_COMMAND = "snakemake --rerun-triggers code mtime"
"""Recomputes the results of other code."""

KIND_NAMES: dict[Kind, str] = {
    "data": "staged data",
    "networks": "networks",
    "samples": "samples",
    "features": "features of real samples",
    "score_error": "score errors",
    "metrics": "metrics",
}

MAX_LISTED = 4
"""Maximum number of code versions named in one line."""

CodeCounts = Mapping[Kind, Counter[CodeVersion]]
"""Number of results by kind and code version."""


def count_codes(results: Results) -> CodeCounts:
    """Count the results of a study by kind and code version; settings may share samples.

    Commits with identical code count as one, under the first commit found.
    """
    counts: dict[Kind, Counter[CodeVersion]] = {}
    first_commit: dict[tuple[Kind, str], CodeVersion] = {}
    for result in {result.output: result for result in results.by_key.values()}.values():
        if (code := result.code) is None:
            continue
        kind = KINDS[result.rule]
        if code.code:
            code = first_commit.setdefault((kind, code.code), code)
        counts.setdefault(kind, Counter())[code] += 1
    return counts


def remove_if_other_code(kind: Kind, record: Path, *others: Path) -> None:
    """Remove a result computed by other code: `record`, which names the code, and `others`."""
    with contextlib.suppress(FileNotFoundError):
        if problem := describe_other_code(recorded_code(record), kind):
            say(f"{record}: {problem}; recomputing")
            for path in (record, *others):
                remove(path)


def code_rows(counts: CodeCounts) -> list[tuple[str, str]]:
    """Return the name of each kind of result and a description of its code versions."""
    return [
        (name, _describe(counts[kind], current_code(kind)))
        for kind, name in KIND_NAMES.items()
        if kind in counts
    ]


def other_code_lines(counts: CodeCounts) -> list[str]:
    """Return one line for each kind with results of other code."""
    others = {
        kind: codes
        for kind, codes in counts.items()
        if any(code.code != current_code(kind).code for code in codes)
    }
    return [f"{name}: {text}" for name, text in code_rows(others)]


def mixed_code_lines(counts: CodeCounts) -> list[str]:
    """Return one line for each kind with results of several code versions."""
    mixed = {kind: codes for kind, codes in counts.items() if len(codes) > 1}
    return [f"{name}: {text}" for name, text in code_rows(mixed)]


def _describe(counts: Counter[CodeVersion], now: CodeVersion) -> str:
    """Return "mixed: 3 by this code, 1 by code 3f2a9c1b0d4e (commit 79c2b1f0abcd)"."""
    ordered = sorted(counts.items(), key=lambda item: (item[0].code != now.code, -item[1]))
    if len(ordered) == 1:
        ((code, count),) = ordered
        text = f"made by {code}" if count == 1 else f"all {count:,} made by {code}"
        return text if code.code == now.code else f"{text}; this is {now}"
    parts = [
        f"{count:,} by {'this code' if code.code == now.code else code}"
        for code, count in ordered[:MAX_LISTED]
    ]
    if len(ordered) > MAX_LISTED:
        parts.append(f"the others by {len(ordered) - MAX_LISTED:,} more")
    return f"mixed: {', '.join(parts)}"


def report_other_code(counts: CodeCounts) -> None:
    """Print which results other code computed, and how to recompute them."""
    lines = other_code_lines(counts)
    for line in lines:
        say(line)
    if lines:
        say(f"To recompute the results of other code, run `{RECOMPUTE_COMMAND}`.")


def code_records(counts: CodeCounts) -> list[dict[str, Any]]:
    """Return kind, code, commit, number of results and whether it is this code, as plain values."""
    return [
        {
            "kind": kind,
            **code.record(),
            "results": count,
            "is_this": code.code == current_code(kind).code,
        }
        for kind, codes in counts.items()
        for code, count in codes.items()
    ]
