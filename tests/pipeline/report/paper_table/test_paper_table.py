"""Tables for papers: which numbers they show, how they are marked, and that LaTeX reads them."""

from __future__ import annotations

import csv
import io
import math
import os
import re
import subprocess
from pathlib import Path

import pytest
from debian_programs import UnavailableError, debian_program
from matplotlib.mathtext import MathTextParser
from scipy import stats
from summarised_report import write_summary
from typer.testing import CliRunner

from scoresweep.pipeline.cli import app
from scoresweep.pipeline.report.paper_table.latex import escape
from scoresweep.pipeline.report.paper_table.layout import Cell
from scoresweep.pipeline.report.paper_table.numbers import rounded

VALUES = {
    (4, 2e-5, "mlp_a"): [1.0, 1.2, 1.1],
    (4, 8e-5, "mlp_a"): [2.0, 2.5, 2.3],
    (6, 2e-5, "mlp_a"): [0.9, 1.3, 1.0],  # better than the first by 0.033, ± 0.29
    (6, 8e-5, "mlp_a"): [7e-5 + 5, 5.1, 5.2],
    (4, 2e-5, "ncsn%"): [9.0, 9.1, 9.2],
}
AXES = ["levels", "step_size", "network"]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_summary(tmp_path_factory.mktemp("study") / "report.nc", AXES, VALUES)


def run(report: Path, *options: str, code: int = 0) -> str:
    ended = CliRunner().invoke(app, ["table", str(report), *options])
    if code:
        assert getattr(ended.exception, "exit_code", ended.exit_code) == code
        return str(ended.exception)
    assert ended.exit_code == 0, ended.output
    return ended.output


def test_cells_are_the_means_and_marks_of_the_report(report: Path) -> None:
    text = run(
        *(report, "--rows", "levels", "--columns", "step_size", "--at", "network=mlp_a"),
        *("--format", "csv"),
    )
    table = {row["levels"]: row for row in csv.DictReader(io.StringIO(text))}
    best = table["6"]
    assert float(best["step size 2e-5"]) == pytest.approx(3.2 / 3)
    low = stats.t.interval(0.95, 2, 3.2 / 3, stats.sem([0.9, 1.3, 1.0]))[0]
    assert float(best["step size 2e-5 low"]) == pytest.approx(low)
    marks = {
        levels: [row[f"step size {s} mark"] for s in ("2e-5", "8e-5")]
        for levels, row in table.items()
    }
    assert marks == {"6": ["best", ""], "4": ["tied", ""]}


def test_without_the_best_of_the_study_the_best_of_the_table_is_bold(report: Path) -> None:
    text = run(
        *(report, "--rows", "levels,network", "--at", "step_size=8e-5", "--format", "markdown")
    )
    assert "| 4 | mlp_a | **2.27** ± 0.63 |" in text
    assert "| 6 | mlp_a | 5.10 ± 0.25 |" in text, "by Welch's interval, 2.8 ± 0.4"
    assert text.count("†") == 0


def test_a_cell_without_result_is_a_dash_and_metrics_stand_side_by_side(report: Path) -> None:
    options = ("--rows", "network", "--columns", "levels", "--at", "step_size=2e-5")
    rows = run(report, *options, "--metric", "distance,share", "--format", "markdown").split("\n")
    assert rows[-2].startswith("| ncsn% | 9.10 ± 0.25 | – | 0.0990 ± 0.0024 |")
    assert rows[2].count("Fréchet distance ↓ levels") == rows[2].count("share ↑ levels") == 2
    assert "copies reach 1, too" in rows[0]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--rows", "level"], "'levels'"),
        (["--rows", "levels", "--columns", "levels"], "levels is named twice"),
        (["--rows", "levels", "--columns", "step_size"], "network (mlp_a, ncsn%)"),
        (
            ["--rows", "levels,network"],
            "needs a place. Fix each by --at step_size=VALUE, or name it in --rows or --columns",
        ),
        (["--rows", "levels", "--at", "step_size=1"], "2e-5, 8e-5"),
        (["--rows", "levels", "--at", "stepsize=1"], "'step_size'"),
        (["--rows", "levels", "--at", "levels=4"], "--at fixes this axis"),
        (["--rows", "levels", "--at", "levels"], "AXIS=VALUE"),
        (["--rows", "levels", "--metric", "distanse"], "'distance'"),
        (
            ["--rows", "step_size", "--at", "levels=6", "--at", "network=ncsn%"],
            "no measured setting",
        ),
    ],
)
def test_wrong_options_are_input_errors(report: Path, options: list[str], said: str) -> None:
    assert said in run(report, *options, code=2)


