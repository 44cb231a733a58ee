"""The exact trace in batches, against one backward pass for each dimension."""

from __future__ import annotations

import pytest
import torch

from scoresweep.networks import MLP, NCSN, NCSNv2, PlainMLP, UNet
from scoresweep.objectives import ism, jacobian_trace

SIGMAS = torch.tensor([1.0, 0.5])
POINT, IMAGE = (9,), (1, 4, 4)
NETWORKS = {
    "plain_mlp": lambda: PlainMLP(POINT, SIGMAS, hidden=(7, 5)),
    "mlp": lambda: MLP(POINT, SIGMAS, width=8, blocks=1, conditioning="input"),
    "ncsn": lambda: NCSN(IMAGE, SIGMAS, channels=2),
    "ncsnv2": lambda: NCSNv2(IMAGE, SIGMAS, channels=2),
    "unet": lambda: UNet(IMAGE, SIGMAS, channels=8, multipliers=(1, 2), blocks=1, attention=(4,)),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    torch.manual_seed(0)
    network = NETWORKS[request.param]().double()
    for parameter in network.parameters():
        if not parameter.any():  # weights initialised to zero would hide mistakes
            torch.nn.init.normal_(parameter, std=0.3)
    layout = torch.channels_last if network.shape == IMAGE else torch.contiguous_format
    return network.to(memory_format=layout)


def batch(shape, count=2):
    torch.manual_seed(1)
    x, z = torch.rand(2, count, *shape, dtype=torch.float64)
    return x, SIGMAS[torch.arange(count) % 2].double(), z


def one_pass_each(score, x, sigma, z):
    noisy = (x + sigma.reshape(-1, *[1] * (x.ndim - 1)) * z).requires_grad_()
    output = score(noisy, sigma).flatten(1)
    trace = torch.zeros_like(output[:, 0])
    for i in range(output.shape[1]):
        (row,) = torch.autograd.grad(output[:, i].sum(), noisy, create_graph=True)
        trace = trace + row.flatten(1)[:, i]
    return sigma**2 * (trace + output.square().sum(1) / 2)


def gradient(losses, network):
    """Return the gradient of a weighted sum of the losses."""
    weighted = (losses * torch.arange(1, len(losses) + 1)).sum()
    return torch.autograd.grad(weighted, list(network.parameters()), allow_unused=True)


def memory_for(network, x, sigma, together):
    """Return the memory for batches of `together` dimensions."""
    x = x.clone().requires_grad_()
    return together * jacobian_trace._bytes_of_a_pass(network(x, sigma), x)


@pytest.mark.parametrize("together", [7, 10**6], ids=["parts", "whole"])
def test_values_and_gradients_agree_with_single_passes(network, together):
    """Batches of seven dimensions leave a smaller last batch."""
    x, sigma, z = batch(network.shape)
    memory = memory_for(network, x, sigma, together)
    found, expected = ism(network, x, sigma, z, memory=memory), one_pass_each(network, x, sigma, z)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)
    of_found, of_expected = gradient(found, network), gradient(expected, network)
    for first, second in zip(of_found, of_expected, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-6, atol=1e-10)


def test_batches_are_as_large_as_memory_allows(monkeypatch):
    network = NETWORKS["plain_mlp"]().double()
    x, sigma, z = batch(POINT)
    parts, part = [], jacobian_trace._part

    def recorded(output, x, start, stop):
        parts.append((start, stop))
        return part(output, x, start, stop)

    monkeypatch.setattr(jacobian_trace, "_part", recorded)
    losses = ism(network, x, sigma, z, memory=memory_for(network, x, sigma, 4))
    assert parts == [(0, 4), (4, 8), (8, 9)]
    losses.sum().backward()
    assert sorted(parts[3:]) == [(0, 4), (4, 8), (8, 9)]
    for memory in (0, 10**9):
        parts.clear()
        ism(network, x, sigma, z, memory=memory)
        assert parts == ([(i, i + 1) for i in range(9)] if memory == 0 else [(0, 9)])


def test_the_bytes_of_a_pass_are_those_of_its_gradients():
    """Of y = tanh(2x): those of y, of 2x and of x."""
    x = torch.ones(5, 3, dtype=torch.float64, requires_grad=True)
    assert jacobian_trace._bytes_of_a_pass((2 * x).tanh(), x) == 3 * 5 * 3 * 8


@pytest.mark.parametrize("together", [4, 9])
def test_a_gradient_reaches_the_data_as_well(together):
    network = NETWORKS["plain_mlp"]().double()
    x, sigma, z = batch(POINT)
    memory, x = memory_for(network, x, sigma, together), x.requires_grad_()
    found, expected = ism(network, x, sigma, z, memory=memory), one_pass_each(network, x, sigma, z)
    gradients = [torch.autograd.grad(losses.sum(), x)[0] for losses in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)


class Clipped(torch.autograd.Function):
    """An identity whose backward pass depends on values, which `torch.vmap` does not support."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad.clamp(-1, 1) if bool((grad.abs() > 1e6).any()) else grad


@pytest.mark.parametrize("together", [4, 9])
def test_a_network_that_vmap_does_not_support_gets_single_passes(together):
    network = NETWORKS["plain_mlp"]().double()
    x, sigma, z = batch(POINT)

    def score(x, sigma):
        return Clipped.apply(network(x, sigma))

    memory = memory_for(score, x, sigma, together)
    with pytest.warns(UserWarning, match="one backward pass for each dimension.*data-dependent"):
        of_found = gradient(ism(score, x, sigma, z, memory=memory), network)
    of_expected = gradient(one_pass_each(score, x, sigma, z), network)
    for first, second in zip(of_found, of_expected, strict=True):
        torch.testing.assert_close(first, second, rtol=1e-9, atol=1e-12)


def test_an_error_of_the_network_is_not_attributed_to_vmap():
    def score(x, sigma):
        return x.detach().requires_grad_()

    x, sigma, z = batch(POINT)
    with pytest.raises(RuntimeError, match="to not have been used in the graph"):
        ism(score, x, sigma, z)


@pytest.mark.parametrize("together", [4, 9])
def test_the_gradient_can_be_differentiated(together):
    network = NETWORKS["plain_mlp"]().double()
    x, sigma, z = batch(POINT)

    def second(losses):
        parameters = list(network.parameters())
        options = {"create_graph": True, "allow_unused": True}
        first = torch.autograd.grad(losses.sum(), parameters, **options)
        square = sum(g.square().sum() for g in first if g is not None)
        return torch.autograd.grad(square, parameters[0])[0]

    memory = memory_for(network, x, sigma, together)
    found = second(ism(network, x, sigma, z, memory=memory))
    torch.testing.assert_close(found, second(one_pass_each(network, x, sigma, z)))
