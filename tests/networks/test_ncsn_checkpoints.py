"""Networks and parameter names against the published code."""

import pytest
import torch
from published_weights import SHAPES, images, published_weights

from scoresweep.networks import NCSN, NCSNv2, NCSNv2Deeper, NCSNv2Deepest
from scoresweep.networks.ncsn_checkpoints import convert_ncsn_state_dict, published_names
from scoresweep.noise import explicit

SIGMAS = explicit([8, 4, 2, 1, 0.5])
NETWORKS = {
    "ncsn": NCSN,
    "ncsnv2": NCSNv2,
    "ncsnv2_deeper": NCSNv2Deeper,
    "ncsnv2_deepest": NCSNv2Deepest,
}
# What the authors' programs give, in float64, for weights of waves and two images of cosines at
# σ = 2 and 0.5: norms of the two scores, pixel (0, 3, 5) of the first and pixel (−1, −1, 0) of the
# second. The two programs agree on `ncsn`.
AUTHORS = {
    ("ncsnv2", (2, 32, 32)): (
        *(16.437496515621664, 66.51195705000823, 0.3069016526393947, -0.5798426159460512),
    ),
    ("ncsnv2_deeper", (2, 32, 32)): (
        *(17.819874493652307, 71.03207957978714, 0.7331477654852423, -0.3050482583129041),
    ),
    ("ncsnv2_deeper", (1, 36, 36)): (
        *(12.286570462242356, 49.09695824799856, 0.46825339354257156, 2.0956048203199327),
    ),
    ("ncsnv2_deepest", (2, 48, 48)): (
        *(25.93292930828907, 105.24480393880792, 0.34245631377529173, -0.9167206464281414),
    ),
    ("ncsn", (2, 32, 32)): (
        *(46.46012427693696, 51.04054325245595, 1.2461643725004605, 0.08358971591855321),
    ),
    ("ncsn", (1, 28, 28)): (
        *(47.8432813068579, 42.87952262860758, 0.8062845555216853, 0.6391494966900693),
    ),
    ("ncsn", (2, 8, 8)): (
        *(11.86918291306902, 13.398562168951665, -0.15653547196463902, -0.7586209796643298),
    ),
}


def network(name, shape=(2, 8, 8)):
    return NETWORKS[name](shape, SIGMAS, channels=4).double()


@pytest.mark.parametrize(("name", "shape"), AUTHORS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_published_weights_give_the_scores_of_the_published_code(name, shape, layout):
    net = network(name, shape)
    found = convert_ncsn_state_dict(published_weights(name, shape[0]), net)
    net.load_state_dict(found | {"sigmas": net.sigmas})
    net = net.to(memory_format=layout)
    x = images(2, *shape).to(memory_format=layout)
    with torch.no_grad():
        s = net(x, torch.tensor([2, 0.5], dtype=torch.float64))
    found = [float(s[0].norm()), float(s[1].norm()), float(s[0, 0, 3, 5]), float(s[1, -1, -1, 0])]
    assert found == pytest.approx(AUTHORS[name, shape], rel=1e-10)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_parameter_has_its_published_name(name):
    assert set(published_names(network(name)).values()) == set(SHAPES[name])


@pytest.mark.parametrize(
    ("name", "shape", "channels", "count"),
    [
        # The papers' sizes; for the deeper networks, the count of the authors' program.
        ("ncsn", (3, 32, 32), 128, 30_117_635),
        ("ncsn", (1, 28, 28), 64, 7_638_657),
        ("ncsnv2", (3, 32, 32), 128, 29_694_083),
        ("ncsnv2_deeper", (3, 128, 128), 128, 83_445_379),
        ("ncsnv2_deepest", (3, 256, 256), 128, 94_132_611),
    ],
)
def test_it_has_as_many_parameters_as_the_published_network(name, shape, channels, count):
    sigmas = torch.linspace(1, 0.1, 10)
    with torch.device("meta"):
        net = NETWORKS[name](shape, sigmas, channels=channels)
    assert sum(parameter.numel() for parameter in net.parameters()) == count


def test_tensors_that_do_not_fit_are_named():
    net, weights = network("ncsn"), published_weights("ncsn")
    weights["res9.0.conv1.weight"] = weights.pop("res1.0.conv1.weight")
    weights["begin_conv.weight"] = torch.zeros(8, 2, 3, 3)
    weights["normalizer.embed.weight"] = torch.zeros(10, 12)
    weights["end_conv.bias"] = torch.tensor([0, float("nan")])
    with pytest.raises(ValueError, match=r"missing: res1.0.conv1.weight") as raised:
        convert_ncsn_state_dict(weights, net)
    message = str(raised.value)
    assert "extra: res9.0.conv1.weight" in message
    assert "begin_conv.weight (8, 2, 3, 3), not (4, 2, 3, 3)" in message
    assert "normalizer.embed.weight (10, 12), not (5, 12)" in message
    assert "not finite: end_conv.bias" in message


def test_many_missing_tensors_are_counted():
    with pytest.raises(ValueError, match=r"missing: begin_conv.bias, .* and 169 more"):
        convert_ncsn_state_dict({}, network("ncsn"))
