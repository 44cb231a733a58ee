"""`import-checkpoint --describe` tells what a file is, and prints a study that fits it."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from published_weights import published_weights, wave
from typer.testing import CliRunner

from scoresweep.networks import NCSNpp
from scoresweep.networks.score_sde_checkpoints import score_sde_shapes
from scoresweep.pipeline import cli
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.rules.import_checkpoint import import_checkpoint
from scoresweep.pipeline.study import parse_study, plan_study
from scoresweep.pipeline.training.weight_files.describe_checkpoint import describe_checkpoint

GEOMETRIC = torch.tensor([8, 4, 2, 1, 0.5], dtype=torch.float64)
SCORE_SDE = json.loads((Path(__file__).parents[3] / "score_sde_parameters.json").read_text())


def saved(path, name, sigmas=GEOMETRIC):
    """Write a checkpoint as the program of a network does."""
    if name in SCORE_SDE:
        state = {key: wave(key, shape).float() for key, shape in SCORE_SDE[name].items()}
        torch.save({"model": state | {"sigmas": sigmas}, "step": 20}, path)
        return path
    state = {key: value.float() for key, value in published_weights(name, 1).items()}
    state |= {} if sigmas is None else {"sigmas": sigmas}
    torch.save([state, {}] + ([] if name == "ncsn" else [1, 20]), path)
    return path


def described(path):
    """Return the study and the comments."""
    text = describe_checkpoint(path)
    return yaml.safe_load(text), [line for line in text.splitlines() if line.startswith("#")]


@pytest.mark.parametrize("name", ["ncsn", "ncsnv2", "ncsnv2_deeper", "ncsnv2_deepest"])
def test_the_file_fits_the_study(make_plan, tmp_path, name):
    file = saved(tmp_path / "Checkpoint-20.pth", name, None if name == "ncsn" else GEOMETRIC)
    study, comments = described(file)
    assert study["study"] == "imported_checkpoint_20"
    assert study["train"]["network"] == {"name": name, "channels": 4}
    assert any("image channels: 1" in line for line in comments)
    ladder = (1.0, 0.01) if name == "ncsn" else (8.0, 0.5)  # NCSN's file has the number of levels
    assert study["train"]["noise"] == {
        "name": "geometric",
        **dict(zip(("sigma_max", "sigma_min"), ladder, strict=True)),
        "levels": 5,
    }
    with pytest.raises(InputError, match="expected one of digits"):
        parse_study(study, file)
    root = make_plan().paths.root  # where the digits are staged
    plan = plan_study(parse_study(study | {"dataset": {"name": "digits"}}, file), root)
    import_checkpoint(plan, plan.runs[0].id, file)


@pytest.mark.parametrize("name", SCORE_SDE)
def test_networks_of_score_sde_are_described(tmp_path, name):
    study, comments = described(saved(tmp_path / "c.pth", name))
    assert study["train"]["network"] == {
        "name": "ncsnpp",
        "channels": 4,
        "multipliers": [1, 2],
        "blocks": 1,
        "attention": [16],
        "block_type": "biggan",
        "fir": True,
        "skip_rescale": True,
        "progressive_input": "residual",
        "progressive_output": "none",
        "embedding": name,
    }
    assert study["train"]["steps"] == 20
    assert "32×32 pixels if it has attention at 16" in "".join(comments)
    parse_study(study | {"dataset": {"name": "cifar10"}}, tmp_path / "c.pth")


@pytest.mark.parametrize(("side", "snr"), [(32, 0.16), (64, 0.17), (128, 0.16), (256, 0.075)])
def test_the_sampler_is_that_of_the_configurations_of_the_size(tmp_path, side, snr):
    options = {"channels": 4, "multipliers": [1] * (side // 16).bit_length(), "blocks": 1}
    with torch.device("meta"):
        shapes = score_sde_shapes(NCSNpp((3, side, side), GEOMETRIC, **options))
    state = {name: torch.zeros(shape) for name, shape in shapes.items()}
    torch.save({"model": state | {"sigmas": GEOMETRIC}}, tmp_path / "c.pth")
    study, _ = described(tmp_path / "c.pth")
    assert study["sample"]["sampler"]["snr"] == snr


def test_a_ladder_that_is_not_geometric_is_listed(tmp_path):
    sigmas = torch.tensor([8, 4, 2, 1, 0.4])
    study, _ = described(saved(tmp_path / "c.pth", "ncsnv2", sigmas))
    assert study["train"]["noise"] == {"name": "explicit", "sigmas": [8.0, 4.0, 2.0, 1.0, 0.4]}
    named = parse_study(study | {"dataset": {"name": "digits"}}, tmp_path / "c.pth")
    assert len(plan_study(named, tmp_path).settings) == 1


def test_a_file_without_a_ladder_gets_that_of_its_program(tmp_path):
    study, comments = described(saved(tmp_path / "c.pth", "ncsnv2", None))
    noise = study["train"]["noise"]
    assert (noise["sigma_max"], noise["sigma_min"], noise["levels"]) == (50.0, 0.01, 232)
    assert any(line.startswith("# assumed: ladder") for line in comments)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "c.pth"
    with pytest.raises(InputError, match="no such file"):
        describe_checkpoint(path)
    torch.save({"a": torch.ones(1)}, path)
    with pytest.raises(InputError, match="no published program"):
        describe_checkpoint(path)
    torch.save({"all_modules.0.weight": torch.ones(1)}, path)
    with pytest.raises(InputError, match="not in the order of ncsnpp"):
        describe_checkpoint(path)
    path.write_bytes(b"\x80\x02ctorch_utils.persistence\n_reconstruct_persistent_obj\n.")
    with pytest.raises(InputError, match=r"EDM .* runs code from the file; .* plugin"):
        describe_checkpoint(path)
    state = published_weights("ncsnv2", 1)
    del state["refine1.crp.convs.0.weight"]
    torch.save(state, path)
    with pytest.raises(InputError, match=r"missing: refine1\.crp\.convs\.0\.weight"):
        describe_checkpoint(path)


def test_the_command_prints_the_study_or_says_what_is_missing(tmp_path):
    def run(*arguments):
        return CliRunner().invoke(cli.app, ["import-checkpoint", *map(str, arguments)])

    file = saved(tmp_path / "c.pth", "ncsnv2")
    ended = run("--describe", file)
    assert (ended.exit_code, ended.stdout) == (0, describe_checkpoint(file))
    assert isinstance(run("study.yaml", file).exception, InputError)
    assert isinstance(run("study.yaml", "--describe", file).exception, InputError)
