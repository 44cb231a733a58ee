"""Steps too small for float32 at the distance of the data from the origin are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from tiny_study import TINY

from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.rules.train import train
from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml
from scoresweep.pipeline.system.job_state import JobState

LANGEVIN = {"name": "annealed_langevin", "step_size": 2e-10, "steps_per_level": 5}
FLOW = {"name": "probability_flow"}


def draw_samples(root: Path, mean: float, sampler: dict[str, Any], levels: int = 5) -> Plan:
    """Draw from a mixture around `mean` down to σ = 1e-4, with the exact score."""
    content = parse_yaml(TINY, "tiny.yaml")
    content["dataset"] = {
        "name": "gaussian_mixture",
        "weights": [1.0],
        "means": [[mean, 0.0]],
        "stds": [1e-3],
        "subset": 50,
    }
    noise = {"name": "geometric", "sigma_max": 1.0, "sigma_min": 1e-4, "levels": levels}
    content["train"] |= {"network": {"name": "oracle"}, "noise": noise, "grid": {}}
    content["sample"] |= {"sampler": sampler, "count": 20, "grid": {}}
    plan = plan_study(parse_study(content, "study.yaml"), root)
    stage(plan, plan.runs[0].dataset.id)
    train(plan, plan.runs[0].id, Resources())
    sample(plan, plan.runs[0].id, plan.settings[0].id)
    return plan


def test_steps_below_the_float32_spacing_are_refused(tmp_path: Path) -> None:
    """Steps of 2e-6 between numbers that are 7.6e-6 apart."""
    with pytest.raises(InputError) as error:
        draw_samples(tmp_path, 100.0, LANGEVIN)
    assert {"2e-06", "7.6e-06", "mean", "sigma_min"} <= set(
        str(error.value).replace(",", "").split()
    )
    (state,) = (tmp_path / "results").rglob("*.progress.json")
    assert JobState.read(state).state == "failed"


def test_level_gaps_below_the_float32_spacing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"7\.6e-06"):
        draw_samples(tmp_path, 100.0, FLOW, levels=1000)  # the last is 9e-7


@pytest.mark.parametrize(("mean", "sampler"), [(0.0, LANGEVIN), (100.0, FLOW)])
def test_steps_near_zero_or_larger_steps_are_allowed(
    tmp_path: Path, mean: float, sampler: dict[str, Any]
) -> None:
    plan = draw_samples(tmp_path, mean, sampler)
    store = plan.paths.samples(plan.runs[0].id, plan.settings[0].store)
    with xr.open_zarr(store, consolidated=False) as content:
        points = content["point"].to_numpy()
    assert points.shape == (20, 2)
    # A few steps take samples from [0, 1] to within about σ_1 of the data.
    assert points.mean(axis=0) == pytest.approx([mean, 0.0], abs=1.0)
