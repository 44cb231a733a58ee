"""How far the best setting is ahead, and how the page describes it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from faked_study import CONTENT, fake_measurements, fake_plan
from scipy import stats

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.report.page.best_setting import best_setting_cards
from scoresweep.pipeline.report.page.number_tables import interval_note
from scoresweep.pipeline.report.page.render import _no_best, _sample_grids_lead, to_script
from scoresweep.pipeline.report.page.study_facts import _listed
from scoresweep.pipeline.report.sections import SampleGrids
from scoresweep.pipeline.report.sections.maps import metric_maps
from scoresweep.pipeline.report.sections.missing import blocked_note, missing_rows
from scoresweep.pipeline.report.statistics.gaps import ranking_with_gaps
from scoresweep.pipeline.report.statistics.repeats import label_repeats
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.summarise import with_summary
from scoresweep.pipeline.report.tables.collect import collect
from scoresweep.pipeline.report.tables.frames import wide_table
from scoresweep.pipeline.report.tables.report_data import MissingResult, ReportData
from scoresweep.pipeline.rules.report import report
from scoresweep.pipeline.study import Plan

DISTANCE = RankedMetric("distance", "distance", "lower", {"valid_min": 0.0})


def labelled(frame: pd.DataFrame, *networks: str) -> pd.DataFrame:
    return label_repeats(frame, networks, [], pd.Series(False, frame.index))


def test_networks_are_compared_in_pairs() -> None:
    frame = pd.DataFrame(
        {
            "step_size": [1, 1, 1, 2, 2, 2, 3, 3],
            "seed": [0, 1, 2, 0, 1, 2, 0, 1],
            "distance": [1.0, 5.0, 9.0, 1.5, 5.6, 9.4, 4.0, 20.0],
        }
    )
    table = ranking_with_gaps(labelled(frame, "seed"), DISTANCE, ["step_size"])
    assert table["step_size"].tolist() == [1, 2, 3]
    low, high = stats.t.interval(0.95, 2, loc=0.5, scale=stats.sem([0.5, 0.6, 0.4]))
    assert table.loc[1, ["gap", "gap_low", "gap_high"]].tolist() == pytest.approx([0.5, low, high])
    # The seeds that both have: 4 − 1 and 20 − 5.
    assert table.loc[2, ["gap", "pairs"]].tolist() == [9, 2]
    assert table.loc[2, "gap_low"] < 0


def test_equal_means_are_equal_despite_rounding_errors() -> None:
    """The sums 0.1 + 0.2 and 0.15 + 0.15 differ in their last digit."""
    frame = pd.DataFrame({"step_size": [1, 1, 2, 2], "seed": [0, 1, 0, 1]})
    frame["distance"] = [0.1, 0.2, 0.15, 0.15]
    table = ranking_with_gaps(labelled(frame, "seed"), DISTANCE, ["step_size"])
    assert (table["mean"].tolist(), table["gap"].tolist()) == ([0.15, 0.15], [0, 0])


def test_errors_of_single_measurements_add_in_quadrature() -> None:
    frame = labelled(pd.DataFrame({"step_size": [1, 2], "distance": [0.9, 0.4]}))
    frame = frame.assign(distance_low=[0.87, 0.36], distance_high=[0.93, 0.44])
    share = RankedMetric("distance", "share", "higher", {"valid_min": 0.0, "valid_max": 1.0})
    worse = ranking_with_gaps(frame, share, ["step_size"]).loc[1]
    assert worse[["step_size", "gap"]].tolist() == pytest.approx([2, 0.5])
    assert worse["gap_low"] == pytest.approx(0.5 - 0.05)
    # A logarithmic interval m·exp(±h/m) is that of the half width h.
    ends = {"distance_low": frame["distance"] * math.exp(-0.1)}
    ends["distance_high"] = frame["distance"] * math.exp(0.1)
    worse = ranking_with_gaps(frame.assign(**ends), DISTANCE, ["step_size"]).loc[1]
    assert worse["gap_high"] == pytest.approx(0.5 + 0.1 * math.hypot(0.9, 0.4))
    without = frame.drop(columns=["distance_low", "distance_high"])
    assert np.isnan(ranking_with_gaps(without, DISTANCE, ["step_size"])["gap_low"][1])


def said(plan: Plan) -> dict[str, object]:
    data = collect(plan, collect_jobs(plan))
    about = {"valid_min": 0.0}
    metric = RankedMetric("frechet_classifier", "Fréchet distance", "lower", about, {"": 20})
    wide = wide_table(data)
    (answer,) = best_setting_cards(plan, with_summary(data, wide, [metric]), wide, [metric])
    return answer


def test_the_text_states_the_uncertainty(tmp_path: Path) -> None:
    plan = fake_plan(tmp_path)
    fake_measurements(plan)
    answer = said(plan)
    assert answer["where"] == "Levels 6, step size 2e-5"
    # Levels 4 are worse by 0.3/4 − 0.3/6 with either seed: such pairs give no error.
    assert answer["verdict"] == ("sure", "ahead on these networks only")
    assert str(answer["next"]).startswith("0.300, 0.0250 higher: levels 4, step size 2e-5. ")
    # ‖s − s*‖² of the faked runs is 1/(64 σ) of ‖s*‖² on training points.
    assert "0.2 % at σ = 8 and 31 % at σ = 0.0500" in str(answer["attribution"])


def test_the_only_measured_setting_is_named_by_the_axes_of_the_study(tmp_path: Path) -> None:
    """The others failed, say. An axis that only the exact score varies does not name it."""
    train = {key: value for key, value in CONTENT["train"].items() if key != "grid"}
    train |= {"include": [{"network": {"name": "oracle"}}]}
    plan = fake_plan(tmp_path, train=train)
    fake_measurements(plan)
    for run in plan.runs:
        for setting in plan.settings[1:]:
            plan.paths.metrics(run.id, setting.id).unlink()
    assert said(plan)["where"] == "Step size 8e-5"


def test_one_run_with_wide_intervals_is_too_close_to_call(tmp_path: Path) -> None:
    sample = CONTENT["sample"] | {"grid": {"sampler.step_size": [2e-5, 2.001e-5, 2e-3]}}
    plan = fake_plan(tmp_path, train=CONTENT["train"] | {"grid": {}}, sample=sample)
    fake_measurements(plan)
    answer = said(plan)
    assert answer["verdict"] == ("unsure", "too close to call")
    assert "It includes 0" in str(answer["next"])
    assert "from resampling the samples" in str(answer["next"])
    assert "this network only" in str(answer["next"])
    assert "one network, one sampling" in answer["detail"]


def test_samplings_of_the_exact_score_count_no_network(tmp_path: Path) -> None:
    train = {key: CONTENT["train"][key] for key in ("noise", "steps", "batch_size")}
    sample = CONTENT["sample"] | {"grid": {"sampler.step_size": [2e-5, 8e-5], "seed": [0, 1, 2]}}
    plan = fake_plan(tmp_path, train=train | {"network": {"name": "oracle"}}, sample=sample)
    fake_measurements(plan)
    for run in plan.runs:
        for count, setting in enumerate(plan.settings):
            path = plan.paths.metrics(run.id, setting.id)
            content = xr.load_dataset(path, engine="h5netcdf")
            content["frechet_classifier"] += 1e-3 * count**2
            content.to_netcdf(path, engine="h5netcdf")
    data = collect(plan, collect_jobs(plan))
    wide = wide_table(data)
    metric = RankedMetric("frechet_classifier", "d", "lower", {"valid_min": 0.0}, {"": 20})
    data = with_summary(data, wide, [metric])
    (answer,) = best_setting_cards(plan, data, wide, [metric])
    (figure, *_) = metric_maps(data, wide, [metric])
    texts = [str(answer["next"]), interval_note(data, wide), figure.caption]
    assert ["network" in text for text in texts] == [False] * 3
    assert ["3 samplings of the exact score" in text for text in texts] == [True] * 3


def test_a_finished_study_without_a_best_setting_has_no_metric_that_ranks() -> None:
    """As with `metrics: [score_error]`: nothing is missing."""
    missing = [MissingResult("sampling", "run", "setting", "missing", "not drawn")]
    finished, begun = (ReportData(xr.DataTree(), m, [], [], []) for m in ([], missing))
    assert _no_best(finished).startswith("No metric of this study ranks settings")
    assert _no_best(begun) == "No setting has been measured yet."


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, ReportData]:
    """A study of three step sizes and two seeds."""
    train = CONTENT["train"] | {"grid": {"seed": [0, 1]}}
    grid = {"sampler.step_size": [1e-5, 2e-5, 3e-5]}
    sample = CONTENT["sample"] | {"grid": grid}
    plan = fake_plan(tmp_path_factory.mktemp("steps"), train=train, sample=sample)
    fake_measurements(plan)
    return plan, collect(plan, collect_jobs(plan))


def answered(
    study: tuple[Plan, ReportData], distances: list[list[float]], **more: list[float] | None
) -> dict[str, Any]:
    """Return the page's description of distances by step size and seed."""
    plan, data = study
    wide = wide_table(data).sort_values(["step_size", "seed"])
    wide = wide.assign(frechet_classifier=np.ravel(distances))
    beside = {f"frechet_classifier_{key}": values for key, values in more.items()}
    wide = wide.assign(**{key: np.tile(v, 3) for key, v in beside.items() if v is not None})
    wide = wide.drop(columns=[key for key, values in beside.items() if values is None])
    metric = RankedMetric("frechet_classifier", "d", "lower", {"valid_min": 0.0}, {"": 20})
    data = with_summary(data, wide, [metric])
    (answer,) = best_setting_cards(plan, data, wide, [metric])
    return answer


