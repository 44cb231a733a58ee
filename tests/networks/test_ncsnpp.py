"""NCSN++ against the authors' program."""

import math
import re
import zlib
from pathlib import Path

import pytest
import torch
import yaml
from network_derivatives import assert_differentiable_twice

from scoresweep.networks import NCSNpp
from scoresweep.networks.score_sde_checkpoints import convert_score_sde_state_dict, score_sde_names
from scoresweep.networks.sigma_embeddings import positional_embedding
from scoresweep.noise import geometric
from scoresweep.objectives import dsm

SIGMAS = geometric(50, 0.01, 20)
PAGE = Path(__file__).parents[2] / "docs" / "ncsnpp.md"
ROWS = re.findall(r"^\| `ve/(\w+)` \| `(.+)` \| ([\d,]+) \|$", PAGE.read_text(), re.M)
OPTIONS = {name: yaml.safe_load(options) for name, options, _ in ROWS}
"""Options of the authors' configurations, as the documentation gives them."""
COUNTS = {name: int(count.replace(",", "")) for name, _, count in ROWS}

# What the authors' program gives, in float64 with 4 channels, images of 2 channels and attention at
# a quarter of their size, for weights of waves and images of cosines at five of 20 levels: norms of
# the scores, pixel (0, 3, 5) of the first and (−1, −1, 0) of the fourth.
LEVELS = [0, 3, 9, 15, 19]
AUTHORS = {
    "cifar10_ncsnpp_continuous": (
        *(1.1464236125206677, 4.397249139727499, 64.78875189368752, 958.1692342887499),
        *(5734.426378923233, 0.027857740530505937, 8.285315306882692),
    ),
    "cifar10_ncsnpp": (
        *(0.31352979924395113, 1.2492991201263683, 18.21023095436351, 264.6600680682025),
        *(1566.4676368380358, 0.010169799795121044, 12.951799071698549),
    ),
    "cifar10_ncsnpp_deep_continuous": (
        *(0.4510244727356394, 1.7270045808307326, 25.39658567277682, 374.4802464874209),
        *(2243.3981869568142, -0.008734712564262477, 1.6098920921127278),
    ),
    "cifar10_ddpm": (
        *(0.7264846761935654, 2.8491020457179896, 42.264475756564444, 626.7838397328177),
        *(3670.546851316511, -0.012478373828395953, -14.492573734446548),
    ),
    "ffhq_256_ncsnpp_continuous": (
        *(3.535174045166166, 13.561098572402694, 199.7236823733331, 2942.718324234296),
        *(17673.862231944076, -0.07575565728666592, -16.576135242528128),
    ),
}
AUTHORS_LOSS = {
    "cifar10_ncsnpp_continuous": 2029.7531575223643,
    "cifar10_ncsnpp": 646.5694914894779,
}
"""The loss of their program on the same images, with noise of sines: in the continuous case at the
times 0.1, 0.3 … 0.9, in the other at the levels above."""


def network(shape=(1, 8, 8), **options):
    torch.manual_seed(0)
    small = {"channels": 8, "multipliers": (1, 2), "blocks": 1, "attention": (4,)}
    return NCSNpp(shape, SIGMAS, **(small | options))


def shaken(net):
    """Fill the layers that are initialised to nearly zero too."""
    for parameter in net.parameters():
        parameter.data += 0.2 * torch.randn_like(parameter)
    return net


def fill_with_waves(net):
    """Set each tensor to a sine of its position and published name; scales of norms around one."""
    state, tensors = net.state_dict(), {}
    for name, published in score_sde_names(net).items():
        shape = tuple(state[name].shape)
        if published.endswith(".W") and len(shape) > 1:
            shape = (shape[1], shape[0])
        count = math.prod(shape)
        position = torch.arange(count, dtype=torch.float64)
        wave = torch.sin(position + zlib.crc32(published.encode()) % 1000).reshape(shape)
        if len(shape) == 1:
            is_scale = published.endswith("weight")
            tensors[published] = 1 + 0.2 * wave if is_scale else wave
        else:
            fan_in = shape[0] if published.endswith(".W") else math.prod(shape[1:])
            tensors[published] = wave * (2 / fan_in) ** 0.5
    net.load_state_dict(convert_score_sde_state_dict(tensors, net) | {"sigmas": net.sigmas})


