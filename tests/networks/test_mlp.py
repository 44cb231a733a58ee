"""The residual multilayer perceptron."""

from __future__ import annotations

import pytest
import torch

from scoresweep.networks import MLP
from scoresweep.noise import geometric
from scoresweep.objectives import dsm

SIGMAS = geometric(4.0, 0.1, 8)


def network(shape=(5,), **options):
    torch.manual_seed(0)
    return MLP(shape, SIGMAS, **{"width": 16, "blocks": 2, **options})


def reference(net, u, sigma=None):
    """F(u/r, log r[, log σ]) − u/r of the docstring, written out."""
    weights = net.state_dict()

    def linear(name, h):
        return h @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def silu(h):
        return h / (1 + torch.exp(-h))

    r = torch.sqrt(1 + (u**2).mean(1))[:, None]
    columns = [u / r, torch.log(r)] + ([] if sigma is None else [torch.log(sigma)[:, None]])
    h = linear("first", torch.cat(columns, 1))
    for i in range(2):
        centred = h - h.mean(1, keepdim=True)
        normed = centred / torch.sqrt((centred**2).mean(1, keepdim=True) + 1e-5)
        inner = normed * weights[f"blocks.{i}.norm.weight"] + weights[f"blocks.{i}.norm.bias"]
        inner = linear(f"blocks.{i}.inner", silu(inner))
        h = h + linear(f"blocks.{i}.outer", silu(inner))
    return linear("last", silu(h)) - u / r


@pytest.mark.parametrize("conditioning", ["divide", "input", "none"])
@pytest.mark.parametrize("shape", [(5,), (1, 2, 3)])
def test_it_agrees_with_its_formula(conditioning, shape):
    net = network(shape, conditioning=conditioning)
    x = torch.rand(3, *shape)
    sigma = torch.tensor([4.0, 1.0, 0.1])
    u = (2 * x - 1 if len(shape) == 3 else x).flatten(1)
    expected = reference(net, u, sigma if conditioning == "input" else None)
    if conditioning != "none":
        expected = expected / sigma[:, None]
    torch.testing.assert_close(net(x, sigma), expected.reshape(x.shape))


def test_the_ladder_is_kept_and_saved():
    net = network()
    assert torch.equal(net.sigmas, SIGMAS.float())
    assert "sigmas" in net.state_dict()


def test_it_learns_the_score_of_a_gaussian():
    # Two coordinates do not determine σ, so it has to be an input.
    net = network((2,), width=32, conditioning="input")
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    spread = torch.tensor([1.0, 0.3])
    for _ in range(200):
        x = spread * torch.randn(256, 2, generator=generator)
        z = torch.randn(256, 2, generator=generator)
        sigma = net.sigmas[torch.randint(8, (256,), generator=generator)]
        optimizer.zero_grad()
        dsm(net, x, sigma, z).mean().backward()
        optimizer.step()
    sigma = net.sigmas.repeat(500)
    y = spread * torch.randn(4000, 2, generator=generator)
    y = y + sigma[:, None] * torch.randn(4000, 2, generator=generator)
    exact = -y / (spread**2 + sigma[:, None] ** 2)
    with torch.no_grad():
        error = (sigma[:, None] * (net(y, sigma) - exact)).square().sum(1).mean()
    assert float(error) < 0.05 * float((sigma[:, None] * exact).square().sum(1).mean())
