"""Checkpoints of the public programs are imported as runs."""

import json
import shutil
import zipfile
from collections import OrderedDict

import pytest
import torch
from published_weights import images, published_weights
from safetensors.torch import save_file

from scoresweep.networks.ncsn_checkpoints import convert_ncsn_state_dict
from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.commands.progress.status_table import status
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.report.sections.provenance_table import _imports
from scoresweep.pipeline.rules.import_checkpoint import import_checkpoint
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.rules.train import train
from scoresweep.pipeline.system.atomic_files import sha256_of
from scoresweep.pipeline.training.network_setup import make_network
from scoresweep.pipeline.training.weights import load_network

LADDER = [8.0, 4.0, 2.0, 1.0, 0.5]


@pytest.fixture
def plan(make_plan):
    return lambda name="ncsnv2", sigmas=LADDER: make_plan(
        network={"name": name, "channels": 4},
        noise={"name": "explicit", "sigmas": sigmas},
        grid={},
    )


def checkpoint(path, name="ncsnv2", ema=True, zipped=True, **changes):
    """Write a checkpoint of a network of waves as the authors' programs do; averages are doubled.

    PyTorch before 1.6, NCSN's, wrote pickles that are not `zipped`.
    """
    plain = {key: value.float() for key, value in published_weights(name, 1).items()} | changes
    sigmas = {"sigmas": torch.tensor(LADDER)} if name != "ncsn" else {}
    state = OrderedDict({f"module.{key}": value for key, value in (sigmas | plain).items()})
    state._metadata = OrderedDict({"": {"version": 1}})  # as `Module.state_dict` adds it
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([parameter], lr=1e-4)
    parameter.sum().backward()
    optimizer.step()
    content = [state, optimizer.state_dict()]
    if name != "ncsn":
        content += [12, 3000]
        content += [{key: 2 * value for key, value in plain.items()}] if ema else []
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def expected(plan, name, factor):
    """The score of the wave network, computed from its parameters."""
    run = plan.runs[0]
    network = make_network(run, plan.paths)
    tensors = {k: (factor * v).float() for k, v in published_weights(name, 1).items()}
    network.load_state_dict(convert_ncsn_state_dict(tensors, network) | {"sigmas": network.sigmas})
    return network


@pytest.mark.parametrize(
    ("name", "ema", "factor"), [("ncsn", True, 1), ("ncsnv2", True, 2), ("ncsnv2", False, 1)]
)
@pytest.mark.parametrize("zipped", [True, False])
def test_the_weights_are_imported_into_the_run(plan, tmp_path, capsys, name, ema, factor, zipped):
    study = plan(name)
    file = checkpoint(tmp_path / "checkpoint.pth", name, zipped=zipped)
    assert zipfile.is_zipfile(file) == zipped
    run = study.runs[0]
    import_checkpoint(study, run.id, file, ema=ema)
    said = capsys.readouterr().err
    network = load_network(study.paths.run(run.id))
    x, sigma = images(2, 1, 8, 8).float(), torch.tensor([2.0, 0.5])
    with torch.no_grad():
        assert torch.equal(network(x, sigma), expected(study, name, factor)(x, sigma))
    about = json.loads(study.paths.provenance(run.id).read_text())["imported"]
    check = about.pop("held_out_check")
    trusted = about.pop("on_trust")
    assert about == {
        "file": "checkpoint.pth",
        "sha256": sha256_of(file),
        "averaged": factor == 2,
        "step": None if name == "ncsn" else 3000,
        "ignored": [],
        "checksums": "compared" if zipped else "none in a file of torch.save before PyTorch 1.6",
    }
    # NCSN's program does not save the ladder.
    open_points = {"activation", "data range", "training data"}
    assert trusted.keys() == open_points | ({"ladder"} if name == "ncsn" else set())
    assert all(f"{point}: {value}" in said for point, value in trusted.items())
    assert ("no checksums" in said) == (not zipped)
    assert check["level"] == [1, 2, 3, 4, 5]
    assert check["sigma"] == LADDER


