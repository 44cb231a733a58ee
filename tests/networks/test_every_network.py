"""Properties of every network."""

import pytest
import torch

from scoresweep.networks import (
    MLP,
    NCSN,
    NCSNpp,
    NCSNv2,
    NCSNv2Deeper,
    NCSNv2Deepest,
    PlainMLP,
    UNet,
)
from scoresweep.noise import geometric

SIGMAS = geometric(2, 0.01, 10)

NETWORKS = {
    "mlp": (MLP, (5,), {}),
    "plain_mlp": (PlainMLP, (5,), {}),
    "ncsn": (NCSN, (1, 8, 8), {"channels": 8}),
    "ncsnv2": (NCSNv2, (1, 8, 8), {"channels": 8}),
    "ncsnv2_deeper": (NCSNv2Deeper, (1, 16, 16), {"channels": 8}),
    "ncsnv2_deepest": (NCSNv2Deepest, (1, 16, 16), {"channels": 8}),
    "ncsnpp": (
        *(NCSNpp, (1, 8, 8)),
        {"channels": 8, "multipliers": (1, 2), "blocks": 1, "attention": (8,)},
    ),
    "ncsnpp of skips": (
        *(NCSNpp, (1, 8, 8)),
        {"channels": 8, "multipliers": (1, 2), "blocks": 1, "embedding": "positional"}
        | {"progressive_input": "input_skip", "progressive_output": "output_skip"},
    ),
    "ncsnpp of ddpm blocks": (
        *(NCSNpp, (1, 8, 8)),
        {"channels": 8, "multipliers": (1, 2), "blocks": 1, "block_type": "ddpm"}
        | {"progressive_input": "none", "progressive_output": "residual"},
    ),
    "unet": (UNet, (1, 8, 8), {"channels": 8, "multipliers": (1, 2), "attention": (8,)}),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    """A network without zero parameters, with which some layers are initialised."""
    build, shape, options = NETWORKS[request.param]
    torch.manual_seed(0)
    net = build(shape, SIGMAS, **options)
    for parameter in net.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    return net


def test_the_score_is_float32_under_autocast(network):
    network.requires_grad_(False).eval()
    x, sigma = torch.rand(2, *network.shape), network.sigmas[[2, 9]]
    exact = network(x, sigma)
    with torch.autocast("cpu", torch.bfloat16):
        found = network(x, sigma)
    assert found.dtype == torch.float32
    error = (found - exact).flatten(1).norm(dim=1) / exact.flatten(1).norm(dim=1)
    assert 0 < float(error.max()) < 0.05  # above 0: the layers did work in bfloat16


def test_every_parameter_is_used(network):
    network(torch.rand(10, *network.shape), network.sigmas).square().sum().backward()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    assert [name for name, g in gradients.items() if g is None or not g.any()] == []
    assert all(bool(torch.isfinite(g).all()) for g in gradients.values())
