"""Command `table`: print numbers of a report as a table for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from scoresweep.pipeline.report.paper_table.csv import csv
from scoresweep.pipeline.report.paper_table.latex import latex
from scoresweep.pipeline.report.paper_table.layout import paper_table
from scoresweep.pipeline.report.paper_table.markdown import markdown
from scoresweep.pipeline.report.saved_summary import read_summary

__all__ = ["TableFormat", "table"]

TableFormat = Literal["latex", "markdown", "csv"]

FORMATS = {"latex": latex, "markdown": markdown, "csv": csv}


def table(
    report: Path,
    rows: Sequence[str],
    columns: Sequence[str] = (),
    metrics: Sequence[str] = (),
    at: Sequence[str] = (),
    form: TableFormat = "latex",
) -> str:
    """Return the text of a table of `report`; see `paper_table`."""
    return FORMATS[form](paper_table(read_summary(report), rows, columns, metrics, at))
