"""Methods of plugins get tensors and generators of the GPU, and metrics those of the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from faults.in_process import train_run
from plugin_study import plan_in
from safetensors.torch import load_file
from sampled_study import draw
from tiny_study import give_data

from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.rules.reference import reference

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("fresh_process")]

METHODS = '''
import torch
from scoresweep.plugins import extractor, metric, network, objective, sampler


@network(predicts="denoised")
class Small(torch.nn.Module):
    def __init__(self, shape, sigmas, *, channels: int = 4):
        super().__init__()
        self.register_buffer("levels", sigmas.clone())
        self.first = torch.nn.Conv2d(shape[0], channels, 3, padding=1)
        self.last = torch.nn.Conv2d(channels, shape[0], 3, padding=1)

    def forward(self, x, sigma):
        far = (sigma[:, None] - self.levels).abs().amin(1)
        return self.last(torch.relu(self.first(x))) * (1 + far)[:, None, None, None]


@objective
def weighted(score, x, sigma, z, *, weight: float = 0.5):
    sigma_of = sigma[:, None, None, None]
    return weight * (sigma_of * score(x + sigma_of * z, sigma) + z).square().flatten(1).sum(1)


@objective
def drawing(score, x, sigma, z):
    return (score(x, sigma) + torch.randn_like(x)).flatten(1).sum(1)


@sampler
def walk(score, x, sigmas, *, step_size: float = 1e-3, generator, observe):
    """Draw from `generator` and from the global random numbers of the device."""
    for level, sigma in enumerate(sigmas):
        drift = score(x, sigma.expand(len(x)))
        z = torch.randn(x.shape, generator=generator, device=x.device) + torch.randn_like(x)
        x = x + step_size * drift + step_size**0.5 * z
        observe(level, x, drift)
    return x


@extractor(batch_size=16)
def projection(x):
    """Random projections, always the same."""
    return x.flatten(1) @ torch.randn(64, 3, device=x.device)


@metric
def difference(real, generated, *, generator):
    """Difference of the mean images, with random weights, on the CPU."""
    weights = torch.rand(real.shape[1:], generator=generator) + torch.rand(real.shape[1:])
    return ((real.mean(0) - generated.mean(0)) * weights).sum()
'''
BLOCKS = {
    "train": {"network": {"name": "Small"}, "objective": {"name": "weighted"}}
    | {"steps": 4, "batch_size": 8, "log": {"scalars": 4, "image_count": 0}, "grid": {}},
    "sample": {"sampler": {"name": "walk"}, "count": 8, "chunk": 4, "grid": {}},
    "evaluate": {"metrics": ["frechet", "difference"], "extractors": ["projection"]}
    | {"real_count": 20},
}


@pytest.fixture
def make(tmp_path, staged):
    def make(folder, **train):
        root = tmp_path / folder
        root.mkdir()
        give_data(root, staged)
        return plan_in(root, METHODS, **BLOCKS | {"train": BLOCKS["train"] | train})

    return make


def compute(plan, gpus):
    """Train, sample and measure; return the weights, the samples and the metrics."""
    run, setting = plan.runs[0].id, plan.settings[0].id
    weights = load_file(train_run(plan, Resources(gpus=gpus)) / "model.safetensors")
    drawn = draw(plan, gpus=gpus)
    (extractor,) = plan.extractors
    reference(plan, "digits", extractor, gpus)
    evaluate(plan, run, setting, gpus)
    return weights, drawn, xr.load_dataset(plan.paths.metrics(run, setting), engine="h5netcdf")


def test_methods_of_plugins_work_on_a_gpu(gpu, make):
    with gpu.watch():
        weights, drawn, metrics = compute(make("gpu"), 1)
    assert drawn.attrs["device"] == metrics.attrs["device"] == torch.cuda.get_device_name()
    assert np.isfinite([drawn.image.mean(), metrics.difference, metrics.frechet_projection]).all()
    if not gpu.is_real:
        expected, images, values = compute(make("cpu"), 0)
        assert all(torch.equal(weights[name], value) for name, value in expected.items())
        np.testing.assert_array_equal(drawn.image, images.image)
        xr.testing.assert_identical(metrics.drop_attrs(), values.drop_attrs())


def test_an_objective_that_draws_numbers_on_the_gpu_is_refused(gpu, make):
    with pytest.raises(RunError, match=r"my_methods.py.*drawing.*draws random numbers"):
        train_run(make("gpu", objective={"name": "drawing"}), Resources(gpus=1))
