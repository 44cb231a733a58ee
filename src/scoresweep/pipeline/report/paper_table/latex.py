"""A table as LaTeX, with the package booktabs."""

from __future__ import annotations

import itertools
import re

from scoresweep.pipeline.report.paper_table.layout import Cell, Column, PaperTable
from scoresweep.pipeline.report.paper_table.numbers import rounded

__all__ = ["escape", "latex"]

CHARACTERS = {
    "\\": r"\textbackslash{}",
    **{c: rf"\{c}" for c in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
    "\N{NO-BREAK SPACE}": "~",
    "−": "$-$",
    "–": "--",
    "†": r"$^{\dagger}$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "×": r"$\times$",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "∞": r"$\infty$",
    "½": r"$\frac12$",
    "²": "$^2$",
    "³": "$^3$",
    "√": r"$\surd$",
    "‖": r"$\Vert$",
    "₂": "$_2$",
    "μ": r"$\mu$",
    "γ": r"$\gamma$",
    "ε": r"$\varepsilon$",
    "η": r"$\eta$",
    "λ": r"$\lambda$",
    "ρ": r"$\rho$",
    "σ": r"$\sigma$",
    "τ": r"$\tau$",
}
"""Characters that LaTeX treats specially or its default fonts lack."""

POWER = re.compile(r"^(-?[\d.]+)e(-?\d+)$")


def escape(text: str) -> str:
    """Return LaTeX that prints `text`; a number like 2e-5 becomes a power of ten."""
    if power := POWER.match(text):
        return rf"${power[1]} \times 10^{{{power[2]}}}$".replace(r"$1 \times ", "$")
    return "".join(CHARACTERS.get(character, character) for character in text)


def latex(table: PaperTable) -> str:
    """Return the environment `table`; the document needs `\\usepackage{booktabs}`."""
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{' '.join(map(escape, table.caption))}}}",
        rf"\label{{tab:{re.sub('[^A-Za-z0-9:-]+', '-', table.name)}}}",
        rf"\begin{{tabular}}{{{'l' * len(table.heads)}{'c' * len(table.columns)}}}",
        r"\toprule",
        *_groups(table.columns, len(table.heads)),
        _row([escape(text) for text in (*table.heads, *(c.label for c in table.columns))]),
        r"\midrule",
        *(_row([*map(escape, labels), *map(_cell, cells)]) for labels, cells in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return rf"{' & '.join(cells)} \\"


def _groups(columns: list[Column], heads: int) -> list[str]:
    """Return the row of headings that columns share, with rules below."""
    if not any(column.group for column in columns):
        return []
    cells, rules, at = [""] * heads, list[str](), heads + 1
    for group, members in itertools.groupby(columns, key=lambda column: column.group):
        width = len(list(members))
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(group)}}}")
        rules.append(rf"\cmidrule(lr){{{at}-{at + width - 1}}}")
        at += width
    return [_row(cells), " ".join(rules)]


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "--"
    number = rounded(cell)
    text = rf"\mathbf{{{number.mean}}}" if cell.mark == "best" else number.mean
    if number.above and number.above == number.below:
        text += rf" \pm {number.above}"
    elif number.above:
        text += rf"^{{+{number.above}}}_{{-{number.below}}}"
    if number.exponent:
        is_sum = r"\pm" in text
        text = (rf"({text})" if is_sum else text) + rf" \times 10^{{{number.exponent}}}"
    dagger = r"{}^{\dagger}" if cell.mark == "tied" else ""
    return f"${text}{dagger}$"