def test_a_file_without_a_summary_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "report.nc").write_bytes(b"no report")
    assert "scoresweep report STUDY" in run(tmp_path / "report.nc", "--rows", "x", code=2)
    assert "no such file" in run(tmp_path / "none.nc", "--rows", "x", code=2)


@pytest.mark.parametrize(
    ("cell", "texts"),
    [
        ((12.345, 12.1, 12.6), ("12.3", "0.3", "0.2", 0)),
        ((12.3456, 12.3416, 12.3496), ("12.346", "0.004", "0.004", 0)),
        ((2.134e-5, 2.034e-5, 2.334e-5), ("2.13", "0.20", "0.10", -5)),
        ((1234.5, 1200.0, 1300.0), ("1234", "66", "34", 0)),
        ((0.5, math.nan, math.nan), ("0.500", "", "", 0)),
        ((0.0, 0.0, 0.0), ("0.00", "", "", 0)),
        ((-0.25, -0.3, -0.2), ("-0.250", "0.050", "0.050", 0)),
    ],
)
def test_numbers_are_rounded_to_one_place(
    cell: tuple[float, float, float], texts: tuple[str, str, str, int]
) -> None:
    assert rounded(Cell(*cell, "")) == texts


def document(report: Path) -> str:
    options = ("--rows", "network,levels", "--columns", "step_size", "--metric", "distance,share")
    table = run(report, *options)
    packages = r"\usepackage[T1]{fontenc}\usepackage{booktabs}"
    return rf"\documentclass{{article}}{packages}\begin{{document}}{table}\end{{document}}"


def test_latex_has_whole_rows_and_valid_formulas(report: Path) -> None:
    text = document(report)
    body = text.split(r"\toprule")[1].split(r"\bottomrule")[0]
    rows = [row for row in body.split("\\\\\n") if "&" in row]
    spans = [sum(int(n) - 1 for n in re.findall(r"\\multicolumn\{(\d)\}", row)) for row in rows]
    counts = [len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows]
    assert [count + span for count, span in zip(counts, spans, strict=True)] == [6] * 5
    assert r"\begin{tabular}{llcccc}" in text
    formulas = re.findall(r"(?<!\\)\$(.+?)(?<!\\)\$", text)
    assert r"\mathbf{1.07} \pm 0.52" in formulas
    parser = MathTextParser("path")
    for formula in set(formulas):
        parser.parse(f"${formula.replace('{}^', '^')}$")
    assert r"Inception\_2015 \& more" in text
    assert r"ncsn\%" in text


def test_special_characters_are_escaped() -> None:
    assert escape("a_b & 5 % {x} ≤ σ²") == r"a\_b \& 5 \% \{x\} $\leq$ $\sigma$$^2$"
    assert (escape("2e-5"), escape("1e-5")) == (r"$2 \times 10^{-5}$", "$10^{-5}$")


@pytest.mark.download
def test_latex_compiles(report: Path, tmp_path: Path) -> None:
    try:
        pdflatex = debian_program("pdflatex", "texlive-latex-recommended")
    except UnavailableError as error:
        if os.environ.get("SCORESWEEP_DOWNLOAD_TESTS") == "require":
            pytest.fail(f"SCORESWEEP_DOWNLOAD_TESTS=require: {error}")
        pytest.skip(str(error))
    (tmp_path / "table.tex").write_text(document(report), encoding="utf-8")
    command = [pdflatex, "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "table.pdf").read_bytes().startswith(b"%PDF")
