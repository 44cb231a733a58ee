"""Which results of a study were made by other code than that of this process."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scoresweep.pipeline.results.made_by import Kind, MadeBy, made_by, made_by_of, other_code
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.atomic_files import remove
from scoresweep.pipeline.system.console import say

__all__ = [
    "AGAIN",
    "Census",
    "code_lines",
    "code_rows",
    "code_table",
    "codes_of_results",
    "discard_other_code",
    "mixed_lines",
    "say_codes",
]

AGAIN = "snakemake --rerun-triggers code mtime"
"""Computes results of other code again."""

NAMES: dict[Kind, str] = {
    "data": "staged data",
    "networks": "networks",
    "samples": "samples",
    "features": "features of real samples",
    "score_error": "score errors",
    "metrics": "metrics",
}

NAMED = 4
"""Most codes that a line names."""

Census = Mapping[Kind, Counter[MadeBy]]
"""How many results of each kind each code has made."""


def codes_of_results(plan: Plan) -> Census:
    """Count the finished results of a study by kind and code; the cost is linear in their number.

    Commits of the same code count as one: the first that is found.
    """
    found: dict[Kind, Counter[MadeBy]] = {}
    known: dict[tuple[Kind, str], MadeBy] = {}
    for kind, path in _results(plan):
        with contextlib.suppress(FileNotFoundError):
            code = made_by_of(path)
            same = known.setdefault((kind, code.code), code) if code.code else code
            found.setdefault(kind, Counter())[same] += 1
    return found


def _results(plan: Plan) -> Iterator[tuple[Kind, Path]]:
    """Yield the file of each result that names the code."""
    layout = plan.paths
    for dataset in plan.study.dataset:
        yield "data", layout.dataset_manifest(dataset.id)
        for extractor in plan.extractors:
            yield "features", plan.reference(dataset.id, extractor)
    for run in plan.runs:
        if layout.weights(run.id).exists():
            yield "networks", layout.provenance(run.id)
        if plan.measures_score_error:
            yield "score_error", layout.score_error(run.id)
        for setting in plan.settings:
            yield "samples", layout.samples_manifest(run.id, setting.id)
            yield "metrics", layout.metrics(run.id, setting.id)


def discard_other_code(kind: Kind, record: Path, *others: Path) -> None:
    """Remove a result that other code has made: the file that names the code, and `others`."""
    with contextlib.suppress(FileNotFoundError):
        if problem := other_code(record, kind):
            say(f"{record}: {problem}; it is made again")
            for path in (record, *others):
                remove(path)


def code_rows(census: Census) -> list[tuple[str, str]]:
    """Return the name of each kind of result, and by which code its results were made."""
    return [(NAMES[k], _described(census[k], made_by(k))) for k in NAMES if k in census]


def code_lines(census: Census) -> list[str]:
    """Say of each kind that is not all of this code by which code its results were made."""
    others = {
        kind: counts
        for kind, counts in census.items()
        if any(code.code != made_by(kind).code for code in counts)
    }
    return [f"{name}: {text}" for name, text in code_rows(others)]


def mixed_lines(census: Census) -> list[str]:
    """Say of each kind whose results several codes have made which ones these are."""
    mixed = {kind: counts for kind, counts in census.items() if len(counts) > 1}
    return [f"{name}: {text}" for name, text in code_rows(mixed)]


def _described(counts: Counter[MadeBy], now: MadeBy) -> str:
    """Return "mixed: 3 of this code, 1 of code 3f2a9c1b0d4e (commit 79c2b1f0abcd)"."""
    ordered = sorted(counts.items(), key=lambda item: (item[0].code != now.code, -item[1]))
    if len(ordered) == 1:
        ((code, count),) = ordered
        what = f"made by {code}" if count == 1 else f"all {count:,} made by {code}"
        return what if code.code == now.code else f"{what}; this is {now}"
    parts = [
        f"{count:,} by {'this code' if code.code == now.code else code}"
        for code, count in ordered[:NAMED]
    ]
    if len(ordered) > NAMED:
        parts.append(f"the others by {len(ordered) - NAMED:,} more")
    return f"mixed: {', '.join(parts)}"


def say_codes(census: Census) -> None:
    """Name the results that other code has made, and how to compute them again."""
    lines = code_lines(census)
    for line in lines:
        say(line)
    if lines:
        say(f"`{AGAIN}` computes results of other code again")


def code_table(census: Census) -> list[dict[str, Any]]:
    """Return kind, code, commit, number of results and whether it is this code, as plain values."""
    return [
        {
            "kind": kind,
            **code.record(),
            "results": count,
            "is_this": code.code == made_by(kind).code,
        }
        for kind, counts in census.items()
        for code, count in counts.items()
    ]
