"""The conditional RefineNet of NCSN; its numbers are compared in test_ncsn_checkpoints.py."""

import pytest
import torch

from scoresweep.networks import NCSN
from scoresweep.noise import geometric

SIGMAS = geometric(1, 0.01, 10)


def network(shape=(1, 8, 8), channels=4):
    torch.manual_seed(0)
    return NCSN(shape, SIGMAS, channels=channels)


def test_only_norms_depend_on_the_level():
    net, level = network(), 3
    changed = [p for p in net.parameters() if p.ndim == 2]
    assert len(changed) == 3 * (16 + 28 + 6 + 8 + 12 + 1)
    x, sigma = torch.rand(10, 1, 8, 8), net.sigmas
    before = net(x, sigma)
    with torch.no_grad():
        for parameter in changed:
            parameter[level] += torch.randn_like(parameter[level])
    same = [torch.equal(a, b) for a, b in zip(before, net(x, sigma), strict=True)]
    assert same == [i != level for i in range(10)]


def test_sigmas_are_matched_within_float32_rounding():
    net = network()
    x = torch.rand(10, 1, 8, 8)
    expected = net(x, SIGMAS.float())
    assert torch.equal(net(x, SIGMAS), expected)
    assert torch.equal(net(x, SIGMAS.float() * (1 + 2**-23)), expected)
    order = torch.randperm(10)
    torch.testing.assert_close(net(x[order], SIGMAS[order]), expected[order])


def test_a_sigma_between_two_levels_is_named():
    sigma = torch.tensor([1.0, 0.0130])
    with pytest.raises(ValueError, match=r"sigma 0\.0156: the nearest .* level 9, sigma 0\.0166"):
        network()(torch.rand(2, 1, 8, 8), sigma * torch.tensor([1, 1.2]))
    with pytest.raises(ValueError, match=r"no embedding for sigma 2:"):
        network()(torch.rand(1, 1, 8, 8), torch.tensor([2.0]))
    with pytest.raises(ValueError, match=r"no embedding for sigma 1\.00001"):
        network()(torch.rand(1, 1, 8, 8), torch.tensor([1.00001]))


def test_points_are_refused():
    with pytest.raises(ValueError, match="ncsn needs images of shape"):
        NCSN((5,), SIGMAS)
