"""A table as Markdown, for a README or an issue."""

from __future__ import annotations

from scoresweep.pipeline.report.paper_table.layout import Cell, PaperTable
from scoresweep.pipeline.report.paper_table.numbers import rounded

__all__ = ["markdown"]


def markdown(table: PaperTable) -> str:
    """Return a table with its caption above; a column's label includes that of its group."""
    labels = [f"{c.group} {c.label}".strip() for c in table.columns]
    head = [*table.heads, *labels]
    rules = [*["---"] * len(table.heads), *["---:"] * len(labels)]
    rows = [[*names, *map(_cell, cells)] for names, cells in table.rows]
    lines = [" ".join(table.caption), "", *map(_row, (head, rules, *rows))]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    number = rounded(cell)
    power = f"e{number.exponent}" if number.exponent else ""
    text = f"{number.mean}{power}"
    text = f"**{text}**" if cell.mark == "best" else text
    if number.above and number.above == number.below:
        text += f" ± {number.above}{power}"
    elif number.above:
        text += f" (+{number.above}{power} −{number.below}{power})"
    return text + " †" * (cell.mark == "tied")
