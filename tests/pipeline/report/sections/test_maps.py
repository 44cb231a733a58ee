"""Axes and cells of the maps, and the lines of the charts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from faked_study import CONTENT, fake_measurements, fake_metrics, fake_plan, frechet

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.report.format import format_number
from scoresweep.pipeline.report.plots import COLOURS, HeatMap
from scoresweep.pipeline.report.sections.captioned_figure import configuration_lines, level_lines
from scoresweep.pipeline.report.sections.maps import axis_pairs, metric_maps
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.summarise import with_summary
from scoresweep.pipeline.report.tables.collect import collect
from scoresweep.pipeline.report.tables.frames import wide_table
from scoresweep.pipeline.study import Plan

DISTANCE = RankedMetric("frechet_classifier", "Fréchet distance", "lower", {})


def test_the_axes_that_matter_most_come_first(tmp_path: Path) -> None:
    """Denoising takes 0.4 off; a step size of 8e-5 adds 0.6, one of 2.2e-5 only 0.04."""
    for name, step, first in (("far", 8e-5, "step_size"), ("near", 2.2e-5, "denoise")):
        grid = {"sampler.step_size": [step, 2e-5], "sampler.denoise": [True, False]}
        plan = fake_plan(tmp_path / name, sample=CONTENT["sample"] | {"grid": grid})
        fake_measurements(plan)
        data = collect(plan, collect_jobs(plan))
        pairs = axis_pairs(data, wide_table(data), DISTANCE.name)
        assert pairs[0] == [first, "levels"]
        assert sorted(pairs) == [["denoise", "levels"], ["step_size", "levels"]]


def test_a_cell_outside_the_study_is_not_missing(tmp_path: Path) -> None:
    """The study has five of 3 × 2 cells, and one of these is not measured."""
    zipped = {"noise.levels": [4, 6, 8, 6, 8], "noise.sigma_min": [0.05, 0.05, 0.05, 0.1, 0.1]}
    blocks: dict[str, Any] = {
        name: {key: value for key, value in CONTENT[name].items() if key != "grid"}
        for name in ("train", "sample")
    }
    blocks["train"]["zip"] = [zipped]
    plan = fake_plan(tmp_path, **blocks)
    fake_measurements(plan)
    plan.paths.metrics(plan.runs[4].id, plan.settings[0].id).unlink()
    figure = the_map(plan)
    texts = [cell.text for cell in figure.chart.cells]
    assert (len(texts), texts.count("missing")) == (5, 1)
    assert "no settings at empty cells" in figure.caption
    fake_metrics(plan, plan.runs[4], plan.settings[0])
    assert "missing" not in [cell.text for cell in the_map(plan).chart.cells]


def the_map(plan: Plan) -> Any:
    data = collect(plan, collect_jobs(plan))
    wide = wide_table(data)
    (figure,) = metric_maps(with_summary(data, wide, [DISTANCE]), wide, [DISTANCE])
    return figure


def test_a_map_shows_the_best_over_the_other_axes(tmp_path: Path) -> None:
    grid = {"sampler.step_size": [8e-5, 2e-5], "sampler.denoise": [True, False]}
    plan = fake_plan(tmp_path, sample=CONTENT["sample"] | {"grid": grid})
    fake_measurements(plan)
    data = collect(plan, collect_jobs(plan))
    wide = wide_table(data)
    first = next(metric_maps(with_summary(data, wide, [DISTANCE]), wide, [DISTANCE]))
    chart = first.chart
    assert isinstance(chart, HeatMap)
    assert (chart.columns, chart.rows) == (["2e-5", "8e-5"], ["4", "6"])
    settings = [s for s in plan.settings if s.axes["step_size"] == 2e-5]
    denoised = next(s for s in settings if s.sample.sampler.denoise)
    runs = [run for run in plan.runs if run.axes["levels"] == 6]
    mean = np.mean([frechet(run, denoised) for run in runs])
    assert chart.best == (0, 1)
    assert {cell.text for cell in chart.cells if (cell.column, cell.row) == chart.best} == {
        format_number(mean)
    }
    assert "at the best denoise" in first.caption
    assert "empty" not in first.caption


def test_lines_are_evenly_spaced_configurations_in_the_order_of_the_study() -> None:
    frame = pd.DataFrame({"width": range(50), "step": 1, "loss": range(50)})
    lines = configuration_lines(frame, "step", "loss", ["width", "seed"])
    assert [line.name for line in (lines[0], lines[-1])] == ["width 0", "width 49"]
    assert (len(lines), {line.of for line in lines}) == (len(COLOURS), {50})
    words = pd.DataFrame({"network": ["ncsnv2", "mlp", "mlp"], "step": 1, "loss": [1.0, 2, np.nan]})
    lines = configuration_lines(words, "step", "loss", ["network"])
    assert [(line.colour, line.name) for line in lines] == [
        (COLOURS[0], "network ncsnv2"),
        (COLOURS[1], "network mlp"),
    ]


def test_lines_are_means_with_bands_over_seeds() -> None:
    rows = [
        {"at": i, "x": float(i), "steps": steps, "seed": seed, "density": steps * i + seed}
        for i in range(3)
        for steps in (1, 10)
        for seed in (0, 2)
    ]
    first, second = configuration_lines(pd.DataFrame(rows), "x", "density", ["steps", "seed"], "at")
    assert (first.name, second.name) == ("steps 1", "steps 10")
    assert second.y == [1, 11, 21]
    assert (second.low, second.high) == ([0, 10, 20], [2, 12, 22])
    assert first.of == 0


def test_levels_go_from_blue_to_orange() -> None:
    rows = [
        {
            "level": level,
            "sigma": 1 / level,
            "bin": b,
            "density": b - 10.0 * level,
            "error": level / b,
        }
        for level in (1, 2)
        for b in (1, 2, 4)
    ]
    first, second = level_lines(pd.DataFrame(rows), "density", "error", "bin")
    assert (first.name, second.name) == ("σ = 1", "σ = 0.5")
    assert (first.colour, second.colour) == ("#0072b2", "#e69f00")
    assert (first.x, second.y) == ([-9, -8, -6], [2, 1, 0.5])
