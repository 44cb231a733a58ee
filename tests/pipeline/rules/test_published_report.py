"""Published values in the report, beside those of the study."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from faked_study import CONTENT, fake_plan, fake_study, frechet

from scoresweep.pipeline.report.saved_report import read_report
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.rules.report import report
from scoresweep.pipeline.study import Plan

BLOCKS: dict[str, Any] = {
    "train": CONTENT["train"] | {"grid": {"seed": [0, 1]}},
    "sample": CONTENT["sample"] | {"grid": {"sampler.step_size": [8e-5, 2e-5]}},
    "evaluate": {
        "metrics": ["score_error", "frechet", "bits_per_dimension"],
        "extractors": ["classifier"],
    },
}

PUBLISHED: list[dict[str, Any]] = [
    {
        "frechet_classifier": 3.5,
        "bits_per_dimension": 2.99,
        "source": "Table 1, https://example.org",
        "protocol": "50,000 samples",
        "at": {"sample.sampler.step_size": 2e-5},
    },
    {"frechet_classifier": 9.75, "source": "Table 2"},
]


def due(plan: Plan) -> set[str]:
    results = examine_results(plan)
    return {key[0] for key, result in results.by_key.items() if result.is_due}


def test_published_values_stand_beside_those_of_the_study(
    tmp_path: Path, blank_figures: None
) -> None:
    plain = fake_plan(tmp_path, **BLOCKS)
    plan, other = (fake_plan(tmp_path, **BLOCKS, published=PUBLISHED[:n]) for n in (2, 1))
    fake_study(plan)
    report(plan)
    assert [due(each) for each in (plan, other, plain)] == [set(), {"report"}, {"report"}]
    with xr.open_datatree(plan.paths.report, engine="h5netcdf") as file:
        found = file["published"].to_dataset().load()
    names = ["frechet_classifier", "bits_per_dimension", *["frechet_classifier"] * 2]
    assert found["metric"].values.tolist() == names
    assert found["published"].values.tolist() == [3.5, 2.99, 9.75, 9.75]
    configurations = [json.loads(text) for text in found["configuration"].values]
    steps = {setting.axes["step_size"]: setting for setting in plan.settings}
    assert [at.get("step_size") for at in configurations] == [2e-5, None, 2e-5, 8e-5]
    means = [np.mean([frechet(run, steps[step]) for run in plan.runs]) for step in (2e-5, 8e-5)]
    ours = [means[0], np.nan, *means]
    np.testing.assert_allclose(found["value"], ours)
    assert found["networks"].values.tolist() == [2, 0, 2, 2]
    np.testing.assert_array_equal(found["n_generated"], [20, np.nan, 20, 20])
    assert found["protocol"].values.tolist() == ["50,000 samples"] * 2 + [""] * 2
    page = plan.paths.report_page.read_text(encoding="utf-8")
    assert 'href="#published"' in page
    assert "https://example.org" in page
    assert len(read_report(plan.paths.report).plan.study.published) == 2
