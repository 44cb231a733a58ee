"""The options of a network of score_sde_pytorch follow from the shapes of its parameters."""

import re
from pathlib import Path

import pytest
import torch
import yaml

from scoresweep.networks import NCSNpp
from scoresweep.networks.score_sde_checkpoints import score_sde_shapes
from scoresweep.networks.score_sde_options import score_sde_options

PAGE = Path(__file__).parents[2] / "docs" / "ncsnpp.md"
DEFAULTS = {
    "channels": 128,
    "multipliers": [1, 2, 2, 2],
    "blocks": 4,
    "attention": [16],
    "block_type": "biggan",
    "fir": True,
    "skip_rescale": True,
    "progressive_input": "residual",
    "progressive_output": "none",
    "embedding": "fourier",
}
CONFIGURATIONS = {
    name: {key: value for key, value in yaml.safe_load(options).items() if key in DEFAULTS}
    for name, options in re.findall(r"^\| `ve/(\w+)` \| `(.+)` \|", PAGE.read_text(), re.M)
}
OTHERS = {
    "residual output": {"progressive_output": "residual", "progressive_input": "input_skip"},
    "ddpm blocks": {"block_type": "ddpm", "progressive_output": "residual", "channels": 32},
    "no attention": {"attention": [], "fir": False, "multipliers": [1, 3], "blocks": 1},
    "attention twice": {"attention": [16, 8], "progressive_input": "none"},
}


@pytest.mark.parametrize("name", [*CONFIGURATIONS, *OTHERS])
def test_the_options_are_found(name):
    expected = DEFAULTS | (CONFIGURATIONS | OTHERS)[name]
    side = 256 if "ffhq" in name else 32
    with torch.device("meta"):
        network = NCSNpp((3, side, side), torch.linspace(1, 0.1, 10), **expected)
    found = score_sde_options(score_sde_shapes(network))
    assert found == expected | {"shape": (3, side, side)}


def test_other_layers_are_refused():
    with pytest.raises(ValueError, match="begin with all_modules"):
        score_sde_options({"first.weight": (3,)})
    with pytest.raises(ValueError, match="not in the order"):
        score_sde_options({"all_modules.0.weight": (3,)})
