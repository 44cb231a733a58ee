"""Trained networks pass; their weights in other functions do not."""

import pytest
import torch
from torch.nn.functional import elu

from scoresweep.networks import MLP
from scoresweep.networks import mlp as mlp_module
from scoresweep.objectives import dsm
from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.training.held_out_check import MARGIN, check_held_out

SIGMAS = torch.tensor([1.0, 0.7, 0.5])


@pytest.fixture(scope="module")
def store(staged):
    return staged / "data" / "digits.zarr"


def trained(data, steps=250):
    """Return a small network after a second of training on `data`."""
    generator = torch.manual_seed(0)
    network = MLP((1, 8, 8), SIGMAS, width=128, blocks=1)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, total_steps=steps)
    for _ in range(steps):
        x = data[torch.randint(len(data), (128,), generator=generator)]
        sigma = SIGMAS[torch.randint(len(SIGMAS), (128,), generator=generator)]
        z = torch.randn(x.shape, generator=generator)
        optimizer.zero_grad()
        dsm(network, x, sigma, z).mean().backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def logit(x, least=1e-6):
    """Transform images as the authors' programs do for `logit_transform`."""
    x = least + (1 - 2 * least) * x
    return x.log() - (-x).log1p()


@pytest.fixture(scope="module")
def right(store):
    return trained(read_split(store, "train").model_space())


def test_a_trained_network_passes(store, right):
    check = check_held_out(right, store)
    assert check.level == [1, 2, 3]
    assert check.sigma == pytest.approx([1.0, 0.7, 0.5])
    assert check.images == 64
    assert check.worse_at == []
    # v/(v + σ²) with the variance of digits' pixels about their means, 0.076.
    assert check.noise_left_by_normal == pytest.approx([0.07, 0.13, 0.23], abs=0.03)
    assert check == check_held_out(right, store)


def test_another_activation_is_worse(store, right, monkeypatch):
    monkeypatch.setattr(mlp_module, "silu", elu)
    check = check_held_out(right, store)
    assert check.worse_at == [1, 2, 3]
    gaps = [a - b for a, b in zip(check.noise_left, check.noise_left_by_normal, strict=True)]
    assert min(gaps) > 2 * MARGIN


@pytest.mark.parametrize("change", [logit, lambda x: 2 * x - 1], ids=["logit", "rescaled"])
def test_another_data_range_is_worse(store, change):
    network = trained(change(read_split(store, "train").model_space()))
    assert check_held_out(network, store).worse_at[:2] == [1, 2]


def test_levels_and_images_are_few(store):
    sigmas = torch.logspace(1, -2, 100)
    check = check_held_out(MLP((1, 8, 8), sigmas, width=8, blocks=1), store)
    assert (len(check.level), check.level[0], check.level[-1]) == (8, 1, 100)
    assert check.images <= 64
