"""Every metric that computes on the GPU gives the CPU's numbers."""

from __future__ import annotations

import pytest
import torch
import xarray as xr

from scoresweep.distributions import GaussianMixture, SmoothedData
from scoresweep.metrics.extractors.classifier import Classifier
from scoresweep.metrics.extractors.efficientnet import EfficientNetLite0
from scoresweep.metrics.extractors.inception import (
    Inception,
    InceptionAntialias,
    InceptionHalfPixel,
)
from scoresweep.metrics.extractors.pixels import Pixels
from scoresweep.metrics.likelihood import log_likelihood
from scoresweep.networks import MLP, Oracle
from scoresweep.noise import geometric
from scoresweep.pipeline.evaluation.network_metrics import measure_network
from scoresweep.pipeline.evaluation.real_features import extract_features
from scoresweep.pipeline.study.models import Evaluate
from scoresweep.pipeline.system.device import CPU, move_exact_score, move_network, select_device
from scoresweep.samplers import metropolis
from scoresweep.seeds import generator_for

pytestmark = pytest.mark.gpu

SIGMAS = geometric(2.0, 0.1, 3)
SHAPE = (1, 8, 8)
NEAR = {"rtol": 1e-3, "atol": 1e-4}


def images(count):
    return torch.rand(count, *SHAPE, generator=generator_for("images"))


def network(shape):
    torch.manual_seed(0)
    return MLP(shape, SIGMAS, width=8, blocks=1).requires_grad_(False)


@pytest.mark.parametrize("kind", [Pixels, Classifier, EfficientNetLite0, Inception])
def test_every_extractor_works_on_a_gpu(gpu, kind):
    torch.manual_seed(0)
    model = kind(SHAPE, 10).eval()
    model.batch_size = 2
    expected = extract_features(model, images(3), "cpu")
    with gpu.watch() as waits:
        found = extract_features(model, images(3), "gpu", select_device(1))
    copies = 2 if expected.probabilities is None else 3
    assert waits["pipeline/evaluation/real_features.py extract_features"] >= 2 * copies
    assert found.values.device == CPU
    torch.testing.assert_close(found.values, expected.values, **NEAR)


@pytest.mark.parametrize("kind", [InceptionHalfPixel, InceptionAntialias])
def test_images_are_resized_on_a_gpu(gpu, kind):
    model = kind.__new__(kind)
    expected, given = kind.prepare(model, images(1)), images(1).to("cuda")
    with gpu.watch() as waits:
        found = kind.prepare(model, given)
    assert waits == {}
    torch.testing.assert_close(found.cpu(), expected, **NEAR)


MIXTURE = torch.tensor([0.3, 0.7]), torch.tensor([[0.0, 1.0], [2.0, -1.0]]), torch.tensor([0.5])


@pytest.mark.parametrize("is_image", [True, False])
def test_the_errors_of_a_network_are_those_of_a_cpu(gpu, is_image):
    """Also the asymmetry of its Jacobian, errors by density, and the field of the score."""
    shape = SHAPE if is_image else (2,)
    points = torch.rand(12, *shape, generator=generator_for("points"))
    evaluate = Evaluate(score_error_samples=8, asymmetry_probes=1, density_bins=2)

    def measure(device) -> xr.Dataset:
        exact = SmoothedData(points) if is_image else GaussianMixture(*MIXTURE)
        moved = move_network(network(shape), device), move_exact_score(exact, device)
        return measure_network(*moved, {"train": points, "test": points}, evaluate, lambda _: None)

    expected = measure(CPU)
    with gpu.watch():
        found = measure(torch.device("cuda"))
    xr.testing.assert_allclose(found, expected, **NEAR)


@pytest.mark.parametrize("probes", [0, 1])
def test_the_likelihood_waits_for_the_gpu_once_for_all_steps(gpu, probes):
    def measure(device, steps):
        generator = generator_for("probes")
        x, moved = images(2)[..., :2, :2].to(device), network((1, 2, 2)).to(device)
        options = {"steps": steps, "probes": probes, "generator": generator}
        with gpu.watch() as waits:
            return log_likelihood(moved, x, 0.1, 2.0, **options), waits

    (found, waits), (_, of_more) = measure("cuda", 2), measure("cuda", 4)
    assert found.device.type == "cuda"
    assert waits == of_more
    torch.testing.assert_close(found.cpu(), measure("cpu", 2)[0], **NEAR)


def test_an_exact_score_is_that_of_a_cpu(gpu):
    def oracle():
        return Oracle((2,), SIGMAS).set_mixture(*MIXTURE)

    x, sigma = torch.rand(3, 2, generator=generator_for("x")), torch.full((3,), 0.5)
    there, moved = oracle().to("cuda"), (x.to("cuda"), sigma.to("cuda"))
    with gpu.watch():
        found, density = there(*moved), there.log_density(*moved)
    torch.testing.assert_close(found.cpu(), oracle()(x, sigma))
    torch.testing.assert_close(density.cpu(), oracle().log_density(x, sigma))
    samples = there._stored().sample(5, 0.1, generator_for("samples", device="cuda"))
    assert samples.device.type == "cuda"


@pytest.mark.parametrize("proposal", ["random_walk", "langevin"])
def test_metropolis_draws_on_a_gpu(gpu, proposal):
    score, x = Oracle((2,), SIGMAS).set_mixture(*MIXTURE).to("cuda"), torch.zeros(4, 2).to("cuda")
    options = {"step_size": 0.01, "steps": 3, "proposal": proposal}
    with gpu.watch():
        drawn = metropolis(
            score, x, SIGMAS, generator=generator_for("chain", device="cuda"), **options
        )
    assert drawn.device.type == "cuda"
    assert bool(torch.isfinite(drawn).all())
