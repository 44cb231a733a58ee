"""Every objective trains under the promises of the loop: resume, parts, precision, processes."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from accelerate.state import AcceleratorState
from faults.here import crash_at, train_run
from faults.undisturbed import assert_same_run, curves
from tiny_study import TINY

from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.rules.train import train
from scoresweep.pipeline.study import parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml

pytestmark = pytest.mark.usefixtures("fresh_process")

OBJECTIVES = {
    "dsm": {"name": "dsm", "control_variate": True},
    "ism": {"name": "ism"},
    "ssm": {"name": "ssm", "projections": 3, "distribution": "normal"},
    "ssm_vr": {"name": "ssm_vr", "projections": 2},
}
SMALL = {
    "steps": 8,
    "batch_size": 32,
    "checkpoint": {"steps": 3},
    "log": {"scalars": 2, "image_count": 0},
}


@pytest.fixture(params=OBJECTIVES)
def objective(request):
    return OBJECTIVES[request.param]


@pytest.fixture
def plans(tmp_path):
    """Make plans on points of a mixture in two dimensions, each in a folder of its own."""

    def make(folder, **changes):
        root = tmp_path / folder
        root.mkdir()
        content = parse_yaml(TINY, "tiny.yaml")
        content["dataset"] = {"name": "gaussian_mixture", "train_count": 200, "test_count": 20}
        content["train"] |= SMALL | changes
        plan = plan_study(parse_study(content, "tiny.yaml"), root)
        stage(plan, plan.study.dataset[0].id)
        return plan

    return make


def test_a_run_that_crashes_goes_on_to_the_same_weights(plans, objective):
    plan = plans("crashed", objective=objective)
    crash_at(plan, 5)
    assert_same_run(train_run(plan), train_run(plans("undisturbed", objective=objective)))


def test_parts_of_a_batch_change_only_the_order_of_sums(plans, objective):
    whole = curves(train_run(plans("whole", objective=objective)))
    parts = curves(train_run(plans("parts", objective=objective, gradient_accumulation=4)))
    for name in ("loss", "gradient_norm", "level_loss"):
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-4, atol=1e-6)


def test_bf16_is_near_float32(plans, objective):
    full = curves(train_run(plans("full", objective=objective)))
    AcceleratorState._reset_state(reset_partial_state=True)
    half = curves(train_run(plans("half", objective=objective, precision="bf16")))
    assert not np.array_equal(half.loss, full.loss)
    np.testing.assert_allclose(half.loss, full.loss, atol=0.03 * np.abs(full.loss).max())


def test_two_processes_train_the_same_network_as_one(plans):
    """The gradient of a gradient passes through the wrapper that sums over processes."""
    objective = OBJECTIVES["ssm_vr"]
    alone = train_run(plans("alone", objective=objective))
    plan = plans("together", objective=objective)
    train(plan, plan.runs[0].id, Resources(processes=2))
    together = xr.load_dataset(plan.paths.training_curves(plan.runs[0].id))
    assert together.attrs["processes"] == 2
    np.testing.assert_allclose(together.loss, curves(alone).loss, rtol=1e-4)


def test_ism_in_many_dimensions_is_refused_before_anything_is_trained(plans, monkeypatch):
    plan = plans("many", objective=OBJECTIVES["ism"])
    monkeypatch.setattr(type(plan.study.train.objective), "max_dimension", property(lambda self: 1))
    with pytest.raises(InputError, match=r"ism: takes one backward pass for each .* 2 dimensions"):
        train_run(plan)
    assert not plan.paths.checkpoints(plan.runs[0].id).exists()
