"""Warnings about the best setting: when they appear, and their numbers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
from faked_study import CONTENT, REAL, fake_measurements, fake_plan, fake_study
from scipy import stats

from scoresweep.metrics.mmd import gaussian_mmd
from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.report.statistics.gaps import ranking_with_gaps
from scoresweep.pipeline.report.statistics.repeats import label_repeats
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.summarise import with_summary
from scoresweep.pipeline.report.tables.collect import collect
from scoresweep.pipeline.report.tables.frames import wide_table
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.report.warnings.clipped_pixels import shares_at_ends
from scoresweep.pipeline.report.warnings.distance_scale import near_noise, share_of_noise
from scoresweep.pipeline.report.warnings.falling_loss import falling_loss, loss_fall
from scoresweep.pipeline.report.warnings.find_warnings import with_warnings
from scoresweep.pipeline.report.warnings.grid_edge import grid_edges, next_value
from scoresweep.pipeline.report.warnings.needed_repeats import few_seeds, needed_repeats
from scoresweep.pipeline.rules.report import report
from scoresweep.pipeline.study import Plan

DISTANCE = RankedMetric("frechet_classifier", "d", "lower", {"valid_min": 0.0}, {"": 20})


# Nearer to noise


def test_the_share_of_noise_is_that_of_a_mixture() -> None:
    """For MMD exactly, without the bias of few samples: w² of the value of noise."""
    generator = torch.Generator().manual_seed(0)
    real, noise = (torch.randn(2000, 2, generator=generator) + shift for shift in (0, 4))
    share = 0.3
    mixed = torch.cat([noise[: int(share * 2000)], real[int(share * 2000) :]])
    value, of_noise = (gaussian_mmd(x, real, 2.0) for x in (mixed, noise))
    assert share_of_noise("mmd_pixels", value, 0.0, of_noise) == pytest.approx(share, abs=0.02)


def test_squared_metrics_and_distances_have_the_same_scale() -> None:
    # √((3.6 − 0.1) / (14.1 − 0.1)) = 1/2
    for name in ("fid", "fid_half_pixel", "frechet_infinity_classifier", "kid_pixels"):
        assert share_of_noise(name, 3.6, 0.1, 14.1) == pytest.approx(0.5)
    assert share_of_noise("sliced_wasserstein_pixels", 3.6, 0.1, 14.1) == pytest.approx(0.25)
    assert share_of_noise("fid", 0.05, 0.1, 14.1) == 0
    assert math.isnan(share_of_noise("coverage_pixels", 0.5, 1.0, 0.0))
    assert math.isnan(share_of_noise("fid", 3.6, math.nan, 14.1))


@pytest.mark.parametrize(
    ("costs", "edge", "advice"),
    [
        ((0.1, 0.5), True, "Train longer or with a larger network."),
        ((0.5, 0.1), False, "The sampler causes most of it"),
        (None, True, "First extend the grid"),
        (None, False, "Train longer or with a larger network."),
    ],
)
def test_the_advice_follows_the_parts_of_the_error(
    costs: tuple[float, float] | None, edge: bool, advice: str
) -> None:
    top = pd.Series({"mean": 3.7, "real": 0.1, "noise": 14.1})
    names = ("frechet_classifier_sampler_cost", "frechet_classifier_network_cost")
    rows = pd.DataFrame([dict(zip(names, costs, strict=True))] if costs else [{"run": "a"}])
    found = near_noise(top, rows, DISTANCE, is_exact=False, at_edge=edge)
    assert found is not None
    assert advice in found.text
    assert found.numbers["share_of_noise"] == pytest.approx(math.sqrt(3.6 / 14))
    near = top.replace(3.7, 3.5)
    assert near_noise(near, rows, DISTANCE, is_exact=False, at_edge=edge) is None


# Falling loss


def test_the_fall_of_a_straight_line_has_the_interval_of_a_regression() -> None:
    rng = np.random.default_rng(0)
    losses = 5 - 0.01 * np.arange(90) + 0.05 * rng.standard_normal(90)
    fall = loss_fall(losses)
    assert fall is not None
    blocks = losses[-24:].reshape(8, 3).mean(axis=1)  # 90 // 3 // 8 = 3 points in each
    line = stats.linregress(np.arange(8), blocks)
    half = stats.t.ppf(0.975, 6) * line.stderr
    ends = [8 * (-line.slope + sign * half) / blocks[-1] for sign in (0, -1, 1)]
    assert [*fall] == pytest.approx(ends)
    assert loss_fall(losses[:23]) is None


def test_noise_without_a_trend_is_rarely_a_fall() -> None:
    """Of 1,000 flat curves, also of correlated points, at most 2.5 % and chance have a trend."""
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((1000, 120))
    correlated = noise + 0.5 * np.roll(noise, 1, axis=1)
    for curves in (noise, correlated):
        falls = [loss_fall(5 + 0.2 * curve) for curve in curves]
        assert sum(fall is not None and fall.low > 0 for fall in falls) <= 40


def test_a_fall_below_one_percent_gives_no_warning() -> None:
    def warning(fall: float, last_rate: float = 1.0) -> Any:
        curves = {"loss": (1 + fall * 3, 1), "learning_rate": (1.0, last_rate)}
        curves = {name: ("step", np.linspace(*ends, 240)) for name, ends in curves.items()}
        training = xr.Dataset(curves | {"run": ((), "a")})
        return falling_loss(training.assign_coords(step=np.arange(240)), ["a"])

    assert warning(0.009) is None
    assert warning(0.02).numbers["value"] == pytest.approx(0.02, rel=0.05)
    assert warning(0.02, last_rate=0.1) is None, "because of the learning rate"
    assert falling_loss(xr.Dataset(), ["a"]) is None


# Clipped pixels


def test_pixels_at_the_ends_are_counted_in_each_image() -> None:
    values = np.array([[0, 255, 1, 254], [7, 7, 7, 0]], np.uint8).reshape(2, 2, 2, 1)
    assert shares_at_ends(Split(values, pixel_range=(0, 255))).tolist() == [0.5, 0.25]
    # 16 levels: the ends are 0 and 15.
    values = np.full((1, 2, 2, 1), 15, np.float32)
    assert shares_at_ends(Split(values, pixel_range=(0.0, 15.0))).item() == 1


# Edge of the grid


@pytest.mark.parametrize(
    ("values", "next_smaller", "next_larger"),
    [
        ([5e-4, 3e-3, 1.6e-2], 8.3e-5, 0.085),
        ([1.0, 2.0, 3.0], 0.5, 4.0),
        ([10, 20, 40], 5, 80),
        ([2, 4, 6], 1, 8),
    ],
)
def test_a_grid_is_continued_by_its_factor_or_its_difference(
    values: list[float], next_smaller: float, next_larger: float
) -> None:
    assert next_value(values, largest=False) == pytest.approx(next_smaller)
    assert next_value(values, largest=True) == pytest.approx(next_larger)


def test_a_best_at_the_edge_of_the_grid_is_named() -> None:
    """Both of two values are edges; strings have no edges."""
    part = pd.DataFrame({"step_size": [2e-5, 4e-5, 8e-5], "levels": 5, "denoise": list("abc")})
    part["steps"] = [1, 2, 2]
    axes = ["step_size", "levels", "denoise", "steps"]
    assert [grid_edges(part, part.iloc[place], axes) for place in range(3)] == [
        {"step_size": ("2e-5", "smallest")},
        {},
        {"step_size": ("8e-5", "largest")},
    ]


# Few seeds


def test_the_needed_number_of_seeds_shows_the_gap_in_80_percent() -> None:
    rng = np.random.default_rng(2)

    def power(count: int) -> float:
        pairs = 1.0 + 1.5 * rng.standard_normal((20000, count))
        low = pairs.mean(1) - stats.t.ppf(0.975, count - 1) * stats.sem(pairs, axis=1)
        return float((low > 0).mean())

    needed = needed_repeats(1.0, 1.5)
    assert needed is not None
    assert power(needed - 1) < 0.8 <= power(needed) + 0.01
    assert needed_repeats(1e-3, 1.0) is None
    assert needed_repeats(0.0, 1.0) is None
    assert needed_repeats(1.0, 1e-9) == 2


def ranking(values: list[list[float]]) -> pd.DataFrame:
    rows = [
        {"step_size": setting, "seed": seed, "frechet_classifier": value}
        for setting, distances in enumerate(values)
        for seed, value in enumerate(distances)
    ]
    frame = pd.DataFrame(rows)
    frame = label_repeats(frame, ["seed"], [], pd.Series(False, frame.index))
    return ranking_with_gaps(frame, DISTANCE, ["step_size"])


def test_the_gap_and_its_scatter_decide_how_many_seeds_are_needed() -> None:
    differences = [0.5, 0.0, 1.0]
    table = ranking([[1.0, 2.0, 4.0], [1.5, 2.0, 5.0]])
    found = few_seeds(table, is_exact=False)
    assert found is not None
    deviation = np.std(differences, ddof=1)
    expected = {"seeds": 3, "gap": 0.5, "deviation": deviation}
    assert found.numbers == pytest.approx(expected | {"needed": needed_repeats(0.5, deviation)})
    assert few_seeds(ranking([[1.0, 2.0, 4.0], [2.0, 3.0, 5.01]]), is_exact=False) is None
    alone = few_seeds(ranking([[1.0], [2.0]]), is_exact=False)
    assert alone is not None
    assert alone.numbers == {"seeds": 1}
    assert few_seeds(ranking([[1.0]]), is_exact=False) is None


# All of them, in a report


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, ReportData]:
    """A study of three step sizes, up to just below 2σ_L² = 0.005, and two seeds."""
    train = CONTENT["train"] | {"grid": {"seed": [0, 1]}}
    sample = CONTENT["sample"] | {"grid": {"sampler.step_size": [1e-3, 2e-3, 4e-3]}}
    plan = fake_plan(tmp_path_factory.mktemp("warned"), train=train, sample=sample)
    fake_measurements(plan)
    return plan, collect(plan, collect_jobs(plan))


def numbers(study: tuple[Plan, ReportData], distances: list[list[float]]) -> dict[str, Any]:
    """Return the numbers of warnings about distances by step size and seed, by their kinds."""
    plan, data = study
    wide = wide_table(data).sort_values(["step_size", "seed"])
    wide = wide.assign(frechet_classifier=np.ravel(distances))
    data = with_warnings(plan, with_summary(data, wide, [DISTANCE]), wide, [DISTANCE])
    return {w.finding.kind: w.finding.numbers for w in data.warnings}


def test_the_next_value_is_one_that_the_study_accepts(steps: tuple[Plan, ReportData]) -> None:
    found = numbers(steps, [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    assert found == {"grid_edge": {"step_size": 1e-3, "next": 5e-4}}
    # 8e-3 and 5.7e-3 diverge: 4e-3 · 2^(1/4) is the first that does not.
    found = numbers(steps, [[3.0, 3.0], [2.0, 2.0], [1.0, 1.0]])
    assert found == {"grid_edge": {"step_size": 4e-3, "next": 0.0048}}


def test_warnings_are_in_the_report_and_on_the_page(
    tmp_path: Path, blank_figures: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """The faked samples are random grey images, as far from real ones as the faked test images."""
    sample = CONTENT["sample"] | {"grid": {"sampler.step_size": [2e-5, 2e-4, 2e-3]}}
    plan = fake_plan(tmp_path, train=CONTENT["train"] | {"grid": {}}, sample=sample)
    fake_study(plan)
    for setting in plan.settings:
        path = plan.paths.metrics(plan.runs[0].id, setting.id)
        content = xr.load_dataset(path, engine="h5netcdf")
        content["frechet_classifier"] += 4.0
        content.to_netcdf(path, engine="h5netcdf")
    report(plan)
    with xr.open_dataset(plan.paths.report, engine="h5netcdf") as file:
        warnings = json.loads(file.attrs["warnings"])
    assert [warning["kind"] for warning in warnings] == ["near_noise", "grid_edge", "few_seeds"]
    assert {w["setting"] for w in warnings} == {"step size 2e-5"}
    assert {w["metric"] for w in warnings} == {"frechet_classifier"}
    assert warnings[0]["numbers"]["real"] == REAL
    page, said = plan.paths.report_page.read_text(encoding="utf-8"), capsys.readouterr().err
    assert page.count('class="caution"') == 3
    for warning in warnings:
        assert warning["text"] in " ".join(said.split())
