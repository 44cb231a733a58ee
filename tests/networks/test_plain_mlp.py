"""The standard multilayer perceptron."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scoresweep.networks import PlainMLP
from scoresweep.noise import geometric

SIGMAS = geometric(2.0, 0.5, 16)
ACTIVATIONS = {
    "relu": lambda h: np.maximum(h, 0),
    "silu": lambda h: h / (1 + np.exp(-h)),
    "softplus": lambda h: np.log1p(np.exp(h)),
    "tanh": np.tanh,
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("conditioning", ["input", "divide", "none"])
@pytest.mark.parametrize("shape", [(3,), (1, 2, 2)])
def test_it_agrees_with_its_formula(shape, conditioning, activation):
    torch.manual_seed(0)
    options = {"conditioning": conditioning, "activation": activation}
    net = PlainMLP(shape, SIGMAS, hidden=(7, 5), **options).double()
    x, sigma = torch.rand(4, *shape).double(), torch.tensor([2.0, 1.0, 0.5, 0.1]).double()
    h = (2 * x - 1 if len(shape) == 3 else x).reshape(4, -1).numpy()
    if conditioning == "input":
        h = np.concatenate([h, sigma[:, None].numpy()], axis=1)
    weights = [parameter.detach().numpy() for parameter in net.parameters()]
    for layer in range(3):
        h = h @ weights[2 * layer].T + weights[2 * layer + 1]
        if layer < 2:
            h = ACTIVATIONS[activation](h)
    if conditioning == "divide":
        h = h / sigma[:, None].numpy()
    found = net(x, sigma)
    assert found.shape == x.shape
    np.testing.assert_allclose(found.detach().numpy().reshape(4, -1), h, rtol=1e-12)


@pytest.mark.parametrize(
    ("shape", "options", "count"),
    [
        ((1,), {"hidden": (64,), "activation": "relu"}, 192 + 65),
        ((2,), {"conditioning": "none"}, 3 * 128 + 2 * 129 * 128 + 129 * 2),
    ],
)
def test_the_sizes_of_the_sources(shape, options, count):
    """2 → 64 → 1, with 192 and 65 parameters; three hidden layers of 128."""
    net = PlainMLP(shape, SIGMAS, **options)
    assert sum(math.prod(parameter.shape) for parameter in net.parameters()) == count