def test_a_lead_over_only_the_second_best_is_not_a_lead(steps: tuple[Plan, ReportData]) -> None:
    answer = answered(steps, [[1.0, 1.0], [1.1, 1.101], [0.5, 2.5]])
    assert answer["verdict"] == ("unsure", "not ahead of all")
    assert answer["next"].startswith("1.10, 0.101 higher: step size 2e-5. ")
    assert "1 of 2 other settings do not differ" in answer["next"]
    assert answer["warnings"] == []


def test_a_lead_over_only_the_tested_settings_is_not_a_lead(
    steps: tuple[Plan, ReportData],
) -> None:
    answer = answered(steps, [[1.0, 1.0], [1.1, 1.101], [2.5, math.nan]], low=None, high=None)
    assert answer["verdict"] == ("open", "not tested against all")
    assert "1 of 2 other settings could not be tested" in answer["next"]


def test_equal_settings_are_counted(steps: tuple[Plan, ReportData]) -> None:
    answer = answered(steps, [[2.0, 2.0], [1.0, 2.0], [2.0, 1.0]])
    assert answer["where"] == "Step size 2e-5 (and 1 more with the same value)"
    assert answer["verdict"] == ("unsure", "too close to call")
    assert answer["next"].startswith("1.50, the same: step size 3e-5. 2 of 2 other settings")


