"""Figures for papers: their lines, their size, and their fonts."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from PIL import Image
from scipy import stats
from summarised_report import write_summary
from typer.testing import CliRunner

from scoresweep.pipeline.cli import app
from scoresweep.pipeline.report.paper_figure import paper_charts
from scoresweep.pipeline.report.plots import Axis, Line, LineChart
from scoresweep.pipeline.report.plots.paper_style import draw_charts, save_figure
from scoresweep.pipeline.report.saved_summary import read_summary

VALUES = {
    (levels, step, network): [step * 1e5 + levels, step * 1e5 + levels + 1.0]
    for levels in (4, 6)
    for step in (8e-5, 5e-6, 2e-5)
    for network in ("mlp", "ncsn")
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "report.nc"
    return write_summary(path, ["levels", "step_size", "network"], VALUES)


def run(report: Path, output: Path, *options: str, code: int = 0) -> str:
    command = ["figure", str(report), "--output", str(output), "--x", "step_size", *options]
    ended = CliRunner().invoke(app, command)
    assert getattr(ended.exception, "exit_code", ended.exit_code) == code, ended.output
    return str(ended.exception)


def test_lines_are_the_means_and_intervals_of_the_report(report: Path) -> None:
    summary = read_summary(report)
    first, second = paper_charts(
        summary, "step_size", ["levels"], ["distance", "share"], ["network=mlp"]
    )
    assert [line.name for line in first.lines] == ["levels 4", "levels 6"]
    line = first.lines[1]
    assert line.x == [5e-6, 2e-5, 8e-5]
    assert line.y == pytest.approx([7.0, 8.5, 14.5])
    half = stats.t.ppf(0.975, 1) * 0.5
    assert line.low is not None
    assert line.low == pytest.approx([y - half for y in line.y])
    assert (first.x.log, first.error_bars, second.y.title) == (True, True, "share")
    (chart,) = paper_charts(summary, "network", ["levels"], at=["step_size=2e-5"])
    assert chart.x.ticks == [(0.0, "mlp"), (1.0, "ncsn")]
    assert [line.dash for line in chart.lines] == ["none", "none"]


def test_a_figure_has_its_fonts_and_its_width(report: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.pdf"
    run(report, output, "--line", "levels", "--at", "network=mlp", "--width", "3")
    content = output.read_bytes()
    assert b"/FontFile2" in content, "TrueType"
    assert b"/Type3" not in content
    assert [float(n) for n in re.findall(rb"/MediaBox \[([^]]*)\]", content)[0].split()][2] == 216
    charts = paper_charts(read_summary(report), "step_size", ["levels", "network"])
    figure = draw_charts(charts, 3)
    for suffix in ("svg", "png"):
        save_figure(figure, tmp_path / f"a.{suffix}", suffix)
    svg = (tmp_path / "a.svg").read_text()
    assert "<text" not in svg, "glyphs are paths"
    assert "font-family" not in svg
    with Image.open(tmp_path / "a.png") as image:
        assert image.width == 900
    assert {path.name for path in tmp_path.iterdir()} == {"a.pdf", "a.svg", "a.png"}


@pytest.mark.parametrize("width", [3.25, 6.75])
def test_long_names_below_the_axis_do_not_cover_each_other(width: float) -> None:
    names = ["ALS", "annealed_langevin(denoise=false, step_size=0.01, steps_per_level=2)", "ODE"]
    ticks = [(float(place), name) for place, name in enumerate([*names, "consistent_sampling"])]
    line = Line("", [0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0], dash="none")
    figure = draw_charts([LineChart(Axis("sampler", ticks=ticks), Axis("FID"), [line])], width)
    (panel,) = figure.axes
    boxes = [label.get_window_extent() for label in panel.get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    assert min(box.y0 for box in boxes) > 0
    assert panel.get_window_extent().height > 1.2 * figure.dpi


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("a.jpg", [], ".pdf, .svg or .png"),
        ("a.pdf", ["--width", "wide"], "column, page"),
        ("a.pdf", ["--width", "0"], "number of inches"),
        ("a.pdf", ["--line", "level"], "'levels'"),
        ("a.pdf", ["--line", "step_size"], "named twice"),
        ("a.pdf", ["--line", "levels"], "network (mlp, ncsn)"),
        ("a.pdf", ["--line", "levels,network", "--metric", "fid"], "distance, share"),
    ],
)
def test_wrong_options_are_input_errors(
    report: Path, tmp_path: Path, name: str, options: list[str], said: str
) -> None:
    assert said in run(report, tmp_path / name, *options, code=2)
    assert list(tmp_path.iterdir()) == []


def test_more_lines_than_colours_are_refused(tmp_path: Path) -> None:
    values = {(width, step): [1.0, 2.0] for width in range(9) for step in (1, 2)}
    report = write_summary(tmp_path / "report.nc", ["width", "step_size"], values)
    assert "9 lines" in run(report, tmp_path / "a.pdf", "--line", "width", code=2)
