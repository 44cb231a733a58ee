"""Networks and objectives of plugins keep the invariants of training."""

from __future__ import annotations

import functools
import signal

import pytest
import torch
from faults.in_process import train_run
from faults.processes import die_in, end, finish, start
from faults.run_comparison import assert_same_run, curves
from plugin_study import plan_in
from safetensors.torch import load_file

from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.training.weights import build_network

pytestmark = pytest.mark.usefixtures("fresh_process")

METHODS = '''
"""A network that predicts the clean sample, and denoising score matching."""

import torch

from scoresweep.plugins import network, objective


@network(predicts="denoised")
class Denoiser(torch.nn.Module):
    def __init__(self, shape, *, width: int = 16):
        super().__init__()
        self.first = torch.nn.Linear(shape[0] + 1, width)
        self.last = torch.nn.Linear(width, shape[0])

    def forward(self, x, sigma):
        level = sigma.log()[:, None]
        return self.last(torch.tanh(self.first(torch.cat([x, level], dim=1))))


@objective
def weighted(score, x, sigma, z, *, weight: float = 1.0):
    scale = sigma[:, None]
    return weight * (scale * score(x + scale * z, sigma) + z).square().sum(1) / 2
'''
TRAIN = {
    "network": {"name": "Denoiser", "width": 8},
    "objective": {"name": "weighted", "weight": 0.5},
    "steps": 8,
    "batch_size": 32,
    "checkpoint": {"steps": 3},
    "log": {"scalars": 2, "image_count": 0},
    "grid": {},
}
POINTS = {"name": "gaussian_mixture", "train_count": 200, "test_count": 20}


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """Make plans on points in two dimensions, each in a folder of its own."""

    def make(**changes):
        root = tmp_path_factory.mktemp("study")
        plan = plan_in(root, METHODS, dataset=[POINTS], train=TRAIN | changes)
        stage(plan, plan.study.dataset[0].id)
        return plan

    return make


@pytest.fixture(scope="module")
def undisturbed(plans):
    """The folder of the run, trained by two processes without a stop."""
    return finish(plans())


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_a_network_that_predicts_the_clean_sample_is_a_score(plans):
    sigmas = torch.tensor([2.0, 0.5], dtype=torch.float64)
    network = build_network(plans().runs[0].train.network, (2,), sigmas)
    x, sigma = torch.randn(5, 2), torch.tensor([0.1, 0.5, 1.0, 2.0, 8.0])
    expected = (network.module(x, sigma) - x) / sigma[:, None] ** 2
    torch.testing.assert_close(network(x, sigma), expected)


def test_a_killed_run_resumes_to_the_same_weights(plans, undisturbed):
    """Killed while the second of three checkpoints is written."""
    plan = plans()
    save = "scoresweep.pipeline.training.checkpoint.save_safetensors"
    ranks = start(plan, faults={0: functools.partial(die_in, save, 3 + 2)})
    assert end(ranks)[0] == -signal.SIGKILL
    assert_same_run(finish(plan), undisturbed)


def test_one_process_trains_the_same_weights_as_two(plans, undisturbed):
    """Bit for bit, if it adds the gradients of the halves of a batch as two processes do."""
    alone = train_run(plans(gradient_accumulation=2))
    assert curves(undisturbed).attrs["processes"] == 2
    for name, expected in weights(undisturbed).items():
        assert torch.equal(weights(alone)[name], expected), name


# PyTorch's compiler uses deprecated functions of PyTorch.
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")
def test_a_network_is_compiled_as_a_whole(plans, monkeypatch, capsys):
    """Machine code is not made, which would take long."""
    compiler = functools.partial(torch.compile, backend="aot_eager", fullgraph=True)
    monkeypatch.setattr(torch, "compile", compiler)
    plain, compiled = train_run(plans()), train_run(plans(compile=True))
    assert "compile" not in capsys.readouterr().err  # it does not fall back
    for name, expected in weights(plain).items():
        assert torch.equal(weights(compiled)[name], expected), name
