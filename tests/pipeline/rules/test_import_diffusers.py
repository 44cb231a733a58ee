"""Networks of the NCSN++ kind that diffusers saved are imported as runs."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from published_weights import images, phased_wave
from safetensors.torch import save_file
from tiny_study import TINY

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.rules.import_checkpoint import import_checkpoint
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.study import parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml
from scoresweep.pipeline.training.weight_files.describe_checkpoint import describe_checkpoint
from scoresweep.pipeline.training.weights import load_network

WRITTEN = json.loads((Path(__file__).parents[2] / "diffusers_networks.json").read_text())
NOISE = {"name": "geometric", "sigma_max": 8.0, "sigma_min": 0.5, "levels": 5}
SCHEDULER = {
    "_class_name": "ScoreSdeVeScheduler",
    "correct_steps": 2,
    "num_train_timesteps": 5,
    "sigma_max": 8.0,
    "sigma_min": 0.5,
    "snr": 0.17,
}
NETWORK = {
    "name": "ncsnpp",
    "multipliers": [1, 2],
    "blocks": 1,
    "attention": [],
    "progressive_input": "input_skip",
    "progressive_output": "output_skip",
    "channels": 8,
}
NETWORKS = {
    "skip": NETWORK,
    "attention": NETWORK | {"channels": 32, "multipliers": [1, 4], "attention": [4]},
}
# What that program gives, in float32, for weights of waves and two images of cosines at σ = 4 and
# 0.5: norms of the two scores, pixel (0, 3, 5) of the first and pixel (−1, −1, 0) of the second.
PROGRAM = {
    "skip": (2.9457383155822754, 23.569625854492188, 0.1728377342224121, -2.0352554321289062),
    "attention": (3.079441547393799, 24.63087272644043, 0.1047067642211914, -2.0746266841888428),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with staged colour images."""
    folder = tmp_path_factory.mktemp("colour")
    values = np.random.default_rng(0).integers(256, size=(40, 8, 8, 3), dtype=np.uint8)
    np.save(folder / "colour.npy", values)
    plan = planned(folder)
    stage(plan, plan.runs[0].dataset.id)
    return folder


def planned(root, case="skip", network=None, noise=NOISE, seed=0):
    content = parse_yaml(TINY, "tiny.yaml")
    content["dataset"] = {"name": "array", "path": str(root / "colour.npy")}
    content["train"] |= {"network": network or NETWORKS[case], "noise": noise, "grid": {}}
    content["train"]["seed"] = seed
    return plan_study(parse_study(content, "study.yaml"), root)


