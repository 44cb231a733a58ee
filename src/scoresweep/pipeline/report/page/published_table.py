"""The table of published values on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scoresweep.pipeline.report.format import (
    format_axes,
    format_interval,
    format_number,
    format_repeats,
)
from scoresweep.pipeline.report.published_values import PublishedValue

__all__ = ["published_table"]


def published_table(values: Sequence[PublishedValue]) -> list[dict[str, Any]]:
    """Return a row for each published value and configuration that it is of."""
    return [
        {
            "metric": value.metric.title,
            "configuration": format_axes(value.axes),
            "published": f"{value.published:g}",
            "source": value.entry.source,
            "protocol": value.entry.protocol or "protocol not stated",
            "value": format_number(value.row["mean"]),
            "notes": _notes(value),
        }
        for value in values
    ]


def _notes(value: PublishedValue) -> list[str]:
    """Return interval, repeats, and numbers of samples of the study's own value."""
    if not value.row["networks"]:
        return ["not measured"]
    interval = format_interval(value.row)
    count = f"n = {format_number(value.n_generated)}" if value.n_generated > 0 else ""
    n_real = value.metric.about.get("n_real")
    real = f"n_real = {format_number(n_real)}" if n_real else ""
    notes = [
        f"95 % interval {interval}" if interval else "",
        format_repeats(value.row["networks"], value.row["samplings"]),
        ", ".join(part for part in (count, real) if part),
    ]
    return [note for note in notes if note]
