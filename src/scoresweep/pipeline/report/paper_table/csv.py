"""A table as CSV with all digits, for a spreadsheet."""

from __future__ import annotations

import csv as writer
import io

from scoresweep.pipeline.report.paper_table.layout import PaperTable

__all__ = ["csv"]


def csv(table: PaperTable) -> str:
    """Return a row for each row, with mean, interval and mark of every column."""
    file = io.StringIO()
    out = writer.writer(file, lineterminator="\n")
    labels = [f"{c.group} {c.label}".strip() for c in table.columns]
    sides = ("", " low", " high", " mark")
    out.writerow([*table.heads, *(f"{label}{side}" for label in labels for side in sides)])
    for names, cells in table.rows:
        values: list[object] = list(names)
        for cell in cells:
            values += [cell.mean, cell.low, cell.high, cell.mark] if cell else [""] * 4
        out.writerow(values)
    return file.getvalue()
