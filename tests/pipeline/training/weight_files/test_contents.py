"""Files of other programs are named; state dicts are found under common names or refused."""

import pytest
import torch

from scoresweep.pipeline.training.weight_files.contents import describe_content, find_states

ONE = torch.ones(1)
OPTIMIZER = {"state": {0: {"step": ONE}}, "param_groups": [{"lr": 1e-4}]}


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (
            {
                "optimizer": OPTIMIZER,
                "model": {"module.all_modules.0.W": ONE, "module.sigmas": ONE},
                "ema": {"decay": 0.999, "num_updates": 5, "shadow_params": [ONE, ONE]},
                "step": 5,
            },
            "score_sde",
        ),
        ({"module.all_modules.3.weight": ONE}, "score_sde"),
        (
            [{"module.downblocks.0.weight": ONE, "module.middleblocks.0.nin.bias": ONE}, {}],
            "consistent_unet",
        ),
        ({"model.map_layer0.weight": ONE, "model.enc.32x32_conv.weight": ONE}, "edm"),
        ([{"module.temb.dense.0.weight": ONE}, OPTIMIZER, 3, 100, {}], "ddim"),
        (
            {"state_dict": {"model.diffusion_model.input_blocks.0.0.weight": ONE}},
            "latent_diffusion",
        ),
        ({"time_embed.0.weight": ONE, "input_blocks.0.0.weight": ONE}, "guided_diffusion"),
        (
            {"step": 1, "model": {}, "opt": {}, "ema": {"ema_model.model.init_conv.weight": ONE}},
            "denoising_diffusion_pytorch",
        ),
        ({"conv_in.weight": ONE, "down_blocks.0.resnets.0.conv1.weight": ONE}, "diffusers"),
        ({"pytorch-lightning_version": "2.0", "state_dict": {"net.weight": ONE}}, "lightning"),
        ({"Conv2d_1a_3x3.conv.weight": ONE}, "inception"),
        (OPTIMIZER, "optimizer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_programs_are_recognised_by_parameter_names(content, name):
    assert describe_content(content).name == name


@pytest.mark.parametrize(
    "content", [[{"module.begin_conv.weight": ONE}, OPTIMIZER], {"model": {"a": ONE}}, ONE, None, 3]
)
def test_unknown_contents_have_no_name(content):
    assert describe_content(content) is None


def test_state_dicts_are_found():
    state, averaged = {"a": ONE}, {"a": 2 * ONE}
    assert find_states(state).raw is state
    found = find_states({"state_dict": state, "ema": averaged, "step": 7, "args": {}, "loss": [1]})
    assert (found.raw, found.averaged) == (state, averaged)
    assert found.step == 7
    assert found.ignored == ("args", "loss")
    assert find_states({"ema": averaged}).raw is None


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"model": {}, "net": {}}, "model and net"),
        ({"ema": {}, "model_ema": {}}, "ema and model_ema"),
        ({"epoch": 1}, "'epoch'"),
        ([ONE], "list"),
        ({f"part{i}": 1 for i in range(99)}, "and 94 more"),
    ],
)
def test_ambiguous_contents_are_refused(content, named):
    with pytest.raises(ValueError, match=named):
        find_states(content)
