"""The RefineNet of NCSNv2."""

from __future__ import annotations

import pytest
import torch

from scoresweep.networks import NCSNv2
from scoresweep.noise import geometric

SIGMAS = geometric(50, 0.01, 20)


def network(shape, channels=4):
    torch.manual_seed(0)
    return NCSNv2(shape, SIGMAS, channels=channels)


def fill_with_waves(net):
    """Set each parameter to a sine of its position, scaled by its fan-in; α and γ around one."""
    for name, parameter in net.named_parameters():
        kind = name.rsplit(".", 1)[-1]
        count = parameter.numel()
        wave = torch.sin(torch.arange(count, dtype=torch.float64) + count + len(kind))
        wave = wave.reshape(parameter.shape)
        scaled = 1 + 0.2 * wave if kind in ("alpha", "gamma") else wave
        fan_in = 1 if parameter.ndim == 1 else parameter[0].numel()
        parameter.data.copy_(scaled / fan_in**0.5)


# What the authors' program gives, in float64 with 4 channels, for weights filled with waves and two
# images of cosines at σ = 2 and 0.5: norms of the two scores, pixel (0, 3, 5) of the first and
# pixel (−1, −1, 0) of the second.
AUTHORS = {
    (3, 32, 32): (31.118787321194564, 124.68552563303398, 1.0427221891619616, 0.9578869096825816),
    (1, 28, 28): (21.079389895955767, 84.42049042467322, -0.9547733067436749, -1.612192069219512),
    (1, 8, 8): (5.549008896033033, 23.342027516154204, -0.560121321727151, -1.3528972930480603),
}


@pytest.mark.parametrize("shape", AUTHORS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_gives_the_scores_of_the_published_code(shape, layout):
    net = network(shape).double().to(memory_format=layout)
    fill_with_waves(net)
    size = torch.Size((2, *shape))
    x = torch.cos(torch.arange(size.numel(), dtype=torch.float64)).reshape(size)
    with torch.no_grad():
        s = net(x.to(memory_format=layout), torch.tensor([2.0, 0.5], dtype=torch.float64))
    found = [float(s[0].norm()), float(s[1].norm()), float(s[0, 0, 3, 5]), float(s[1, -1, -1, 0])]
    assert found == pytest.approx(AUTHORS[shape], rel=1e-10)


def test_sigma_only_divides_the_output():
    net = network((1, 8, 8)).double()
    x = torch.rand(3, 1, 8, 8, dtype=torch.float64)
    one = net(x, torch.ones(3, dtype=torch.float64))
    sigma = torch.tensor([50, 1.5, 0.01], dtype=torch.float64)
    torch.testing.assert_close(net(x, sigma), one / sigma[:, None, None, None])


def test_odd_sizes_are_kept():
    assert network((2, 9, 11))(torch.rand(2, 2, 9, 11), torch.ones(2)).shape == (2, 2, 9, 11)


def test_points_are_refused():
    with pytest.raises(ValueError, match="images of shape"):
        NCSNv2((5,), SIGMAS)
