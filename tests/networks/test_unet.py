"""The U-Net with attention."""

import numpy as np
import pytest
import torch
from network_derivatives import assert_differentiable_twice
from sklearn.datasets import load_digits

from scoresweep.networks import UNet
from scoresweep.networks.unet import _Attention, _LogSigma
from scoresweep.noise import geometric
from scoresweep.objectives import dsm

SIGMAS = geometric(8.0, 0.05, 10)


def network(shape=(1, 8, 8), **options):
    torch.manual_seed(0)
    return UNet(
        shape, SIGMAS, **{"channels": 8, "multipliers": (1, 2), "attention": (8,), **options}
    )


def shaken(net):
    """Fill the layers that are initialised to zero too."""
    for parameter in net.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return net


@pytest.mark.parametrize(("options", "std"), [({}, 0.5), ({"data_std": 0.25}, 0.25)])
def test_it_is_initialised_to_the_score_of_a_gaussian(options, std):
    net = network(**options).double()
    x, sigma = torch.rand(3, 1, 8, 8).double(), torch.tensor([8, 0.5, 0.05], dtype=torch.float64)
    expected = -(x - 0.5) / (sigma**2 + std**2)[:, None, None, None]
    torch.testing.assert_close(net(x, sigma), expected, rtol=1e-12, atol=0)


def test_what_it_learns_is_scaled_by_sigma():
    net = network().double()
    torch.nn.init.constant_(net.last.bias, 3.0)
    x, sigma = torch.rand(3, 1, 8, 8).double(), torch.tensor([8, 0.5, 0.05], dtype=torch.float64)
    s = sigma[:, None, None, None]
    expected = -(x - 0.5) / (s**2 + 0.25) + 0.5 / torch.sqrt(s**2 + 0.25) * 3 / s
    torch.testing.assert_close(net(x, sigma), expected, rtol=1e-12, atol=0)


def test_its_input_has_unit_size_at_every_level():
    net, seen = network().double(), []
    net.first.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    generator = torch.Generator().manual_seed(0)
    sigma = SIGMAS[[0, 5, 9]].repeat_interleave(60)
    spread = (sigma**2 + 0.25).sqrt()[:, None, None, None]
    net(0.5 + spread * torch.randn(180, 1, 8, 8, generator=generator).double(), sigma)
    size = seen[0].reshape(3, -1)
    torch.testing.assert_close(size.std(1), torch.ones(3).double(), rtol=0.05, atol=0)
    torch.testing.assert_close(size.mean(1), torch.zeros(3).double(), rtol=0, atol=0.05)


def test_the_embedding_is_sines_and_cosines_of_log_sigma():
    found = _LogSigma(6)(torch.tensor([np.exp(0.7)]))
    expected = [f(k * 0.7) for f in (np.sin, np.cos) for k in (1 / 16, 1, 16)]
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)


def test_attention_is_the_softmax_of_products():
    torch.manual_seed(0)
    attention = shaken(_Attention(4)).double()
    x = torch.randn(2, 4, 2, 3).double()
    weights = {name: value.numpy() for name, value in attention.state_dict().items()}
    expected = np.empty((2, 4, 2, 3))
    for n, image in enumerate(x.numpy()):
        normed = (image - image.mean()) / np.sqrt(image.var() + 1e-5)  # one group of four channels
        normed = (
            normed * weights["norm.weight"][:, None, None] + weights["norm.bias"][:, None, None]
        )
        pixels = [normed[:, i, j] for i in range(2) for j in range(3)]
        q, k, v = np.split(
            weights["qkv.weight"] @ np.array(pixels).T + weights["qkv.bias"][:, None], 3
        )
        for a in range(6):
            share = np.array([np.exp(q[:, a] @ k[:, b] / np.sqrt(4)) for b in range(6)])
            mixed = sum(share[b] / share.sum() * v[:, b] for b in range(6))
            out = weights["out.weight"] @ mixed + weights["out.bias"]
            expected[n, :, a // 3, a % 3] = image[:, a // 3, a % 3] + out
    np.testing.assert_allclose(attention(x).detach(), expected, rtol=1e-10)


@pytest.mark.parametrize(("attention", "count"), [((), 1), ((8,), 1 + 2 + 3), ((8, 4), 1 + 5 + 5)])
def test_attention_is_at_the_chosen_sizes(attention, count):
    net = network(blocks=2, attention=attention)
    assert sum(isinstance(module, _Attention) for module in net.modules()) == count


def test_it_can_be_differentiated_twice():
    net = shaken(network()).double()
    assert_differentiable_twice(net, SIGMAS[5:6])


def test_channels_last_and_odd_sizes_give_the_same():
    net = shaken(network((2, 7, 9), multipliers=(1, 2, 2))).double()
    x, sigma = torch.rand(2, 2, 7, 9).double(), SIGMAS[[2, 7]]
    expected = net(x, sigma)
    net = net.to(memory_format=torch.channels_last)
    found = net(x.to(memory_format=torch.channels_last), sigma)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_it_learns_digits():
    net = network(channels=8, blocks=1)
    digits = torch.from_numpy(load_digits().images).float()[:, None] / 16
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)

    def loss(x):
        z = torch.randn(x.shape, generator=generator)
        level = torch.randint(10, (len(x),), generator=generator)
        return dsm(net, x, net.sigmas[level], z).mean()

    with torch.no_grad():
        before = float(loss(digits[1400:]))
    for _ in range(40):
        index = torch.randint(1400, (32,), generator=generator)
        optimizer.zero_grad()
        loss(digits[index]).backward()
        optimizer.step()
    with torch.no_grad():
        after = float(loss(digits[1400:]))
    # Of the 32 that zero has, the Gaussian at the start leaves about a third.
    assert before < 15
    assert after < 0.7 * before


def test_points_and_small_images_are_refused():
    with pytest.raises(ValueError, match="unet needs images of shape"):
        UNet((5,), SIGMAS)
    with pytest.raises(ValueError, match="16×16 pixels or more for 5 stages"):
        network(multipliers=(1, 1, 1, 1, 1))