def test_a_value_of_one_network_is_labelled(steps: tuple[Plan, ReportData]) -> None:
    values = [[1.0, math.nan], [2.0, 2.2], [4.0, 4.5]]
    answer = answered(steps, values, low=None, high=None)
    assert "one network, one sampling (1 of 2 networks)" in answer["detail"]
    assert answer["verdict"] == ("open", "lead not tested")
    assert "the same two or more training seeds" in answer["next"]


@pytest.mark.parametrize(("network", "sure"), [([0.5, 0.51], True), ([0.5, 0.2], False)])
def test_parts_on_which_networks_disagree_are_uncertain(
    steps: tuple[Plan, ReportData], network: list[float], sure: bool
) -> None:
    costs = {"real": [0.1, 0.1], "sampler_cost": [0.05, 0.05], "network_cost": network}
    answer = answered(steps, [[1.0, 1.0], [2.0, 2.0], [2.0, 2.0]], **costs)
    assert "the network matters more" in answer["attribution"]
    assert ("uncertain" not in answer["attribution"]) == sure


@pytest.mark.parametrize(("sampler", "edge"), [(0.5, True), (0.05, False)])
def test_the_sampler_is_not_blamed_at_the_edge_of_its_grid(
    steps: tuple[Plan, ReportData], sampler: float, edge: bool
) -> None:
    costs = {"real": [0.1] * 2, "sampler_cost": [sampler] * 2, "network_cost": [0.2, 0.2]}
    inside = answered(steps, [[2.0, 2.0], [1.0, 1.0], [2.0, 2.0]], **costs)
    outside = answered(steps, [[2.0, 2.0], [2.0, 2.0], [1.0, 1.0]], **costs)
    assert "edge of the grid" not in inside["attribution"]
    assert ("step size is at the edge of the grid" in outside["attribution"]) == edge


