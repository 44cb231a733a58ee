"""Command `compare`: print two reports side by side, and write them as one table."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.report.comparison import SIDES, Comparison
from scoresweep.pipeline.report.comparison import compare as compare_reports
from scoresweep.pipeline.report.format import (
    format_axes,
    format_interval,
    format_number,
    format_repeats,
    format_value,
    humanize,
)
from scoresweep.pipeline.report.saved_report import Report, read_report
from scoresweep.pipeline.study.methods.method_names import explain_name
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.pipeline.system.console import counted, say

__all__ = ["compare"]

COLOURS = {"A better": "cyan", "B better": "magenta", "not comparable": "red"}


def compare(
    a: Path,
    b: Path,
    metrics: Sequence[str] = (),
    output: Path | None = None,
    console: Console | None = None,
) -> Comparison:
    """Print two reports side by side: each setting by `metrics`, or by the main metric.

    If `output` is given, all settings and metrics are written to it as CSV. Raises `InputError` if
    a file is not a report, or a metric is not in both reports.
    """
    console = console or Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    comparison = compare_reports(read_report(a), read_report(b))
    for name in metrics:
        if name not in comparison.tables:
            raise InputError(
                f"metric {name!r} is not in both reports.{explain_name(name, comparison.tables)} "
                f"Expected one of {', '.join(comparison.tables)}."
            )
    console.print(_studies(comparison))
    for line in _warning_lines(comparison):
        console.print(line, style="bold red", markup=False, soft_wrap=True)
    if comparison.differences:
        console.print(_differences(comparison))
    for name in metrics or [next(iter(comparison.tables))]:
        console.print(_settings(comparison, name), markup=True)
    if comparison.best:
        console.print(_best(comparison))
    if others := [name for name in comparison.tables if name not in comparison.best]:
        console.print(
            f"not counted, because a report does not rank settings by them: {', '.join(others)}",
            markup=False,
            soft_wrap=True,
        )
    for side, names in zip(SIDES, comparison.only_in, strict=True):
        if names:
            console.print(f"metrics only in {side}: {', '.join(names)}", markup=False)
    if output:
        with atomic_write(output) as temporary:
            _long_table(comparison).to_csv(temporary, index=False)
        say(f"{output}: written, all settings and {len(comparison.tables)} metrics")
    return comparison


def _warning_lines(comparison: Comparison) -> Iterable[str]:
    """Return lines about metrics that cannot be compared, and other warnings."""
    reasons: dict[str, list[str]] = {}
    for name, why in comparison.incomparable.items():
        reasons.setdefault(why, []).append(name)
    for why, names in reasons.items():
        yield f"NOT COMPARABLE ({why}): {', '.join(names)}"
    yield from (f"WARNING: {warning}" for warning in comparison.warnings)


def _table(title: str, *columns: str, numbers: Iterable[str] = ()) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        right = column in numbers
        table.add_column(column, justify="right" if right else "left", overflow="fold")
    return table


def _studies(comparison: Comparison) -> Table:
    """Return a table of the two reports, one column each."""
    table = _table("Two studies", "", *SIDES)
    facts = [_report_facts(report) for report in comparison.reports]
    for key in facts[0]:
        table.add_row(key, *(fact[key] for fact in facts))
    return table


def _report_facts(report: Report) -> dict[str, str]:
    """Return the facts about a report: study, file, commit, swept values."""
    about, plan = report.about, report.plan
    changed = " and changes" if about.get("uncommitted_changes") == "true" else ""
    points = [
        (axis, dict.fromkeys(format_value(point[axis]) for point in block))
        for block in (
            [run.axes for run in plan.runs],
            [setting.axes for setting in plan.settings],
            [evaluation.axes for evaluation in plan.evaluations],
        )
        for axis in block[0]
    ]
    return {
        "study": plan.study.study,
        "file": str(report.path),
        "written": str(about.get("created", "")),
        "commit": f"{str(about.get('commit', ''))[:12]}{changed}",
        "measured": _count(len(report.rows)),
        "swept": "\n".join(f"{humanize(axis)}: {', '.join(values)}" for axis, values in points),
    }


def _differences(comparison: Comparison) -> Table:
    """Return a table of the options that differ and that neither study sweeps."""
    table = _table("Options that differ", "option", *SIDES)
    for difference in comparison.differences:
        table.add_row(difference.path, *difference.values)
    return table


def _settings(comparison: Comparison, name: str) -> Table | str:
    """Return a table of one metric for the settings in both reports, or why there are none."""
    rows, axes = comparison.tables[name], comparison.axes_of(name)
    both = rows[~rows["verdict"].str.startswith("only")]
    counts = [f"{(rows['verdict'] == f'only in {s}').sum():,} only in {s}" for s in SIDES]
    if both.empty:
        return f"No setting is in both ({', '.join(counts)}): {_no_overlap_reason(rows, axes)}\n"
    varied = [axis for axis in axes if both[axis].nunique() > 1]
    metric = comparison.reports[0].metrics[name]
    headings = [*map(humanize, varied), *SIDES, "B − A", "B / A", "verdict"]
    title = f"{metric.title} ({metric.better} is better): {_count(len(both))} in both"
    table = _table(title, *headings, numbers=[*SIDES, "B − A", "B / A"])
    for _, row in both.iterrows():
        values = [_with_interval(row, side) for side in SIDES]
        change = [_with_interval(row, "difference"), format_number(row["ratio"])]
        table.add_row(*(format_value(row[a]) for a in varied), *values, *change, _verdict(row))
    same = format_axes({axis: both[axis].iloc[0] for axis in axes if axis not in varied})
    parts = [*counts, *([same] if same else []), _repeats(both), *_interval_sources(both)]
    table.caption, table.caption_justify = "; ".join(parts), "left"
    return table


def _repeats(rows: pd.DataFrame) -> str:
    """Return the number of networks and samplings behind the means."""
    parts = []
    for side in SIDES:
        counts = rows[[f"{side}_networks", f"{side}_samplings"]].drop_duplicates()
        parts.append(
            f"{' or '.join(format_repeats(*pair) for pair in counts.to_numpy())} in {side}"
        )
    return "; ".join(parts)


def _interval_sources(rows: pd.DataFrame) -> Iterable[str]:
    """Return the source of the intervals of the differences."""
    levels = {
        "networks": "networks",
        "samplings": "samplings of one network (they hold for that network only)",
        "samples": "resampling samples (they hold for these networks only)",
    }
    sources = [words for level, words in levels.items() if (rows["over"] == level).any()]
    if sources:
        settings = f", corrected for {len(rows):,} settings" if len(rows) > 1 else ""
        yield f"intervals of B − A come from {', or '.join(sources)}{settings}"


def _no_overlap_reason(rows: pd.DataFrame, axes: Sequence[str]) -> str:
    """Return why no setting is in both: axes without a common value."""
    values = {a: [set(rows[a][rows[side].notna()]) for side in SIDES] for a in axes}
    distinct = [humanize(axis) for axis, (ours, theirs) in values.items() if not ours & theirs]
    return (
        f"no common value of {', '.join(distinct)}"
        if distinct
        else "no common combination of values"
    )


def _count(settings: int) -> str:
    return counted(settings, "setting")


def _verdict(row: pd.Series[Any]) -> str:
    colour = COLOURS.get(row["verdict"])
    return f"[{colour}]{row['verdict']}[/{colour}]" if colour else str(row["verdict"])


def _with_interval(row: pd.Series[Any], side: str) -> str:
    """Return a value with its interval, such as "0.213 (0.188 to 0.238)"."""
    interval = format_interval({end: row[f"{side}_{end}"] for end in ("low", "high")})
    return f"{format_number(row[side])} ({interval})" if interval else format_number(row[side])


def _best(comparison: Comparison) -> Table:
    """Return a table of the best setting of each study, and the number of verdicts, by metric."""
    headings = ["metric", "best in A", "best in B", "A better", "B better", "not apart"]
    table = _table(
        "Best setting of each study, and verdicts for settings in both",
        *headings,
        numbers=headings[3:],
    )
    for name, best in comparison.best.items():
        cells, metric = [], comparison.reports[0].metrics[name]
        for row, report in zip(best, comparison.reports, strict=True):
            axes = [a for a in comparison.axes_of(name) if a in report.axes.values()]
            where = format_axes({axis: row[axis] for axis in axes})
            interval = f" ({format_interval(row)})" if format_interval(row) else ""
            cells.append(
                f"{format_number(row['mean'])}{interval}" + (f"\n{where}" if where else "")
            )
        verdicts = comparison.tables[name]["verdict"]
        counts = [str((verdicts == verdict).sum()) for verdict in headings[3:]]
        if name in comparison.incomparable:
            counts = ["–"] * 3
        table.add_row(f"{name}\n({metric.better} is better)", *cells, *counts)
    return table


def _long_table(comparison: Comparison) -> pd.DataFrame:
    """Return all settings and metrics as one long table."""
    parts = [
        rows.assign(measure=name, incomparable=comparison.incomparable.get(name, ""))
        for name, rows in comparison.tables.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    first = ["measure", *comparison.axes]
    return table[[*first, *(column for column in table if column not in first)]]
