"""Weights of a run of this program are imported as those of another study's run."""

import json

import pytest
import torch
import yaml
from plugin_study import METHODS, plan_in
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_study import give_data, save_untrained_networks

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.rules.import_checkpoint import import_checkpoint
from scoresweep.pipeline.study import parse_study, plan_study
from scoresweep.pipeline.training.weight_files.describe_checkpoint import describe_checkpoint
from scoresweep.pipeline.training.weights import load_network

MLP = {"name": "mlp", "width": 16, "blocks": 1}


@pytest.fixture
def other(make_plan):
    """A run of another study, with random weights."""
    study = make_plan(folder="other", grid={})
    save_untrained_networks(study)
    return study.paths.run(study.runs[0].id)


@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_the_scores_are_those_of_the_other_run(make_plan, other, name):
    study = make_plan(grid={}, steps=7)
    run = study.runs[0]
    import_checkpoint(study, run.id, other / name)
    x, sigma = torch.rand(2, 1, 8, 8), torch.tensor([4.0, 0.5])
    expected = load_network(other)(x, sigma)
    assert torch.equal(load_network(study.paths.run(run.id))(x, sigma), expected)
    about = json.loads(study.paths.provenance(run.id).read_text())["imported"]
    assert about["on_trust"].keys() == {"averages", "training data"}
    assert about["checksums"] == "compared"


def refused(study, path, message):
    with pytest.raises(InputError, match=message):
        import_checkpoint(study, study.runs[0].id, path)
    assert not study.paths.weights(study.runs[0].id).exists()


def test_what_differs_is_named(make_plan, other):
    wider = make_plan(network=MLP | {"width": 8}, grid={})
    refused(wider, other, "width 16, in the run 8")
    # The same shapes, with another function.
    conditional = make_plan(network=MLP | {"conditioning": "none"}, grid={})
    refused(conditional, other, "conditioning divide, in the run none")
    refused(make_plan(network={"name": "plain_mlp"}, grid={}), other, "network mlp, in the run pl")
    noise = {"name": "geometric", "sigma_max": 8.0, "sigma_min": 0.1, "levels": 6}
    refused(make_plan(noise=noise, grid={}), other, "ladder of 5 levels; expected the 6")
    oracle = make_plan(network={"name": "oracle"}, grid={})
    refused(oracle, other, "oracle has no weights")


def changed(file, metadata=None, **tensors):
    """Write a copy of a weight file with other metadata or tensors."""
    with safe_open(file, "pt") as opened:
        kept = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        metadata = metadata or opened.metadata()
    copy = file.with_name("copy.safetensors")
    save_file(kept | tensors, copy, metadata)
    return copy


def test_damage_is_found(make_plan, other):
    study, file = make_plan(grid={}), other / "model.safetensors"
    damaged = changed(file, sigmas=torch.tensor([8.0, 4.0, 2.0, 1.0, 0.2]))
    refused(study, damaged, "copy.safetensors: is damaged .*SHA-256")
    with safe_open(file, "pt") as opened:
        model = json.loads(opened.metadata()["model"])
    model["network"]["unheard_of"] = 3
    refused(study, changed(file, {"model": json.dumps(model)}), "unheard_of .*does not have")


def test_a_run_without_weights_is_named(make_plan, tmp_path):
    (tmp_path / "provenance.json").touch()
    for content in (None, b"cut"):
        if content is not None:
            (tmp_path / "model.safetensors").write_bytes(content)
        refused(make_plan(grid={}), tmp_path, "without readable weights .*; finish its training")


@pytest.mark.parametrize("model", ["{}", "NCSN++", "3"])
def test_files_of_other_programs_may_have_an_entry_model(make_plan, other, model):
    foreign = changed(other / "model.safetensors", {"model": model})
    refused(make_plan(grid={}), foreign, "expected ncsn, ncsnv2")


def test_without_ema_the_file_would_have_to_say(make_plan, other):
    study = make_plan(grid={})
    with pytest.raises(InputError, match="omit --no-ema"):
        import_checkpoint(study, study.runs[0].id, other, ema=False)


def test_the_exact_score_has_no_weights_to_import(make_plan):
    study = make_plan(folder="exact", network={"name": "oracle"}, grid={})
    save_untrained_networks(study)
    another = make_plan(network={"name": "oracle"}, grid={})
    refused(another, study.paths.run(study.runs[0].id), "oracle has no weights")


def test_a_network_of_a_plugin_needs_the_same_plugin(tmp_path, staged):
    def plan(name, methods=METHODS):
        (tmp_path / name).mkdir()
        give_data(tmp_path / name, staged)
        train = {"network": {"name": "Small"}, "grid": {}}
        return plan_in(tmp_path / name, methods, train=train)

    first = plan("first")
    save_untrained_networks(first)
    other = first.paths.run(first.runs[0].id)
    refused(plan("edited", METHODS + "#"), other, r"plugin my_methods.py \(.*\), in the run")
    second = plan("second")
    import_checkpoint(second, second.runs[0].id, other)
    study = yaml.safe_load(describe_checkpoint(other))
    assert (study["plugins"], study["train"]["network"]["name"]) == (["my_methods.py"], "Small")


def test_a_study_that_fits_is_written(make_plan, other, tmp_path):
    text = describe_checkpoint(other)
    study = yaml.safe_load(text)
    assert study["train"]["network"] == MLP
    assert study["train"]["noise"] == {
        "name": "geometric",
        "sigma_max": 8.0,
        "sigma_min": 0.1,
        "levels": 5,
    }
    study["dataset"] = {"name": "digits"}
    plan = plan_study(parse_study(study, tmp_path / "s.yaml"), make_plan().paths.root)
    import_checkpoint(plan, plan.runs[0].id, other)