def test_many_values_of_an_axis_are_counted() -> None:
    assert _listed(["1", "2"]) == "1, 2"
    assert _listed([str(n) for n in range(1000)]) == "1,000 values: 0, 1, …, 999"


def test_grids_count_the_sampled_settings() -> None:
    # Two points of the evaluation grid.
    wide = pd.DataFrame({"run": "a", "setting": [*range(36), *range(36)]})
    assert "the best 24 of 36" in _sample_grids_lead(SampleGrids([], 24), wide)
    assert "every setting" in _sample_grids_lead(SampleGrids([], 36), wide)
    assert "framed" not in _sample_grids_lead(SampleGrids([], 0), wide[:0])


def test_metrics_that_failed_are_named(tmp_path: Path, blank_figures: None) -> None:
    plan = fake_plan(tmp_path)
    fake_measurements(plan)
    for run in plan.runs[:2]:
        path = plan.paths.metrics(run.id, plan.settings[0].id)
        with xr.open_dataset(path, engine="h5netcdf") as file:
            content = file.load()
        path.unlink()
        content.attrs["problems"] = json.dumps({"kid on inception": "n is 1 </script>"})
        content.to_netcdf(path, engine="h5netcdf")
    report(plan)
    page = plan.paths.report_page.read_text(encoding="utf-8")
    assert "Not computed for 2 settings: kid on inception." in page
    row = page.split("Failed metrics")[1].split("</table>")[0]
    assert "n is 1 &lt;/script&gt;" in row
    assert f"{plan.runs[0].id} / {plan.settings[0].id}" in row
    assert "and 1 more" in row


def test_results_that_wait_for_a_training_are_only_counted() -> None:
    untrained = "its network is not trained (failed)"
    gaps = [
        MissingResult("training", "a", None, "failed", "the loss is not finite"),
        MissingResult("score error", "a", None, "missing", untrained),
        *(MissingResult("sampling", "a", s, "missing", untrained) for s in ("x", "y")),
        MissingResult("sampling", "b", "x", "missing", "not sampled"),
    ]
    assert [row["command"].split(" && ")[0] for row in missing_rows(gaps)] == [
        "scoresweep train STUDY --run a",
        "scoresweep sample STUDY --run b --setting x",
    ]
    assert blocked_note(gaps) == "3 results that wait for their networks are not listed."
    assert blocked_note(gaps[4:]) == ""


def test_no_text_ends_the_script() -> None:
    text = to_script({"name": "</script><!--", "value": None})
    assert "<" not in text
    assert json.loads(text) == {"name": "</script><!--", "value": None}
