"""A run with dropout resumes exactly, and does not depend on the number of processes."""

import numpy as np
import pytest
import torch
from faults.in_process import crash_at, train_run
from faults.processes import finish
from faults.run_comparison import assert_same_run, curves
from safetensors.torch import load_file

from scoresweep.pipeline.training.setup import make_trainer
from scoresweep.pipeline.training.weights import load_network

pytestmark = pytest.mark.usefixtures("fresh_process")

NETWORK = {
    "name": "ncsnpp",
    "channels": 4,
    "multipliers": [1, 2],
    "blocks": 1,
    "attention": [],
    "dropout": 0.5,
}
SHORT = {
    "network": NETWORK,
    "steps": 24,
    "batch_size": 32,
    "grid": {},
    "checkpoint": {"steps": 8},
    "log": {"scalars": 6, "image_count": 0},
}


def test_a_crashed_run_with_dropout_resumes_to_the_same_weights(make_plan):
    undisturbed, plan = train_run(make_plan("undisturbed", **SHORT)), make_plan(**SHORT)
    for step in (5, 19):
        crash_at(plan, step)
    assert_same_run(train_run(plan), undisturbed)


def test_masks_are_those_of_the_position_in_the_global_batch(make_plan):
    plan = make_plan(**SHORT)
    step = make_trainer(plan.runs[0], plan.paths, gpus=0).training_step
    with torch.no_grad():
        for parameter in step.network.parameters():
            parameter += 0.1
        _, whole = step.losses(step.network, 3, 0, 32)
        parts = [step.losses(step.network, 3, start, 8)[1] for start in range(0, 32, 8)]
        _, without = step.losses(step.network.eval(), 3, 0, 32)
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-4, atol=0)
    assert float((without / whole - 1).abs().median()) > 0.01


def test_a_finished_network_has_no_dropout(make_plan):
    network = load_network(train_run(make_plan(**SHORT)))
    x, sigma = torch.rand(2, 1, 8, 8), network.sigmas[:2]
    torch.testing.assert_close(network(x + 1e-6, sigma), network(x, sigma), rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_two_processes_train_the_same_network_with_dropout_as_one(make_plan):
    undisturbed, plan = train_run(make_plan("undisturbed", **SHORT)), make_plan(**SHORT)
    run, paths = plan.runs[0], plan.paths
    finish(plan, processes=2)
    np.testing.assert_allclose(curves(paths.run(run.id)).loss, curves(undisturbed).loss, rtol=1e-4)
    weights = load_file(paths.weights(run.id))
    for name, value in load_file(undisturbed / "model.safetensors").items():
        torch.testing.assert_close(weights[name], value, rtol=1e-3, atol=1e-4)
