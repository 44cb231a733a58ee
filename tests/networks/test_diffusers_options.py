"""The options of NCSN++ follow from the configuration that diffusers writes, or it is refused."""

import json
import math
from pathlib import Path

import pytest
import torch

from scoresweep.networks import NCSNpp
from scoresweep.networks.diffusers_checkpoints import (
    convert_diffusers_state_dict,
    diffusers_names,
    diffusers_shapes,
    rename_older,
)
from scoresweep.networks.diffusers_options import diffusers_options

WRITTEN = json.loads((Path(__file__).parents[1] / "diffusers_networks.json").read_text())
"""By name: `config.json`, and the names and shapes of the parameters, as diffusers 0.35 wrote them
for random weights: without attention apart from the middle, and with it in the last stage."""
CONFIG = WRITTEN["attention"]["config"]
FFHQ = {
    "block_out_channels": [16, 32, 64, 128, 256, 512, 512, 512],
    "down_block_types": [*6 * ["SkipDownBlock2D"], "AttnSkipDownBlock2D", "SkipDownBlock2D"],
    "up_block_types": ["SkipUpBlock2D", "AttnSkipUpBlock2D", *6 * ["SkipUpBlock2D"]],
    "sample_size": 1024,
}


@pytest.mark.parametrize("name", WRITTEN)
def test_names_and_shapes_are_those_of_the_program(name):
    options = diffusers_options(WRITTEN[name]["config"])
    with torch.device("meta"):
        network = NCSNpp(options.pop("shape"), torch.ones(1), **options)
    expected = {key: tuple(shape) for key, shape in WRITTEN[name]["shapes"].items()}
    assert diffusers_shapes(network) == expected
    names = diffusers_names(network)  # queries and keys have the same shape and similar effects
    for ours, theirs in (("query", "to_q"), ("key", "to_k"), ("value", "to_v")):
        assert names[f"middle.1.{ours}.weight"] == f"mid_block.attentions.0.{theirs}.weight"


def test_the_options_are_found():
    assert diffusers_options(CONFIG) == {
        "shape": (3, 8, 8),
        "channels": 32,
        "multipliers": [1, 4],
        "blocks": 1,
        "attention": [4],
        "block_type": "biggan",
        "fir": True,
        "skip_rescale": True,
        "progressive_input": "input_skip",
        "progressive_output": "output_skip",
        "embedding": "fourier",
        "scale_by_sigma": True,
        "dropout": 0.1,
    }
    large = diffusers_options(CONFIG | FFHQ)
    assert large["multipliers"] == [1, 2, 4, 8, 16, 32, 32, 32]
    assert (large["attention"], large["shape"]) == ([16], (3, 1024, 1024))
    assert diffusers_options(CONFIG | {"sample_size": None})["shape"] == (3, 32, 32)
    assert diffusers_options(CONFIG | {"sample_size": [8, 4]})["shape"] == (3, 8, 4)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_class_name", "UNet2DConditionModel"),
        ("time_embedding_type", "positional"),
        ("center_input_sample", False),
        ("act_fn", "gelu"),
        ("mid_block_type", None),
        ("resnet_time_scale_shift", "scale_shift"),
        ("add_attention", False),
        ("class_embed_type", "timestep"),
        ("num_class_embeds", 10),
        ("norm_eps", 1e-5),
        ("mid_block_scale_factor", 1),
        ("down_block_types", ["DownBlock2D", "AttnSkipDownBlock2D"]),
        ("up_block_types", ["SkipUpBlock2D", "AttnSkipUpBlock2D"]),
        ("block_out_channels", [32, 128, 128]),
        ("block_out_channels", [32, 144]),
        ("block_out_channels", [32, 64]),  # 32 groups in attention, and 16 in NCSN++
        ("block_out_channels", "32"),
        ("layers_per_block", 0),
        ("attention_head_dim", 8),
        ("norm_num_groups", 32),
        ("attn_norm_num_groups", 8),
        ("out_channels", 6),
        ("sample_size", "8"),
        ("sample_size", 0),
        ("sample_size", [8, -8]),
        ("dropout", "0.1"),
    ],
)
def test_what_is_not_ncsnpp_is_named(key, value):
    with pytest.raises(ValueError, match=rf"{key}: .*; expected"):
        diffusers_options(CONFIG | {key: value})


def test_only_keys_in_the_file_are_named():
    with pytest.raises(ValueError, match="norm_num_groups") as caught:
        diffusers_options(CONFIG | {"norm_num_groups": 16})
    assert "attn_norm_num_groups" not in str(caught.value)


@pytest.mark.parametrize("key", ["norm_eps", "time_embedding_type", "attention_head_dim"])
def test_a_missing_key_has_the_default_of_the_program(key):
    config = {name: value for name, value in CONFIG.items() if name != key}
    with pytest.raises(ValueError, match=key):
        diffusers_options(config)


def test_settings_with_the_same_function_are_accepted():
    same = {"attention_head_dim": 128, "attn_norm_num_groups": 32, "act_fn": "swish"}
    same |= {"mid_block_scale_factor": math.sqrt(2), "sample_size": 8, "freq_shift": 1}
    assert diffusers_options(CONFIG | same) == diffusers_options(CONFIG)


def test_names_of_earlier_versions_are_read():
    options = diffusers_options(WRITTEN["skip"]["config"])
    network = NCSNpp(options.pop("shape"), torch.ones(1), **options)
    shapes = diffusers_shapes(network).items()
    today = {name: torch.full(shape, 0.5) for name, shape in shapes}
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    named = {}
    for name, tensor in today.items():
        for new, old in {**older, "time_proj.weight": "time_proj.W"}.items():
            name = name.replace(f"{new}.", f"{old}.") if "." in new + name else name
            name = name.replace(new, old)
        named[name] = tensor
    assert not named.keys() & {"mid_block.attentions.0.to_q.weight", "time_proj.weight"}
    assert convert_diffusers_state_dict(rename_older(named), network)