def saved(folder, case="skip", kind="safetensors", **config):
    """Write what `save_pretrained` writes: a configuration, and weights of waves."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(WRITTEN[case]["config"] | config))
    waves = {name: phased_wave(name, shape) for name, shape in WRITTEN[case]["shapes"].items()}
    file = folder / f"diffusion_pytorch_model.{kind}"
    save_file(waves, file, {"format": "pt"}) if kind == "safetensors" else torch.save(waves, file)
    return folder


def pipeline(folder, case="skip", **scheduler):
    saved(folder / "unet", case)
    (folder / "scheduler").mkdir()
    text = json.dumps(SCHEDULER | scheduler)
    (folder / "scheduler" / "scheduler_config.json").write_text(text)
    return folder


@pytest.mark.parametrize(("case", "kind"), [("skip", "bin"), ("attention", "safetensors")])
def test_the_scores_are_those_of_that_program(root, tmp_path, case, kind):
    study = planned(root, case)
    run = study.runs[0]
    import_checkpoint(study, run.id, saved(tmp_path / "net", case, kind))
    network = load_network(study.paths.run(run.id))
    with torch.no_grad():
        s = network(images(2, 3, 8, 8).float(), torch.tensor([4.0, 0.5]))
    found = [float(s[0].norm()), float(s[1].norm()), float(s[0, 0, 3, 5]), float(s[1, -1, -1, 0])]
    assert found == pytest.approx(PROGRAM[case], rel=1e-4)
    about = json.loads(study.paths.provenance(run.id).read_text())["imported"]
    assert about["file"] == f"diffusion_pytorch_model.{kind}"
    assert about["on_trust"].keys() == {"noise", "ladder", "averages", "training data"}
    assert (about["checksums"] == "compared") == (kind == "bin")


def test_averages_and_the_levels_of_a_pipeline_are_known(root, tmp_path):
    study = planned(root, seed=1)
    run, folder = study.runs[0], pipeline(tmp_path / "pipe")
    with pytest.raises(InputError, match=r"does not say .* omit --no-ema"):
        import_checkpoint(study, run.id, folder, ema=False)
    config = WRITTEN["skip"]["config"] | {"decay": 0.9, "optimization_step": 6}
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="omit --no-ema"):
        import_checkpoint(study, run.id, folder, ema=False)
    import_checkpoint(study, run.id, folder)
    about = json.loads(study.paths.provenance(run.id).read_text())["imported"]
    assert about["on_trust"].keys() == {"training data"}
    assert (about["averaged"], about["step"]) == (True, 6)


def refused(study, path, message):
    with pytest.raises(InputError, match=message):
        import_checkpoint(study, study.runs[0].id, path)
    assert not study.paths.weights(study.runs[0].id).exists()


def test_what_does_not_fit_is_named(root, tmp_path):
    network = saved(tmp_path / "net")
    for key, value in (("blocks", 2), ("fir", False), ("progressive_output", "residual")):
        study = planned(root, network=NETWORK | {key: value})
        refused(study, network, rf"network than the run's .*: {key} .*, in the run {value}")
    edm = NETWORK | {"preconditioning": "edm"}
    refused(planned(root, network=edm), network, "preconditioning none, in the run edm")
    unet = {"name": "unet", "channels": 8, "multipliers": [1, 2], "attention": []}
    refused(planned(root, network=unet), network, "network ncsnpp, in the run unet")
    study = planned(root, seed=2)
    wide = saved(tmp_path / "wide", sample_size=16)
    refused(study, wide, r"shape of a sample \(3, 16, 16\), in the run \(3, 8, 8\)")
    refused(study, saved(tmp_path / "flat", norm_eps=1e-5), "flat.config.json: .*norm_eps: 1e-05")
    deep = saved(tmp_path / "deep", layers_per_block=2)
    refused(planned(root, network=NETWORK | {"blocks": 2}), deep, "missing: .*resnets.1")
    ladder = pipeline(tmp_path / "levels", num_train_timesteps=6)
    refused(study, ladder, "ladder of 6 levels; expected the 5")
    other = pipeline(tmp_path / "ddpm", _class_name="DDPMScheduler")
    refused(study, other, "_class_name: DDPMScheduler; expected ScoreSdeVeScheduler")
    step = saved(tmp_path / "step", decay=0.9, optimization_step="x")
    refused(study, step, "step.config.json: optimization_step: x; expected a whole number")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("snr", "0.1", "finite"),
        ("sigma_max", math.inf, "finite"),
        ("correct_steps", 1.5, "whole"),
        ("num_train_timesteps", True, "whole"),
    ],
)
def test_options_of_the_scheduler_are_numbers(tmp_path, key, value, expected):
    with pytest.raises(InputError, match=f"scheduler_config.json: {key}: {value}; .* {expected}"):
        describe_checkpoint(pipeline(tmp_path / "pipe", **{key: value}))


def test_a_corrector_without_snr_has_no_steps(tmp_path):
    sampler = yaml.safe_load(describe_checkpoint(pipeline(tmp_path / "p", snr=0)))["sample"]
    assert sampler["sampler"]["corrector_steps"] == 0
    assert "snr" not in sampler["sampler"]


def test_other_files_of_weights_in_a_folder_are_named(root, tmp_path):
    folder = saved(tmp_path / "net")
    usual, half = (folder / f"diffusion_pytorch_model.{kind}safetensors" for kind in ("", "fp16."))
    usual.rename(half)
    refused(planned(root, seed=2), folder, "model.fp16.safetensors.*; name the file itself")
    assert yaml.safe_load(describe_checkpoint(half))["train"]["network"]["channels"] == 8
    part = half.rename(folder / "diffusion_pytorch_model-00001-of-00002.safetensors")
    refused(planned(root, seed=2), folder, rf"several files \({part.name}\)")


def test_incomplete_folders_are_refused(root, tmp_path):
    study = planned(root, seed=2)
    empty = saved(tmp_path / "empty")
    weights = (empty / "diffusion_pytorch_model.safetensors").rename(tmp_path / "alone.safetensors")
    refused(study, empty, "has no weights; expected diffusion_pytorch_model.safetensors or")
    refused(study, weights, "without its config.json; name the folder")
    (empty / "config.json").write_text("{")
    refused(study, empty, "config.json: cannot be read as JSON")
    whole = pipeline(tmp_path / "pipe")
    (whole / "unet" / "config.json").write_text("{}")
    refused(study, whole, "unet.config.json: has no _class_name")
    (whole / "unet" / "config.json").unlink()
    refused(study, whole, "unet.config.json: is missing")


def test_a_study_that_fits_is_written(root, tmp_path):
    text = describe_checkpoint(pipeline(tmp_path / "My Pipe"))
    assert "46,790 parameters; samples: 3 × 8 × 8" in text
    study = yaml.safe_load(text)
    assert study["train"]["network"] == NETWORK | {"dropout": 0.0}
    assert study["train"]["noise"] == NOISE
    assert study["sample"]["sampler"]["snr"] == 0.17
    assert study["sample"]["sampler"]["corrector_steps"] == 2
    study["dataset"] = {"name": "array", "path": str(root / "colour.npy")}
    plan = plan_study(parse_study(study, "study.yaml"), root)
    import_checkpoint(plan, plan.runs[0].id, tmp_path / "My Pipe")
    alone = yaml.safe_load(describe_checkpoint(tmp_path / "My Pipe" / "unet"))
    assert alone["train"]["noise"]["sigma_max"] == 1348
    assert alone["sample"]["sampler"]["snr"] == 0.15  # of the same scheduler
    assert alone["sample"]["sampler"]["corrector_steps"] == 1
