"""Which axes a metric is drawn over, and what is said of cells without a value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from faked_study import CONTENT, fake_metrics, fake_plan, fake_study
from matplotlib.figure import Figure

from scoresweep.pipeline.cluster.progress import collect_jobs
from scoresweep.pipeline.report.sections.maps import axis_pairs, metric_maps
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.tables.collect import collect
from scoresweep.pipeline.report.tables.frames import wide_table

DISTANCE = RankedMetric("frechet_classifier", "Fréchet distance", "lower", {})


def test_the_axes_that_matter_most_come_first(tmp_path: Path) -> None:
    """Denoising takes 0.4 off; a step size of 8e-5 adds 0.6, one of 2.2e-5 only 0.04."""
    for name, step, first in (("far", 8e-5, "step_size"), ("near", 2.2e-5, "denoise")):
        grid = {"sampler.step_size": [step, 2e-5], "sampler.denoise": [True, False]}
        plan = fake_plan(tmp_path / name, sample=CONTENT["sample"] | {"grid": grid})
        fake_study(plan)
        tables = collect(plan, collect_jobs(plan))
        pairs = axis_pairs(tables, wide_table(tables), DISTANCE.name)
        assert pairs[0] == [first, "levels"]
        assert sorted(pairs) == [["denoise", "levels"], ["step_size", "levels"]]


def test_a_cell_outside_the_study_is_not_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 3 × 2 cells the study has five, and of these one is not measured."""
    zipped = {"noise.levels": [4, 6, 8, 6, 8], "noise.sigma_min": [0.05, 0.05, 0.05, 0.1, 0.1]}
    blocks: dict[str, Any] = {
        name: {key: value for key, value in CONTENT[name].items() if key != "grid"}
        for name in ("train", "sample")
    }
    blocks["train"]["zip"] = [zipped]
    plan = fake_plan(tmp_path, **blocks)
    fake_study(plan)
    plan.paths.metrics(plan.runs[4].id, plan.settings[0].id).unlink()
    drawn: list[Figure] = []
    monkeypatch.setattr(
        "scoresweep.pipeline.report.plots.png", lambda figure: drawn.append(figure) or b""
    )
    tables = collect(plan, collect_jobs(plan))
    (picture,) = metric_maps(tables, wide_table(tables), DISTANCE, every_pair=True)
    texts = [text.get_text() for text in drawn[0].axes[0].texts]
    assert len(texts) == 2 * 4 + 1
    assert texts.count("missing") == 1
    assert "The study has no settings where a cell is empty." in picture.caption
    fake_metrics(plan, plan.runs[4], plan.settings[0])
    tables = collect(plan, collect_jobs(plan))
    list(metric_maps(tables, wide_table(tables), DISTANCE, every_pair=True))
    assert "missing" not in [text.get_text() for text in drawn[1].axes[0].texts]


def test_an_even_grid_has_no_empty_cells(tmp_path: Path) -> None:
    plan = fake_plan(tmp_path)
    fake_study(plan)
    tables = collect(plan, collect_jobs(plan))
    (picture,) = metric_maps(tables, wide_table(tables), DISTANCE, every_pair=True)
    assert "empty" not in picture.caption
