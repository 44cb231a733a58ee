"""Runs whose noise levels are drawn from a continuous law."""

import pytest
import torch
from faults.in_process import crash_at, train_run
from faults.run_comparison import assert_same_run, curves

from scoresweep.objectives import dsm
from scoresweep.pipeline.training.setup import make_trainer

pytestmark = pytest.mark.usefixtures("fresh_process")

SHORT = {
    "steps": 8,
    "batch_size": 32,
    "grid": {},
    "checkpoint": {"steps": 3},
    "log": {"scalars": 4, "image_count": 0},
}
LAWS = [{"name": "log_uniform"}, {"name": "log_normal", "mean": -1.9, "std": 1.2}]


@pytest.mark.parametrize("law", LAWS)
def test_losses_are_those_of_the_drawn_levels(make_plan, law):
    plan = make_plan(**SHORT, noise_sampling=law)
    step = make_trainer(plan.runs[0], plan.paths, gpus=0).training_step
    with torch.no_grad():
        sigma, z, _ = step.noise(3, 0, 32)
        levels, losses = step.losses(step.network, 3, 0, 32)
        expected = dsm(step.network, step.loader.batch(3, 0, 32), sigma, z)
        _, part = step.losses(step.network, 3, 20, 12)
    torch.testing.assert_close(losses, expected)
    torch.testing.assert_close(part, losses[20:], rtol=1e-4, atol=0)
    ratios = sigma[:, None] / step.sigmas
    assert torch.equal(levels, torch.maximum(ratios, 1 / ratios).argmin(1))
    assert not torch.isin(sigma, step.sigmas).any()


def test_a_crashed_run_resumes_to_the_same_weights(make_plan):
    changes = SHORT | {"noise_sampling": LAWS[0]}
    undisturbed, plan = train_run(make_plan("undisturbed", **changes)), make_plan(**changes)
    crash_at(plan, 5)
    assert_same_run(train_run(plan), undisturbed)
    assert bool(curves(undisturbed).loss.notnull().all())
