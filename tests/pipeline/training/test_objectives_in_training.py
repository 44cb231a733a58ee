"""Every objective keeps the invariants of training: resume, accumulation, precision, processes."""

from __future__ import annotations

import numpy as np
import pytest
from faults.in_process import crash_at, train_run
from faults.processes import finish
from faults.run_comparison import assert_same_run, curves
from tiny_study import TINY

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.rules.stage import stage
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


@pytest.fixture(params=OBJECTIVES, scope="module")
def objective(request):
    return OBJECTIVES[request.param]


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """Make plans on points of a mixture in two dimensions, each in a folder of its own."""

    def make(**changes):
        root = tmp_path_factory.mktemp("study")
        content = parse_yaml(TINY, "tiny.yaml")
        content["dataset"] = {"name": "gaussian_mixture", "train_count": 200, "test_count": 20}
        content["train"] |= SMALL | changes
        plan = plan_study(parse_study(content, "tiny.yaml"), root)
        stage(plan, plan.study.dataset[0].id)
        return plan

    return make


@pytest.fixture(scope="module")
def undisturbed(plans, objective):
    """The folder of the run, trained without a stop."""
    return train_run(plans(objective=objective))


def test_a_crashed_run_resumes_to_the_same_weights(plans, objective, undisturbed):
    plan = plans(objective=objective)
    crash_at(plan, 5)
    assert_same_run(train_run(plan), undisturbed)


def test_gradient_accumulation_changes_only_the_order_of_sums(plans, objective, undisturbed):
    whole = curves(undisturbed)
    parts = curves(train_run(plans(objective=objective, gradient_accumulation=4)))
    for name in ("loss", "gradient_norm", "level_loss"):
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-4, atol=1e-6)


def test_bf16_is_near_float32(plans, objective, undisturbed):
    full = curves(undisturbed)
    half = curves(train_run(plans(objective=objective, precision="bf16")))
    assert not np.array_equal(half.loss, full.loss)
    np.testing.assert_allclose(half.loss, full.loss, atol=0.03 * np.abs(full.loss).max())


def test_two_processes_train_the_same_network_as_one(plans):
    """The gradient of a gradient passes through the wrapper that sums over processes."""
    objective = OBJECTIVES["ssm_vr"]
    alone = train_run(plans(objective=objective))
    together = curves(finish(plans(objective=objective), processes=2))
    assert together.attrs["processes"] == 2
    np.testing.assert_allclose(together.loss, curves(alone).loss, rtol=1e-4)


def test_ism_in_many_dimensions_is_refused_before_the_first_step(plans, monkeypatch):
    plan = plans(objective=OBJECTIVES["ism"])
    monkeypatch.setattr(type(plan.study.train.objective), "max_dimension", property(lambda self: 1))
    with pytest.raises(InputError, match=r"train\.objective: ism: .* 2 "):
        train_run(plan)
    assert not plan.paths.checkpoints(plan.runs[0].id).exists()