def test_without_averages_the_last_parameters_are_used(plan, tmp_path):
    study = plan()
    import_checkpoint(study, study.runs[0].id, checkpoint(tmp_path / "c.pth", ema=False))
    found = load_network(study.paths.run(study.runs[0].id)).first.bias
    assert torch.equal(found, published_weights("ncsnv2", 1)["begin_conv.bias"].float())


def test_the_run_samples_like_any_other(plan, tmp_path):
    study = plan()
    run, setting = study.runs[0], study.settings[0]
    import_checkpoint(study, run.id, checkpoint(tmp_path / "c.pth"))
    train(study, run.id, Resources())  # there is nothing left to train
    sample(study, run.id, setting.id)
    assert study.paths.samples_manifest(run.id, setting.store).exists()
    with pytest.raises(InputError, match="has weights already"):
        import_checkpoint(study, run.id, tmp_path / "c.pth")


@pytest.mark.parametrize("end", ["", "discriminator last", "averages last"])
def test_lists_of_consistent_sampling_are_read(plan, tmp_path, end):
    """That program (AdversarialConsistentScoreMatching) saves no ladder.

    Its network returns the score times σ, without the division inside that NCSNv2 has, so that its
    parameters are those of NCSNv2.
    """
    content = torch.load(checkpoint(tmp_path / "c.pth"), weights_only=True)
    del content[0]["module.sigmas"]
    if end:
        content.insert(4 if end == "averages last" else 5, {"module.conv.weight": torch.ones(1)})
    torch.save(content, tmp_path / "c.pth")
    study = plan()
    run = study.runs[0]
    import_checkpoint(study, run.id, tmp_path / "c.pth")
    x, sigma = images(2, 1, 8, 8).float(), torch.tensor([2.0, 0.5])
    with torch.no_grad():
        found = load_network(study.paths.run(run.id))(x, sigma)
        assert torch.equal(found, expected(study, "ncsnv2", 2)(x, sigma))
    about = json.loads(study.paths.provenance(run.id).read_text())["imported"]
    assert (about["averaged"], about["step"]) == (True, 3000)
    assert about["ignored"] == (["discriminator"] if end else [])
    assert {"ladder", "output"} <= about["on_trust"].keys()


def refused(study, file, message):
    with pytest.raises(InputError, match=message):
        import_checkpoint(study, study.runs[0].id, file)
    assert not study.paths.run(study.runs[0].id).joinpath("model.safetensors").exists()


def test_missing_and_extra_tensors_are_named(plan, tmp_path):
    changes = {"fc.weight": torch.ones(1), "end_conv.bias": torch.ones(2)}
    file = checkpoint(tmp_path / "c.pth", ema=False, **changes)
    refused(plan(), file, r"extra: fc.weight; of another shape: end_conv.bias \(2,\), not \(1,\)")


def test_another_network_is_named(make_plan, plan, tmp_path):
    file = checkpoint(tmp_path / "c.pth")
    refused(plan("ncsn"), file, "network ncsnv2, in the run ncsn$")
    refused(plan("ncsnv2_deeper"), file, "network ncsnv2, in the run ncsnv2_deeper$")
    noise = {"name": "explicit", "sigmas": LADDER}
    wider = make_plan(network={"name": "ncsnv2", "channels": 8}, noise=noise, grid={})
    refused(wider, file, "channels 4, in the run 8$")
    conditional = checkpoint(tmp_path / "c.pth", "ncsn")
    refused(plan("ncsn", [8.0, 4.0]), conditional, "levels 5, in the run 2$")


def test_another_ladder_is_named(plan, tmp_path):
    file = checkpoint(tmp_path / "c.pth")
    refused(plan(sigmas=[8.0, 4.0, 2.0, 1.0, 0.4]), file, r"level 5 is 0\.5; expected 0\.4")
    refused(plan(sigmas=[8.0, 4.0]), file, "ladder of 5 levels; expected the 2 of the run")


