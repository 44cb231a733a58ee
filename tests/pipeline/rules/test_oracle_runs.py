"""Runs of the exact score next to trained ones, from the plan to the report."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from faults.in_process import train_run
from scipy.special import softmax
from tiny_study import TINY, give_data

from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.commands.estimate.costs import Costs, sample_key
from scoresweep.pipeline.commands.estimate.probe import time_unknown
from scoresweep.pipeline.commands.estimate.task_seconds import TaskSeconds
from scoresweep.pipeline.data.exact_score import load_exact_score
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results import code_version as code_version_module
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.results.code_summary import count_codes
from scoresweep.pipeline.results.code_version import FILES, current_code, recorded_code
from scoresweep.pipeline.rules import train as train_module
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.rules.report import report
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.rules.score_error import score_error
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.rules.train import train
from scoresweep.pipeline.study import parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml
from scoresweep.pipeline.system.atomic_files import sha256_of
from scoresweep.pipeline.system.job_state import JobState
from scoresweep.pipeline.training.weights import load_network

pytestmark = pytest.mark.usefixtures("fresh_process")

BOTH = {"network": [{"name": "mlp", "width": 8, "blocks": 1}, {"name": "oracle"}]}


@pytest.fixture(scope="module")
def study(tmp_path_factory, staged):
    """A finished study of a trained network and the exact score."""
    root = tmp_path_factory.mktemp("oracle")
    give_data(root, staged)
    content = parse_yaml(TINY, "tiny.yaml")
    content["train"] |= {"grid": BOTH, "steps": 20}
    content["sample"] |= {"grid": {}, "count": 20}
    content["evaluate"]["score_error_samples"] = 16
    plan = plan_study(parse_study(content, "study.yaml"), root)
    reference(plan, "digits", "pixels")
    train_run(plan)
    train(plan, plan.runs[1].id, Resources())
    for run in plan.runs:
        score_error(plan, run.id)
        sample(plan, run.id, plan.settings[0].id)
        evaluate(plan, run.id, plan.settings[0].id)
    report(plan)
    return plan


def test_ids_and_coordinates_are_readable(study):
    assert [run.axes for run in study.runs] == [
        {"network": "mlp(width=8, blocks=1)"},
        {"network": "oracle"},
    ]
    assert study.runs[0].id.startswith("network=mlp-width=8-blocks=1_")
    assert study.runs[1].id.startswith("network=oracle_")


def test_every_result_records_its_code(study):
    found = count_codes(examine_results(study))
    assert {kind: dict(counts) for kind, counts in found.items()} == {
        kind: {current_code(kind): 1 if kind in ("data", "features") else 2} for kind in FILES
    }
    assert all(current_code(kind).code for kind in FILES)


def edit(package, name, monkeypatch):
    """Pretend that this process runs a copy of the package with one edited file."""
    shutil.copytree(code_version_module.PACKAGE, package)
    with (package / name).open("a") as file:
        file.write("# edited\n")
    monkeypatch.setattr(code_version_module, "PACKAGE", package)
    current_code.cache_clear()


def test_an_edited_sampler_outdates_results_only_on_request(study, tmp_path, monkeypatch):
    edit(tmp_path / "scoresweep", "samplers/langevin.py", monkeypatch)
    assert examine_results(study).due == []
    due = examine_results(study, this_code=True).due
    current_code.cache_clear()
    assert sorted({result.rule for result in due}) == ["evaluate", "report", "sample"]
    assert any(recorded_code(due[0].output).code in result.reason for result in due)


def test_results_of_other_code_are_recomputed_on_request(study, tmp_path, monkeypatch, capsys):
    root = Path(shutil.copytree(study.paths.root, tmp_path / "copy"))
    plan = replace(study, paths=replace(study.paths, root=root))
    names = plan.runs[0].id, plan.settings[0].id
    layout = plan.paths
    manifest = layout.samples_manifest(names[0], plan.settings[0].store)
    before = sha256_of(manifest), sha256_of(layout.weights(names[0]))
    edit(tmp_path / "scoresweep", "networks/mlp.py", monkeypatch)
    sample(plan, *names)
    assert sha256_of(manifest) == before[0], "kept"
    monkeypatch.setattr(train_module, "launch", lambda *_, **__: train_run(plan))
    train(plan, names[0], Resources(), this_code=True)
    sample(plan, *names, this_code=True)
    stage(plan, "digits", this_code=True)
    said = capsys.readouterr().err
    found = {path: recorded_code(path) for path in (manifest, layout.provenance(names[0]))}
    made = [current_code("samples"), current_code("networks")]
    current_code.cache_clear()
    assert list(found.values()) == made
    assert sha256_of(layout.weights(names[0])) == before[1], "the edit was a comment"
    assert said.count("; recomputing") == 2
    assert "digits.zarr is" in said, "its code is the same"


def test_only_the_exact_score_has_zero_score_error(study):
    with xr.open_datatree(study.paths.report, engine="h5netcdf") as tree:
        errors = tree["score_error"]["score_error_sigma2"].load()
        training = tree["training"].to_dataset().load()
        names = set(tree["sampling"].data_vars)
    assert float(errors.sel(network="oracle").max()) < 1e-12
    assert float(errors.sel(network="mlp(width=8, blocks=1)").min()) > 0.1
    assert training["loss"].sel(network="oracle").isnull().all()
    assert training["loss"].sel(network="mlp(width=8, blocks=1)").notnull().all()
    assert "frechet_pixels" in names


def test_the_exact_score_is_done_without_training(study):
    run = study.runs[1]
    assert not study.paths.checkpoints(run.id).exists()
    assert JobState.read(study.paths.progress(run.id)).state == "done"
    with xr.open_dataset(study.paths.training_curves(run.id), engine="h5netcdf") as curves:
        assert dict(curves.sizes) == {"step": 0, "level": 5}
        np.testing.assert_allclose(curves["sigma"][[0, -1]], [8, 0.1], rtol=1e-6)


def test_the_weights_hold_the_exact_score(study):
    network = load_network(study.paths.run(study.runs[1].id))
    assert network.means.dtype == torch.uint8
    exact = load_exact_score(study.paths.dataset_store("digits"))
    x, sigma = torch.rand(3, 1, 8, 8), torch.tensor([8.0, 1.0, 0.1])
    assert torch.equal(network(x, sigma), exact(x, sigma))
    data = exact.means.double().numpy()  # softmax over the training samples
    at = x[2].double().flatten().numpy()
    share = softmax(-((at - data) ** 2).sum(1) / (2 * 0.1**2))
    expected = (share @ data - at) / 0.1**2
    np.testing.assert_allclose(network(x, sigma)[2].flatten(), expected, rtol=1e-4, atol=1e-4)


def test_the_estimated_training_time_is_zero(make_plan):
    plan = make_plan(network={"name": "oracle"}, grid={}, steps=10**9)
    costs = time_unknown(plan, Costs())
    assert TaskSeconds(plan, (), costs).training(plan.runs[0]) == 0
    assert 0 < costs.sample_seconds[sample_key(plan.runs[0], plan.settings[0])] < 1


def test_the_score_of_a_mixture_needs_data_from_a_mixture(tmp_path):
    np.save(tmp_path / "own.npy", np.random.default_rng(0).normal(size=(40, 2)))
    content = parse_yaml(TINY, "tiny.yaml")
    content["dataset"] = {"name": "array", "path": str(tmp_path / "own.npy")}
    content["train"] |= {"network": {"name": "oracle", "of": "mixture"}, "grid": {}}
    plan = plan_study(parse_study(content, "study.yaml"), tmp_path)
    run = plan.runs[0]
    stage(plan, run.dataset.id)
    with pytest.raises(InputError, match=r"train.network.of: mixture: the dataset own_\w+ was not"):
        train(plan, run.id, Resources())
    state = JobState.read(plan.paths.progress(run.id))
    assert state.state == "failed"
    assert "was not drawn from a mixture" in state.message


@pytest.mark.parametrize(("of", "expected"), [("auto", "mixture"), ("training_set", "points")])
def test_the_score_of_a_mixture_is_exact(tmp_path, of, expected):
    content = parse_yaml(TINY, "tiny.yaml")
    content["dataset"] = {
        "name": "gaussian_mixture",
        "weights": [1.0, 3.0],
        "means": [[-1.0, 0.0], [2.0, 1.0]],
        "stds": [0.2, 0.4],
        "subset": 50,
    }
    content["train"] |= {"network": {"name": "oracle", "of": of}, "grid": {}}
    plan = plan_study(parse_study(content, "study.yaml"), tmp_path)
    run = plan.runs[0]
    stage(plan, run.dataset.id)
    train(plan, run.id, Resources())
    network = load_network(plan.paths.run(run.id))
    assert len(network.means) == (2 if expected == "mixture" else 50)
    # Far to the right only the second component matters: s = (mu - x)/(std^2 + sigma^2).
    x, sigma = (
        torch.tensor([[6.0, 1.0]], dtype=torch.float64),
        torch.tensor([0.1], dtype=torch.float64),
    )
    score = float(network(x, sigma)[0, 0])
    if expected == "mixture":
        assert score == pytest.approx(-4 / (0.4**2 + 0.1**2), rel=1e-9)
    else:
        assert score < -100  # the nearest of 50 points is about 3 away
