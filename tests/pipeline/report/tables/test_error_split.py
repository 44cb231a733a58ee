"""A distance is the sum of that of real samples, the sampler's cost and the network's."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from faked_study import CONTENT, fake_measurements, fake_plan

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.report.tables.axes import Grid, grid_of
from scoresweep.pipeline.report.tables.collect import collect
from scoresweep.pipeline.report.tables.error_split import split_errors
from scoresweep.pipeline.rules.report import report
from scoresweep.pipeline.study import Plan

MLPS = [{"name": "mlp", "width": 8}, {"name": "mlp", "width": 16}]
ORACLE = {"name": "oracle"}


def make_plan(root: Path, grid: dict[str, Any], **more: Any) -> Plan:
    return fake_plan(root, train=CONTENT["train"] | {"grid": grid} | more)


def grid(plan: Plan) -> Grid:
    return grid_of([run.axes for run in plan.runs], [run.id for run in plan.runs], "run")


def sampling(plan: Plan) -> xr.Dataset:
    """Random distances over the axes of the runs and three step sizes."""
    draw = np.random.default_rng(0)
    where = grid(plan)
    dims = (*where.shape, "step_size")
    shape = (*where.shape.values(), 3)
    about = {"better": "lower", "units": "feature units", "long_name": "distance", "seed": 0}
    names = ("far", "far_real", "nearest", "precision")
    content = xr.Dataset(
        {name: (dims, draw.random(shape), about) for name in names}, coords=where.coordinates
    )
    content["precision"].attrs["better"] = "higher"
    content["nearest"].attrs["caveat"] = "noise is far, too"
    return content.assign(nearest_real=content["far"], precision_real=content["far"])


def test_costs_add_up(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, {"network": [*MLPS, ORACLE], "seed": [0, 1]})
    content = sampling(plan)
    costs = split_errors(content, grid(plan), plan.runs)
    assert set(costs) == {"far_sampler_cost", "far_network_cost"}
    sampler, network = costs["far_sampler_cost"], costs["far_network_cost"]
    assert sampler.dims == ("seed", "step_size")
    assert network.dims == content["far"].dims
    exact = content.sel(network="oracle")
    xr.testing.assert_allclose(sampler, (exact["far"] - exact["far_real"]).drop_vars("network"))
    assert network.sel(network="oracle").isnull().all()
    trained = [n for n in content["network"].values.tolist() if n != "oracle"]
    assert len(trained) == 2
    for name in trained:
        total = exact["far_real"] + sampler + network.sel(network=name)
        np.testing.assert_allclose(total, content["far"].sel(network=name))
    assert network.attrs["units"] == "feature units"
    assert network.attrs["long_name"].endswith("trained network minus exact score")
    assert "better" not in network.attrs


def test_an_exact_score_sampled_once_is_compared_with_all_networks(tmp_path: Path) -> None:
    """The oracle needs no repeats and no training steps: it has one of each."""
    plan = make_plan(
        tmp_path,
        {"seed": [0, 1], "steps": [50, 100]},
        include=[{"network": ORACLE, "steps": 1}],
        network=MLPS[0],
    )
    where, content = grid(plan), sampling(plan)
    costs = split_errors(content, where, plan.runs)
    alone = next(run for run in plan.runs if run.train.network.name == "oracle").axes
    assert costs["far_sampler_cost"].dims == ("seed", "step_size") or alone["seed"] == 0
    exact = content["far"].sel(alone)
    for run in plan.runs:
        if run.train.network.name == "mlp" and run.axes["seed"] == alone["seed"]:
            cost = costs["far_network_cost"].sel(run.axes)
            np.testing.assert_allclose(cost, content["far"].sel(run.axes) - exact)


def test_studies_without_an_exact_score_or_networks_have_no_cost_axes(tmp_path: Path) -> None:
    trained = make_plan(tmp_path, {"network": MLPS, "seed": [0, 1]})
    assert not split_errors(sampling(trained), grid(trained), trained.runs)
    exact = make_plan(tmp_path, {"seed": [0, 1]}, network=ORACLE)
    costs = split_errors(sampling(exact), grid(exact), exact.runs)
    assert costs["far_sampler_cost"].dims == ("seed", "step_size")
    assert costs["far_network_cost"].isnull().all()


@pytest.fixture
def finished(tmp_path: Path) -> Plan:
    plan = make_plan(tmp_path, {"network": [MLPS[0], ORACLE], "seed": [0, 1]})
    fake_measurements(plan)
    for run in plan.runs:
        for index, setting in enumerate(plan.settings):
            path = plan.paths.metrics(run.id, setting.id)
            with xr.open_dataset(path, engine="h5netcdf") as file:
                content = file.load()
            if run.train.network.name == "mlp":
                content["frechet_classifier"] += 0.25 * (1 + index)
            path.unlink()
            content.to_netcdf(path, engine="h5netcdf")
    return plan


def test_the_report_separates_sampler_and_network(finished: Plan, blank_figures: None) -> None:
    data = collect(finished, collect_jobs(finished))
    found = data.tree["sampling"].to_dataset()["frechet_classifier_network_cost"]
    assert found.sizes == {"network": 2, "seed": 2, "step_size": 3}
    values = sorted(found.values[np.isfinite(found.values)])
    np.testing.assert_allclose(values, np.repeat([0.25, 0.5, 0.75], 2))
    report(finished)
    page = finished.paths.report_page.read_text(encoding="utf-8")
    # Every trained network is the mlp: captions do not repeat that.
    assert "Loss of single levels, at most eight of them." in page
    assert "Sampler or network" in page
    # The exact score is better everywhere, and is not ranked.
    assert "The exact score is left out" in page
    assert re.search(
        r'<h3>Parts of the error</h3><div [^>]*data-view="lines"[^>]* data-measure="2"', page
    )
    content = json.loads(page.split('id="data">')[1].split("</script>")[0])["explorer"]
    assert [axis["name"] for axis in content["axes"]] == ["seed", "step size"]
    cost = content["measures"][2]
    assert cost["title"] == "Fréchet distance (classifier): network cost"
    assert (cost["judge"], cost["ranks"]) == (0, False)
    assert (content["measures"][0]["judge"], content["measures"][0]["ranks"]) == (0, True)
    # The mean over seeds and each of the two, at three step sizes.
    np.testing.assert_allclose(sorted(cost["mean"]), np.repeat([0.25, 0.5, 0.75], 3), rtol=1e-4)
    assert "the network for 0.750" in page
    names = {path.stem for path in finished.paths.figures.glob("*cost*")}
    assert {name.split("_cost_")[0] for name in names} == {
        "metric_frechet_classifier_sampler",
        "metric_frechet_classifier_network",
    }
    for cost in ("0.250", "0.500", "0.750"):
        assert page.count(f'<td class="n">{cost}</td>') == 1