class Harm:
    def __reduce__(self):
        return open, ("harm.txt", "w")


def test_nothing_in_the_file_is_executed(plan, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save([{"module.begin_conv.weight": torch.ones(1)}, Harm()], tmp_path / "c.pth")
    refused(plan(), tmp_path / "c.pth", r"c.pth: holds Python objects \(io.open\)")
    assert not (tmp_path / "harm.txt").exists()


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({"a": torch.ones(1)}, "holds a, which match no published network"),
        ([1, 2], "holds a list of int, int"),
        ([{}, {}, 3], "holds a list of dict, dict, int"),
        ([{}, {}, 1, 2, 3], "holds no averaged parameters but int"),
        (torch.ones(2), "holds a Tensor"),
        ({"epoch": 3, "args": {}}, "holds 'epoch', 'args'"),
        ({"model": {}, "net": {}}, "holds both model and net"),
    ],
)
def test_other_contents_are_refused(plan, tmp_path, content, found):
    torch.save(content, tmp_path / "c.pth")
    refused(plan(), tmp_path / "c.pth", f"c.pth: {found}")


def test_files_that_are_not_checkpoints_are_named(plan, tmp_path):
    refused(plan(), tmp_path / "c.pth", r"c.pth: there is no such file")
    (tmp_path / "c.pth").write_bytes(b"<!DOCTYPE html><html><title>404</title></html>")
    refused(plan(), tmp_path / "c.pth", r"c.pth: is an HTML page")
    (tmp_path / "model_index.json").write_text("{}")
    refused(plan(), tmp_path, r"is a diffusers folder; expected a checkpoint of the public NCSN")


def test_other_networks_and_data_that_is_not_staged_are_refused(make_plan, plan, tmp_path):
    file = checkpoint(tmp_path / "c.pth")
    refused(make_plan(), file, "only the networks of the published programs can be imported")
    study = plan()
    shutil.rmtree(study.paths.root / "data")
    refused(study, file, "is not staged; run `scoresweep stage` first")


# ── layouts of files ─────────────────────────────────────────────────────


def parts_of(path):
    return torch.load(checkpoint(path), weights_only=True)


def test_state_dicts_alone_or_by_name_are_read(plan, tmp_path):
    state, _, _, step, averaged = parts_of(tmp_path / "c.pth")
    plain = {name.removeprefix("module."): value for name, value in state.items()}
    layouts = [
        (state, 1, None),
        ({f"_orig_mod.{name}": value for name, value in plain.items()}, 1, None),
        ({"model": state, "ema": averaged, "step": step, "args": {}}, 2, True),
        ({"ema": averaged}, 2, True),
    ]
    study = plan()
    run = study.runs[0]
    expected = published_weights("ncsnv2", 1)["begin_conv.bias"].float()
    for content, factor, is_averaged in layouts:
        torch.save(content, tmp_path / "d.pth")
        import_checkpoint(study, run.id, tmp_path / "d.pth")
        found = load_network(study.paths.run(run.id)).first.bias
        assert torch.equal(found, factor * expected)
        about = json.loads(study.paths.provenance(run.id).read_text())["imported"]
        assert about["averaged"] is is_averaged
        assert ("averages" in about["on_trust"]) == (is_averaged is None)
        assert about["ignored"] == (["args"] if "args" in content else [])
        shutil.rmtree(study.paths.run(run.id))
    save_file(plain, tmp_path / "d.safetensors")
    import_checkpoint(study, run.id, tmp_path / "d.safetensors")
    about = json.loads(study.paths.provenance(run.id).read_text())["imported"]
    assert about["checksums"] == "none in a safetensors file"


def test_without_ema_a_file_of_averages_only_is_refused(plan, tmp_path):
    torch.save({"ema": parts_of(tmp_path / "c.pth")[4]}, tmp_path / "c.pth")
    study = plan()
    with pytest.raises(InputError, match="averaged parameters only"):
        import_checkpoint(study, study.runs[0].id, tmp_path / "c.pth", ema=False)


