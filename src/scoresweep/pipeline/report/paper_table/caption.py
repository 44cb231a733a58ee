"""The caption of a table: what its numbers are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from scoresweep.pipeline.report.format import format_axes, format_value
from scoresweep.pipeline.report.saved_summary import SavedSummary
from scoresweep.pipeline.report.tables.halving_coordinates import COUNT

__all__ = ["caption"]

SOURCES = {
    "networks": "over networks",
    "samplings": "over samplings of one network",
    "samples": "from resampling the samples of one network",
}


def caption(
    summary: SavedSummary, cells: pd.DataFrame, metrics: Sequence[str], is_paired: bool
) -> list[str]:
    """Return the sentences of a caption.

    `cells` have the columns of the summary and `mark`; `is_paired` says how ties were found.
    """
    sentences = [_metric(summary.metrics[name], cells) for name in metrics]
    if summary.fixed:
        sentences.append(f"At {format_axes(summary.fixed)}.")
    sentences += _repeats(cells)
    sentences += _marks(cells, is_paired)
    for name in metrics:
        if caveat := summary.metrics[name]["caveat"]:
            sentences.append(f"{summary.metrics[name]['title']} does not rank: {caveat}.")
    return sentences


def _metric(facts: dict[str, str], cells: pd.DataFrame) -> str:
    """Name a metric, its extractor and its numbers of samples."""
    details = [f"{facts['better']} is better"]
    if facts["extractor"]:
        resize = f", resize {facts['resize']}" if facts["resize"] else ""
        details.append(f"extractor {facts['extractor']}{resize}")
    if samples := _samples(facts, cells):
        details.append(f"n = {samples} samples")
    if facts["n_real"]:
        details.append(f"{facts['n_real']} real samples")
    unit = f" [{facts['units']}]" if facts["units"] not in ("", "1") else ""
    unit = "" if unit and unit in facts["title"] else unit
    return f"{facts['title']}{unit} ({'; '.join(details)})."


def _samples(facts: dict[str, str], cells: pd.DataFrame) -> str:
    """Return the number of samples; "" if it is unknown or differs, when each cell names it."""
    if COUNT not in cells or not facts["n_generated"]:
        return facts["n_generated"]
    counts = cells[COUNT].unique().tolist()
    return format_value(counts[0]) if len(counts) == 1 else ""


def _repeats(cells: pd.DataFrame) -> Iterator[str]:
    """Describe the means and their intervals."""
    networks, samplings = (_span(cells[name]) for name in ("networks", "samplings"))
    over = f"{networks} network{'s' * (networks != '1')}"
    if samplings != networks:
        over += f" and {samplings} samplings"
    known = cells[cells["low"] < cells["high"]]
    sources = [SOURCES[level] for level in SOURCES if level in set(known["interval_from"])]
    interval = f" ± 95 % interval ({' or '.join(sources)})" if sources else ""
    yield f"Mean{interval} of {over}."


def _span(counts: pd.Series[int]) -> str:
    low, high = int(counts.min()), int(counts.max())
    return str(low) if low == high else f"{low} to {high}"


def _marks(cells: pd.DataFrame, is_paired: bool) -> Iterator[str]:
    """Explain bold cells, and those with a dagger."""
    if "best" not in set(cells["mark"]):
        return
    yield "Bold: best."
    if "tied" in set(cells["mark"]):
        how = "in pairs of seeds" if is_paired else "by the intervals of both means"
        yield (
            f"†: not significantly worse than the best (5 % level, compared {how}, corrected for "
            f"all comparisons)."
        )
    untested = cells["rank"].notna() & cells["error"].isna() & (cells["mark"] == "")
    if untested.any():
        yield "Differences without an interval are not tested."
