"""Measured values beside published ones, of networks and of points of the evaluation grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from faked_study import CONTENT, fake_measurements, fake_plan, frechet

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.report.page.published_table import published_table
from scoresweep.pipeline.report.published_values import published_values
from scoresweep.pipeline.report.tables.collect import collect
from scoresweep.pipeline.report.tables.frames import wide_table
from scoresweep.pipeline.report.tables.ranking import ranking_metrics
from scoresweep.pipeline.study import Plan

STEP = "sample.sampler.step_size"
PUBLISHED = [
    {
        "bits_per_dimension": 2.99,
        "source": "Table 1",
        "protocol": "test images",
        "at": {"train.noise.levels": 6, STEP: 2e-5},
    },
    {
        "frechet_classifier": 3.5,
        "source": "Table 2",
        "at": {"train.noise.levels": 4, STEP: 8e-5, "evaluate.neighbours": 3},
    },
]


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    evaluate = {
        "metrics": ["score_error", "frechet", "bits_per_dimension"],
        "extractors": ["classifier"],
        "grid": {"neighbours": [5, 3]},
    }
    plan = fake_plan(
        tmp_path,
        train=CONTENT["train"] | {"grid": {"noise.levels": [6, 4], "seed": [0, 1]}},
        evaluate=evaluate,
        published=PUBLISHED,
    )
    fake_measurements(plan)
    for run in plan.runs:
        path = plan.paths.score_error(run.id)
        with xr.open_dataset(path, engine="h5netcdf") as file:
            content = file.load()
        test = run.train.noise.levels + 0.5 * run.train.seed
        for end, value in (("", 0.0), ("_low", -0.1), ("_high", 0.1)):
            about = {"long_name": "bits", "units": "bit"}
            content[f"bits_per_dimension{end}"] = ("split", [99.0, test + value], about)
        path.unlink()
        content.to_netcdf(path, engine="h5netcdf")
    return plan


def test_values_of_networks_and_of_points_of_the_evaluation_grid(plan: Plan) -> None:
    data = collect(plan, collect_jobs(plan))
    wide = wide_table(data)
    metrics = ranking_metrics(data.tree["sampling"].to_dataset(), wide)
    likelihood, distance = published_values(plan, data, wide, metrics)
    # Test samples of the networks with six levels: 6 and 6.5; the settings do not matter.
    assert likelihood.axes == {"levels": 6}
    assert likelihood.row["mean"] == 6.25
    assert (likelihood.row["networks"], np.isnan(likelihood.n_generated)) == (2, True)
    assert distance.axes == {"levels": 4, "step_size": 8e-5, "neighbours": 3}
    (setting,) = [s for s in plan.settings if s.axes["step_size"] == 8e-5]
    expected = np.mean([frechet(run, setting) for run in plan.runs if run.axes["levels"] == 4])
    assert distance.row["mean"] == pytest.approx(expected)
    rows = published_table([likelihood, distance])
    assert [row["metric"] for row in rows] == ["bits per dimension", metrics[0].title]
    assert [(row["published"], row["value"]) for row in rows] == [
        ("2.99", "6.25"),
        ("3.5", f"{expected:.3g}"),
    ]
    assert [row["protocol"] for row in rows] == ["test images", "protocol not stated"]
    # Student's interval of two networks: 6.25 ± 12.706 · 0.25.
    networks = "2 networks, one sampling each"
    assert rows[0]["notes"] == ["95 % interval 3.07 to 9.43", networks]
    assert rows[1]["notes"][1:] == [networks, "n = 20, n_real = 30"]