@pytest.mark.parametrize(
    ("sigmas", "found"),
    [
        ([8.0, 4.0, float("nan"), 1.0, 0.5], "sigmas is not finite"),
        ([0.5, 1.0, 2.0, 4.0, 8.0], r"\(sigmas\) does not decrease: level 1 is 0.5, level 2 is 1$"),
        ([8.0, 4.0, 4.0, 1.0, 0.5], "does not decrease: level 2 is 4"),
        ([8.0, 4.0, 2.0, 1.0, 0.0], r"\(sigmas\) ends at 0"),
        ([[8.0, 4.0], [2.0, 1.0]], r"shape \(2, 2\); expected \(L,\)"),
        (8.0, "ladder of 1 levels; expected the 5"),
        ([8, 4, 2, 1, 1], "module.sigmas is of the type int64"),
    ],
)
def test_invalid_ladders_are_refused(plan, tmp_path, sigmas, found):
    content = parts_of(tmp_path / "c.pth")
    content[0]["module.sigmas"] = torch.tensor(sigmas)
    torch.save(content, tmp_path / "c.pth")
    refused(plan(), tmp_path / "c.pth", found)


def test_a_ladder_with_axes_of_length_one_is_accepted(plan, tmp_path):
    content = parts_of(tmp_path / "c.pth")
    content[0]["module.sigmas"] = torch.tensor(LADDER).double().reshape(-1, 1, 1, 1)
    torch.save(content, tmp_path / "c.pth")
    study = plan()
    import_checkpoint(study, study.runs[0].id, tmp_path / "c.pth")


@pytest.mark.parametrize("name", ["begin_conv.weight", "res2.0.conv1.weight"])
def test_a_tensor_of_any_other_shape_is_named(plan, tmp_path, name):
    for shape in ((), (1,), (4, 5), (1, 4, 1, 3, 3)):
        file = checkpoint(tmp_path / "c.pth", ema=False, **{name: torch.ones(shape)})
        refused(plan(), file, "c.pth: (does not fit|holds)")


def test_a_long_list_of_problems_is_shortened(plan, tmp_path):
    shapes = {name: value.shape for name, value in published_weights("ncsnv2", 1).items()}
    changes = {name: torch.ones(3, *shape) for name, shape in shapes.items()}
    study = plan()
    with pytest.raises(InputError, match="and 149 more") as raised:
        import_checkpoint(study, study.runs[0].id, checkpoint(tmp_path / "c.pth", **changes))
    assert len(str(raised.value)) < 700


def test_a_norm_of_another_width_is_named(plan, tmp_path):
    wide = {"normalizer.embed.weight": torch.ones(5, 13)}
    refused(
        plan("ncsn"), checkpoint(tmp_path / "c.pth", "ncsn", **wide), r"\(5, 13\), not \(5, 12\)"
    )


def test_weights_that_give_non_finite_scores_are_refused(plan, tmp_path):
    shapes = {name: value.shape for name, value in published_weights("ncsnv2", 1).items()}
    large = {name: torch.full(shapes[name], 9e5) for name in shapes if name.startswith("refine")}
    file = checkpoint(tmp_path / "c.pth", ema=False, **large)
    refused(plan(), file, "scores that are not finite")


def test_facts_about_imported_weights_are_shown(plan, tmp_path, capsys):
    study = plan()
    run = study.runs[0]
    import_checkpoint(study, run.id, checkpoint(tmp_path / "c.pth"))
    said = capsys.readouterr().err
    check = json.loads(study.paths.provenance(run.id).read_text())["imported"]["held_out_check"]
    assert check["worse_at"] == [1, 2, 3, 4, 5]  # waves denoise nothing
    assert "Warning" in said
    assert check["verdict"] in said
    job = next(job for job in status(study) if job.setting is None)
    assert check["verdict"] in job.message
    shown = dict(_imports(study))
    assert list(shown) == [f"imported weights: {run.id}"]
    assert check["verdict"] in shown[f"imported weights: {run.id}"]
