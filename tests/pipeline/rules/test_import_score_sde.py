"""Checkpoints of score_sde_pytorch are imported as runs."""

import json
import re
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from published_weights import images, phased_wave, published_weights

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.rules.import_checkpoint import import_checkpoint
from scoresweep.pipeline.training.weights import load_network

LADDER = [8.0, 4.0, 2.0, 1.0, 0.5]
SHAPES = json.loads((Path(__file__).parents[2] / "score_sde_parameters.json").read_text())
"""Names and shapes in that program's `model`, by the embedding of σ, in its order."""
SMALL = {"name": "ncsnpp", "channels": 4, "multipliers": [1, 2], "blocks": 1, "attention": [4]}

# What that program gives, in float32, for weights of waves and two images of cosines at σ_2 and
# σ_5: norms of the two scores, pixel (0, 3, 5) of the first and pixel (−1, −1, 0) of the second.
AUTHORS = {
    "fourier": (1.3380669355392456, 10.713730812072754, 0.15933987498283386, 1.3941351175308228),
    "positional": (0.6922871375057502, 5.574900624830692, 0.04012099653482438, -0.4700462222099304),
}


@pytest.fixture
def plan(make_plan):
    def make(network=None, sigmas=LADDER):
        noise = {"name": "explicit", "sigmas": sigmas}
        return make_plan(network=network or SMALL, noise=noise, grid={})

    return make


def content(embedding="fourier"):
    """Return what the program saves: averages of waves, and three times the waves as last state."""
    waves = {name: phased_wave(name, shape) for name, shape in SHAPES[embedding].items()}
    waves["sigmas"] = torch.tensor(LADDER).double()
    trained = [name for name in waves if not re.fullmatch(r"sigmas|all_modules\.0\.W", name)]
    last = waves | {name: 3 * waves[name] for name in trained}
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([parameter], lr=2e-4)
    optimizer.param_groups[0]["lr"] = 2e-4 * np.minimum(20 / 5000, 1.0)  # as its warm-up sets it
    parameter.sum().backward()
    optimizer.step()
    return {
        "optimizer": optimizer.state_dict(),
        "model": OrderedDict({f"module.{name}": value for name, value in last.items()}),
        "ema": {
            "decay": 0.999,
            "num_updates": 20,
            "shadow_params": [waves[name] for name in trained],
        },
        "step": 20,
    }


def imported(study, tmp_path, saved, **options):
    """Import `saved` and return the network and what is known about its weights."""
    torch.save(saved, tmp_path / "checkpoint_1.pth")
    run = study.runs[0]
    import_checkpoint(study, run.id, tmp_path / "checkpoint_1.pth", **options)
    about = json.loads(study.paths.provenance(run.id).read_text())["imported"]
    return load_network(study.paths.run(run.id)), about


@pytest.mark.parametrize("embedding", AUTHORS)
def test_the_averages_give_the_scores_of_that_program(plan, tmp_path, embedding):
    study = plan(SMALL | {"embedding": embedding})
    network, about = imported(study, tmp_path, content(embedding))
    with torch.no_grad():
        s = network(images(2, 1, 8, 8).float(), torch.tensor([4.0, 0.5]))
    found = [float(s[0].norm()), float(s[1].norm()), float(s[0, 0, 3, 5]), float(s[1, -1, -1, 0])]
    assert found == pytest.approx(AUTHORS[embedding], rel=1e-4)
    assert (about["averaged"], about["step"], about["ignored"]) == (True, 20, ["optimizer"])
    assert about["on_trust"].keys() == {
        *("activation", "data range", "noise", "options", "training data")
    }


def test_without_ema_the_last_parameters_are_used(plan, tmp_path):
    network, about = imported(plan(), tmp_path, content(), ema=False)
    assert torch.equal(network.first.bias, 3 * phased_wave("all_modules.3.bias", [4]))
    assert about["averaged"] is False
    assert torch.equal(network.fourier.frequencies, phased_wave("all_modules.0.W", [4]))


def test_a_state_dict_alone_is_read(plan, tmp_path):
    network, about = imported(plan(), tmp_path, content()["model"])
    assert torch.equal(network.first.bias, 3 * phased_wave("all_modules.3.bias", [4]))
    assert about["averaged"] is None
    with pytest.raises(InputError, match=r"does not say .* omit --no-ema"):
        imported(plan(SMALL | {"dropout": 0.2}), tmp_path, content()["model"], ema=False)


def refused(study, tmp_path, saved, message):
    torch.save(saved, tmp_path / "c.pth")
    with pytest.raises(InputError, match=message):
        import_checkpoint(study, study.runs[0].id, tmp_path / "c.pth")
    assert not study.paths.weights(study.runs[0].id).exists()


def test_what_does_not_fit_is_named(plan, tmp_path):
    study, saved = plan(), content()
    state, shadows = saved["model"], saved["ema"]["shadow_params"]
    refused(
        study,
        tmp_path,
        saved | {"ema": {"shadow_params": shadows[1:]}},
        "155 averages .*; expected 156",
    )
    swapped = {"shadow_params": [shadows[1], shadows[0], *shadows[2:]]}
    refused(study, tmp_path, saved | {"ema": swapped}, r"\[0\] of the shape \(16,\).*\(16, 8\)")
    refused(study, tmp_path, {"ema": saved["ema"]}, "averages without names")
    refused(plan(SMALL | {"blocks": 2}), tmp_path, saved, "blocks 1, in the run 2$")
    refused(plan(SMALL | {"channels": 8}), tmp_path, saved, "channels 4, in the run 8$")
    refused(plan(SMALL | {"fir": False}), tmp_path, saved, "fir True, in the run False$")
    renamed = {name.replace("all_modules.3.bias", "b"): value for name, value in state.items()}
    refused(study, tmp_path, renamed, "missing: all_modules.3.bias; extra: b$")
    refused(plan(SMALL | {"preconditioning": "edm"}), tmp_path, saved, "preconditioning: found edm")
    refused(plan(sigmas=[8.0, 4.0, 2.0, 1.0, 0.4]), tmp_path, saved, "level 5 is 0.5; expected 0.4")


def test_networks_of_the_other_programs_are_told_apart(plan, tmp_path):
    refused(
        plan({"name": "ncsnv2", "channels": 4}), tmp_path, content(), "ncsnpp, in the run ncsnv2"
    )
    other = {f"module.{name}": value for name, value in published_weights("ncsnv2", 1).items()}
    refused(plan(), tmp_path, other, "network ncsnv2, in the run ncsnpp")