def of_authors(name):
    """Return a small network with weights of waves, and five images of cosines."""
    side = 64 if "ffhq" in name else 32
    options = OPTIONS[name] | {"channels": 4, "attention": (side // 4,)}
    options.pop("name")
    net = NCSNpp((2, side, side), SIGMAS, **options).double().eval().requires_grad_(False)
    fill_with_waves(net)
    position = torch.arange(10 * side**2, dtype=torch.float64).reshape(5, 2, side, side)
    return net, position


def tolerance(name):
    """A positional embedding is computed in float32."""
    return 1e-6 if OPTIONS[name].get("embedding") == "positional" else 1e-10


@pytest.mark.parametrize("name", AUTHORS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_it_gives_the_scores_of_the_published_code(name, layout):
    net, position = of_authors(name)
    x = position.cos().to(memory_format=layout)
    s = net.to(memory_format=layout)(x, SIGMAS[LEVELS])
    found = [*s.flatten(1).norm(dim=1).tolist(), float(s[0, 0, 3, 5]), float(s[3, -1, -1, 0])]
    assert found == pytest.approx(AUTHORS[name], rel=tolerance(name))


@pytest.mark.parametrize("name", AUTHORS_LOSS)
def test_its_loss_is_that_of_the_published_code(name):
    net, position = of_authors(name)
    times = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
    sigma = 0.01 * 5000**times if "continuous" in name else SIGMAS[LEVELS]
    loss = dsm(net, position.cos(), sigma, position.sin()).mean()
    assert float(loss) == pytest.approx(AUTHORS_LOSS[name], rel=tolerance(name))


@pytest.mark.parametrize("name", AUTHORS)
def test_it_has_as_many_parameters_as_the_published_network(name):
    side = 256 if "ffhq" in name else 32
    options = OPTIONS[name] | {}
    assert options.pop("name") == "ncsnpp"
    with torch.device("meta"):
        net = NCSNpp((3, side, side), torch.linspace(1, 0.1, 10), **options)
    assert sum(parameter.numel() for parameter in net.parameters()) == COUNTS[name]


VARIANTS = [
    {},
    {"embedding": "positional", "block_type": "ddpm", "fir": False, "skip_rescale": False},
    {"progressive_input": "input_skip", "progressive_output": "output_skip"},
    {"progressive_input": "none", "progressive_output": "residual", "scale_by_sigma": False},
]


@pytest.mark.parametrize("options", VARIANTS)
def test_its_branches_and_output_begin_at_nearly_zero(options):
    net = network(**options).requires_grad_(False)
    assert float(net(torch.rand(20, 1, 8, 8), net.sigmas).abs().max()) < 0.01


@pytest.mark.parametrize("options", VARIANTS)
def test_it_can_be_differentiated_twice(options):
    net = shaken(network(**options)).double().eval()
    assert_differentiable_twice(net, SIGMAS[5:6])


def test_with_preconditioning_it_begins_as_the_score_of_a_gaussian():
    net = network(preconditioning="edm", data_std=0.25).double().requires_grad_(False)
    x, sigma = torch.rand(3, 1, 8, 8).double(), torch.tensor([8, 0.5, 0.05], dtype=torch.float64)
    spread = sigma[:, None, None, None]
    size = (spread**2 + 0.25**2).sqrt()
    expected = -(x - 0.5) / size**2
    torch.testing.assert_close(net(x, sigma), expected, rtol=1e-2, atol=1e-2)
    seen = []
    net.first.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    net.last[2].bias += 3.0
    torch.testing.assert_close(
        net(x, sigma) - expected, 0 * x + 0.25 / size * 3 / spread, rtol=1e-2, atol=0
    )
    torch.testing.assert_close(seen[0], (x - 0.5) / size)


def test_a_positional_embedding_takes_the_levels_of_its_ladder():
    net = shaken(network(embedding="positional")).eval()
    x = torch.rand(20, 1, 8, 8)
    expected = net(x, SIGMAS.float())
    order = torch.randperm(20)
    torch.testing.assert_close(net(x[order], SIGMAS[order].float()), expected[order])
    for outside in (51.0, 0.009):
        with pytest.raises(ValueError, match=rf"no embedding for sigma {outside:g}, .*50 to 0\.01"):
            net(x, torch.full((20,), outside))


def test_a_positional_embedding_is_interpolated_in_log_sigma():
    net = network(embedding="positional")
    found, outside = net._embed((SIGMAS[:-1] ** 0.75 * SIGMAS[1:] ** 0.25).float())
    index = torch.arange(19)[:, None] + 0.25
    angle = index * 10_000 ** -torch.linspace(0, 1, net.channels // 2)
    torch.testing.assert_close(found, torch.cat([angle.sin(), angle.cos()], 1), rtol=0, atol=1e-5)
    assert not outside.any()
    at_levels, _ = net._embed(SIGMAS.float())
    assert torch.equal(at_levels, positional_embedding(torch.arange(20), net.channels))


def test_images_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="ncsnpp needs images of shape"):
        NCSNpp((5,), SIGMAS)
    with pytest.raises(ValueError, match="multiples of 4 pixels"):
        network((1, 28, 30), multipliers=(1, 1, 1))
    with pytest.raises(ValueError, match="scale_by_sigma"):
        network(preconditioning="edm", scale_by_sigma=False)
    with pytest.raises(ValueError, match="dropout"):
        network(dropout=1.0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning")
def test_it_is_one_graph_for_the_compiler():
    net = shaken(network()).train()
    x, sigma = torch.rand(4, 1, 8, 8), net.sigmas[[2, 7, 11, 15]]
    compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x, sigma), net(x, sigma), rtol=1e-4, atol=1e-4)
