"""The figures show the given numbers and do not change matplotlib's settings."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import StepPatch
from PIL import Image

from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.report import plots
from scoresweep.pipeline.report.plots import Axis, Cell, HeatMap, Line, LineChart
from scoresweep.pipeline.report.plots.animation import animation
from scoresweep.pipeline.report.plots.image_grids import (
    BLOCK,
    COLUMNS,
    GAP,
    nearest_images,
    sample_grid,
    tile,
    tile_pairs,
    trajectory_strip,
)
from scoresweep.pipeline.report.plots.images import enlarged_pixels

CELLS = [
    Cell(0, 0, 0.5, "0.500", "0.400 to 0.600"),
    Cell(1, 0, 4.0, "4", "3.90 to 4.10"),
    Cell(1, 1, 3.0, "3"),
    Cell(0, 1, None, "missing"),
]
MAP = HeatMap(
    title="Fréchet distance",
    x="step size",
    y="levels",
    columns=["2e-5", "8e-5"],
    rows=["10", "30"],
    cells=CELLS,
    lower_is_better=True,
    log=False,
    best=(0, 0),
)
LINE = Line("levels 4", [4.0, 0.5], [0.5, 4.0], [0.25, 2.0], [0.75, 6.0])


def chart(*lines: Line, **options: Any) -> LineChart:
    return LineChart(Axis("noise level σ", log=True), Axis("loss", log=True), [*lines], **options)


def texts(axes: matplotlib.axes.Axes) -> dict[tuple[float, float], list[str]]:
    found: dict[tuple[float, float], list[str]] = {}
    for text in axes.texts:
        found.setdefault(text.get_position(), []).append(text.get_text())
    return found


def test_heat_map_writes_every_value_in_its_cell() -> None:
    axes = plots.draw_heat_map(MAP).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2e-5", "8e-5"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["10", "30"]
    assert texts(axes) == {
        (0, 0): ["0.500", "0.400 to 0.600"],
        (1, 0): ["4", "3.90 to 4.10"],
        (1, 1): ["3"],
        (0, 1): ["missing"],
    }
    assert axes.patches[0].get_xy() == (-0.5, -0.5)
    assert list(plots.draw_heat_map(replace(MAP, best=None)).axes[0].patches) == []


def test_options_are_below_the_name_of_their_block() -> None:
    blocks = ["langevin(steps=1000, step_size=0.002)", "metropolis"]
    axes = plots.draw_heat_map(replace(MAP, columns=blocks)).axes[0]
    found = [label.get_text() for label in axes.get_xticklabels()]
    assert found == ["langevin\nsteps=1000,\nstep_size=0.002", "metropolis"]


def test_long_intervals_take_two_lines() -> None:
    cells = [Cell(0, 0, 0.5, "0.500", "−0.000482 to 0.000782"), CELLS[1]]
    axes = plots.draw_heat_map(replace(MAP, cells=cells)).axes[0]
    assert texts(axes)[0, 0] == ["0.500", "−0.000482\nto 0.000782"]


def test_a_long_title_takes_no_room_from_the_cells() -> None:
    def height(title: str) -> float:
        figure = plots.draw_heat_map(replace(MAP, title=title))
        figure.draw_without_rendering()
        return figure.axes[0].get_window_extent().height

    assert height("a long title " * 12) == pytest.approx(height("short"), rel=0.1)


@pytest.mark.parametrize(("lower", "best"), [(True, 0.5), (False, 4.0)])
def test_bright_is_better(lower: bool, best: float) -> None:
    image = plots.draw_heat_map(replace(MAP, lower_is_better=lower)).axes[0].images[0]
    brightness = {value: sum(image.cmap(image.norm(value))[:3]) for value in (0.5, 3.0, 4.0)}
    assert max(brightness, key=lambda value: brightness[value]) == best


def test_lines_have_bands_and_logarithmic_axes() -> None:
    dashed = replace(LINE, name="test points", dash="dash")
    figure = plots.draw_lines(chart(LINE, dashed))
    axes = figure.axes[0]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [4.0, 0.5])
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.5, 4.0])
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (0.25, 6.0)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["levels 4", "test points"]


def test_error_bars_and_ticks_are_those_of_the_chart() -> None:
    ticks = [(0.5, "0.5"), (4.0, "4")]
    drawn = LineChart(Axis("step size", ticks=ticks), Axis("distance"), [LINE], error_bars=True)
    axes = plots.draw_lines(drawn).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.5", "4"]
    bars = axes.containers[0].lines[2][0].get_segments()
    assert [segment[:, 1].tolist() for segment in bars] == [[0.25, 0.75], [2.0, 6.0]]


def test_dollar_signs_are_shown_and_are_no_formulas() -> None:
    ticks = [(0.5, r"$\frac$"), (4.0, "$b$")]
    line = replace(LINE, name=r"$\frac$")
    drawn = LineChart(Axis("$c$", ticks=ticks), Axis("d", log=True), [line, LINE])
    figure = plots.draw_lines(drawn)
    plots.png(figure)
    axes = figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == [r"\$\frac\$", r"\$b\$"]
    assert axes.get_xlabel() == r"\$c\$"
    assert figure.legends[0].get_texts()[0].get_text() == r"\$\frac\$"
    assert axes.get_yticklabels()[0].get_text().startswith(r"$\mathdefault")


def test_a_line_of_one_point_is_a_dot() -> None:
    many = [float(n) for n in range(1, 100)]
    axes = plots.draw_lines(chart(Line("a", [1.0], [1.0]), Line("b", many, many))).axes[0]
    assert [line.get_marker() for line in axes.lines] == ["o", ""]


def test_the_page_gets_the_lines_that_are_drawn() -> None:
    content = chart(LINE).to_json()
    assert content["x"]["log"]
    (line,) = content["lines"]
    assert (line["x"], line["y"], line["low"]) == ([4.0, 0.5], [0.5, 4.0], [0.25, 2.0])
    assert line["labels"] == ["4: 0.500", "0.500: 4"]


@pytest.mark.parametrize(
    ("values", "wide"), [([1.0, 9.0], True), ([1.0, 7.0], False), ([0.0, 9.0], False), ([], False)]
)
def test_a_wide_range_is_positive(values: list[float], wide: bool) -> None:
    assert plots.is_wide_range(values, 8) == wide


def test_class_shares_are_beside_real_ones() -> None:
    drawn, real = pd.Series([0.75, 0.25], ["cat", "dog"]), pd.Series([0.5, 0.5], ["cat", "dog"])
    axes = plots.shares(pd.DataFrame({"drawn": drawn, "real": real}), "class").axes[0]
    assert [bar.get_height() for bar in axes.patches] == [0.75, 0.25, 0.5, 0.5]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["cat", "dog"]
    alone = plots.shares(pd.DataFrame({"drawn": drawn}), "class").axes[0]
    assert len(alone.patches) == 2


def test_fields_show_both_scores_and_their_distance() -> None:
    line = np.linspace(-1, 1, 3)
    x = np.stack([grid.ravel() for grid in np.meshgrid(line, line, indexing="ij")], axis=1)
    exact = np.stack([np.tile([4.0, 0.0], (9, 1)), np.tile([0.0, 1.0], (9, 1))])
    learned = exact.copy()
    learned[1, 4] = [3.0, 5.0]
    figure = plots.fields(x, [2.0, 0.5], learned, exact)
    meshes = [axes.collections[0] for axes in (figure.axes[1], figure.axes[3])]
    np.testing.assert_allclose(meshes[0].get_array(), 0)
    assert meshes[1].get_array().ravel()[4] == pytest.approx(0.5 * 5)
    # The length is the root of the size: the largest has 1.4 cells (of width 1).
    right, up = figure.axes[0].collections[0], figure.axes[3].collections[1]
    np.testing.assert_allclose(right.U, 1.4)
    np.testing.assert_allclose(up.V[0], 1.4)
    assert figure.axes[3].get_title(loc="left") == "network, σ = 0.500"


def test_scores_are_the_slopes_of_the_log_densities() -> None:
    x = np.linspace(-3, 3, 601)
    exact, found = np.exp(-(x**2) / 2), np.exp(-(x**2))
    left, right = plots.score_and_density(x, found, exact, "score after 5 steps").axes
    for line, slope in zip(left.lines, (-x, -2 * x), strict=True):
        np.testing.assert_allclose(line.get_ydata()[1:-1], slope[1:-1], atol=1e-3)
    assert left.get_title(loc="left") == "score after 5 steps"
    np.testing.assert_array_equal(right.lines[0].get_ydata(), found)


def test_a_density_of_zero_far_from_its_modes_is_drawn() -> None:
    x = np.linspace(-100, 100, 501)
    exact = np.exp(-(x**2) / 2)
    assert exact[0] == 0
    left, _ = plots.score_and_density(x, exact, exact, "score").axes
    known = np.gradient(np.log(exact[exact > 0]), x[exact > 0])
    low, high = left.get_ylim()
    assert low < known[1:-1].min() < known[1:-1].max() < high < 60
    nothing, _ = plots.score_and_density(x, 0 * x, 0 * x, "score").axes
    assert np.isfinite(nothing.get_ylim()).all()


def test_trajectories_on_a_line_go_from_large_to_small_noise() -> None:
    states = np.random.default_rng(0).normal(size=(2, 3, 1))
    panel = plots.trajectories(states, [4.0, 2.0, 1.0]).axes[0]
    left, right = panel.get_xlim()
    assert left > right
    for line, way in zip(panel.lines, states[..., 0], strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.stack([[4.0, 2.0, 1.0], way], axis=1))


def test_trajectories_in_the_plane_end_in_dots() -> None:
    states = np.random.default_rng(0).normal(size=(2, 3, 2))
    panel = plots.trajectories(states, [4.0, 2.0, 1.0]).axes[0]
    np.testing.assert_array_equal(panel.collections[0].get_offsets(), states[:, -1])
    np.testing.assert_array_equal(panel.lines[1].get_xydata(), states[1])


def test_a_sheet_shows_the_first_and_the_last_state() -> None:
    states = np.linspace(0, 1, 19)[None, :, None, None, None] * np.ones((2, 19, 1, 4, 4))
    picture = np.asarray(Image.open(io.BytesIO(trajectory_strip(states))))
    factor = picture.shape[1] // (10 * (4 + GAP) + GAP)
    greys = picture[:: 5 * factor][0:1]  # the gap above the first row
    assert (greys == 128).all()
    row = picture[2 * factor, [factor * (k * (4 + GAP) + GAP) for k in range(10)]]
    assert row.tolist() == [round(255 * k / 9) for k in range(10)]


def test_an_animation_has_a_frame_for_each_figure() -> None:
    x = np.linspace(-2, 2, 9)
    exact = np.exp(-(x**2))
    shown = [plots.score_and_density(x, k * exact, exact, "") for k in (0.2, 0.5, 1)]
    picture = Image.open(io.BytesIO(animation(shown)))
    assert picture.format == "PNG"
    frames = []
    for index in range(picture.n_frames):
        picture.seek(index)
        frames.append((picture.info["duration"], np.asarray(picture.convert("RGB")).copy()))
    assert [duration for duration, _ in frames] == [200, 200, 2000]
    assert not np.array_equal(frames[0][1], frames[1][1])


def test_sheets_show_every_pixel_unchanged() -> None:
    values = np.random.default_rng(0).integers(0, 17, (8, 5, 4, 1)).astype(np.uint8)
    split = Split(values, pixel_range=(0.0, 16.0))
    sheet = tile(split)
    assert sheet.shape == (2 * (5 + GAP) + GAP, 6 * (4 + GAP) + GAP)
    top, left = 5 + 2 * GAP, 4 + 2 * GAP
    expected = np.round(values[7, :, :, 0] / 16 * 255)
    np.testing.assert_array_equal(sheet[top : top + 5, left : left + 4], expected)
    enlarged = np.asarray(Image.open(io.BytesIO(sample_grid(split))))
    factor = enlarged.shape[0] // sheet.shape[0]
    assert factor > 1
    np.testing.assert_array_equal(enlarged[::factor, ::factor], sheet)


def test_the_pdf_of_a_sheet_keeps_its_pixels() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (31, 43)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    figure = enlarged_pixels(buffer.getvalue())
    drawn = Image.open(io.BytesIO(plots.png(figure))).convert("L")
    np.testing.assert_array_equal(np.asarray(drawn), grey)
    made = plots.pdf(enlarged_pixels(buffer.getvalue()))
    assert re.search(rb"/Width 43\b", made)
    assert re.search(rb"/Height 31\b", made)


def test_colour_images_stay_in_colour() -> None:
    values = np.full((1, 2, 2, 3), (10, 20, 30), dtype=np.uint8)
    assert tile(Split(values, pixel_range=(0.0, 255.0)))[1, 1].tolist() == [10, 20, 30]


@pytest.mark.parametrize("drawn_too", [True, False])
def test_points_in_one_dimension_are_histograms_of_density(drawn_too: bool) -> None:
    real = np.random.RandomState(0).standard_normal((2000, 1)).astype(np.float32)
    drawn = np.concatenate([real[:500] + 1, np.full((500, 1), 1e3, np.float32)])
    axes = plots.points(drawn if drawn_too else None, real).axes[0]
    areas = [
        float(patch.get_data().values @ np.diff(patch.get_data().edges))
        for patch in axes.patches
        if isinstance(patch, StepPatch)
    ]
    # Half of the drawn points are far away, and are missing from the area under the curve.
    assert areas == pytest.approx([1, 0.5][: 1 + drawn_too], abs=0.01)


def test_points_in_many_dimensions_show_the_features_that_vary_most() -> None:
    scale = np.array([3.0, 0.1, 2.0, 0.0], np.float32)
    real = (scale * np.random.RandomState(0).standard_normal((200, 4))).astype(np.float32)
    figure = plots.points(real[:50], real, width=4.9)
    axes = figure.axes[0]
    shown = [np.asarray(collection.get_offsets()) for collection in axes.collections]
    np.testing.assert_array_equal(shown[0], real[:, [0, 2]])
    np.testing.assert_array_equal(shown[1], real[:50, [0, 2]])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("feature 1", "feature 3")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["real", "drawn"]


def test_the_nearest_image_is_found_for_any_pixel_range() -> None:
    draw = np.random.default_rng(0)
    real = Split(draw.integers(0, 17, (BLOCK + 9, 2, 2, 1)).astype(np.uint8), pixel_range=(0, 16))
    wanted = [3, BLOCK + 4, 700]
    near = np.clip(real.values[wanted] * (255 / 16) + 2, 0, 255).astype(np.uint8)
    found = nearest_images(Split(near, pixel_range=(0, 255)), real)
    assert (real.values[found] == real.values[wanted]).all()


def test_pairs_are_one_above_the_other() -> None:
    grey = np.arange(COLUMNS + 1, dtype=np.uint8)[:, None, None, None] * np.ones((1, 3, 3, 1))
    sheet = tile_pairs(Split(grey, pixel_range=(0, 255)), Split(grey + 100, pixel_range=(0, 255)))
    middles = sheet[GAP + 1 :: 3 + GAP, GAP + 1 :: 3 + GAP].tolist()
    first = list(range(COLUMNS))
    empty = [128] * (COLUMNS - 1)
    over = [first, [100 + grey for grey in first], [6, *empty], [106, *empty]]
    assert middles == over
    panel = plots.pairs(sheet, 2).axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["drawn", "nearest"] * 2


def test_settings_of_matplotlib_are_restored() -> None:
    before = dict(matplotlib.rcParams)
    plots.png(plots.draw_lines(chart(LINE)))
    assert dict(matplotlib.rcParams) == before
    assert matplotlib._pylab_helpers.Gcf.figs == {}


def test_equal_figures_are_equal_files() -> None:
    one, two = (plots.draw_lines(chart(LINE)) for _ in range(2))
    assert plots.png(one) == plots.png(two)
    assert plots.pdf(one) == plots.pdf(two)
    assert Image.open(io.BytesIO(plots.png(one))).format == "PNG"
    assert plots.pdf(one).startswith(b"%PDF")
