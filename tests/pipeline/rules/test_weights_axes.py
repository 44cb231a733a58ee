"""Axes over the training step and the decay of the averaged weights: from training to report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from faults.in_process import crash_at, train_run
from safetensors.torch import load_file
from tiny_study import TINY, give_data

from scoresweep import load_network
from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.commands.estimate.costs import Costs, network_key
from scoresweep.pipeline.commands.estimate.disk_space import bytes_of_study
from scoresweep.pipeline.commands.plan import print_plan
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.report.format import format_number
from scoresweep.pipeline.report.page.best_step_rows import best_step_rows
from scoresweep.pipeline.report.tables.collect import collect
from scoresweep.pipeline.report.tables.frames import wide_table
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.results.best_step import find_best_step, step_plan
from scoresweep.pipeline.results.removable import find_removable
from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.rules.sweep import sweep
from scoresweep.pipeline.rules.train import train_here
from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml
from scoresweep.pipeline.system.atomic_files import read_json, sha256_of, write_json
from scoresweep.pipeline.training.weights import save_network

pytestmark = pytest.mark.usefixtures("fresh_process")

TRAIN = {"steps": 30, "ema": [0.5, 0.99], "keep": {"every": 10}, "checkpoint": {"steps": 7}}
GRID = {"training_step": [10, 30], "ema": [0.5, 0.99]}
KEPT = ["ema=0.99", "step=10", "step=10_ema=0.99", "step=20", "step=20_ema=0.99"]


def make(root: Path, train: dict[str, Any] = TRAIN, **sample: Any) -> Plan:
    """Plan a study of one run in `root`."""
    content = parse_yaml(TINY, "tiny.yaml")
    content["train"] |= {"grid": {}, "log": {"image_count": 0}} | train
    content["sample"] |= {"count": 8, "chunk": 8, "grid": {}} | sample
    content["evaluate"]["score_error_samples"] = 8
    return plan_study(parse_study(content, "study.yaml"), root)


def kept(plan: Plan) -> dict[str, bytes]:
    folder = plan.paths.kept(plan.runs[0].id)
    return {path.parent.name: path.read_bytes() for path in folder.glob("*/model.safetensors")}


@pytest.fixture(scope="module")
def trained(staged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trained run, which keeps weights of three steps and two decays."""
    root = tmp_path_factory.mktemp("trained")
    give_data(root, staged)
    train_run(make(root))
    return root


def test_kept_weights_are_those_of_a_shorter_training_with_one_decay(
    trained: Path, staged: Path, tmp_path: Path
) -> None:
    give_data(tmp_path, staged)
    plan = make(tmp_path)
    for step in (5, 12, 25):
        crash_at(plan, step)
    train_run(plan)
    assert sorted(kept(plan)) == KEPT
    assert kept(plan) == kept(make(trained))
    steps, decay = 20, 0.99
    alone = make(tmp_path, {"steps": steps, "ema": decay})
    name = plan.runs[0].weights_of(
        make(tmp_path, training_step=steps, ema=decay).settings[0].sample
    )
    ours = load_file(plan.paths.weights(plan.runs[0].id, name))
    theirs = load_file(train_run(alone) / "model.safetensors")
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    network = load_network(plan.paths.run(plan.runs[0].id), training_step=steps, ema=decay)
    assert torch.equal(network.first.bias, theirs["first.bias"])


def test_every_setting_uses_its_weights_and_the_report_has_the_axes(
    trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    plan = make(tmp_path, grid=GRID)
    run = plan.runs[0].id
    reference(plan, "digits", "pixels")
    sweep(plan, run, "1-of-1")
    for setting in plan.settings:
        manifest = json.loads(plan.paths.samples_manifest(run, setting.store).read_text())
        name = plan.runs[0].weights_of(setting.sample)
        assert manifest["weights_sha256"] == sha256_of(plan.paths.weights(run, name))
    assert not [r for r in examine_results(plan).due if r.rule != "report"]
    data = collect(plan, collect_jobs(plan))
    errors, sampling = (data.tree[name].to_dataset() for name in ("score_error", "sampling"))
    assert sampling["frechet_pixels"].sizes == {"training_step": 2, "ema": 2}
    for group in (errors, sampling):
        assert group["training_step"].values.tolist() == [10, 30]
        assert group["ema"].values.tolist() == [0.5, 0.99]
    found = errors["score_error_sigma2"].sel(split="test", level=1)
    with xr.open_dataset(plan.paths.score_error(run, "step=10_ema=0.99")) as file:
        expected = file["score_error_sigma2"].sel(split="test", level=1).item()
    assert found.sel(training_step=10, ema=0.99).item() == expected
    assert len(set(found.values.ravel().tolist())) == 4

    shutil.rmtree(plan.paths.kept(run))  # everything is measured: nothing needs them
    print_plan(plan, probe=False)
    more = make(tmp_path, grid=GRID | {"sampler.step_size": [2e-3, 3e-3]})
    with pytest.raises(InputError, match=r"keeping the weights step=10\b"):
        print_plan(more, probe=False)
    with pytest.raises(InputError, match="keeping the weights step=10;"):
        sample(more, run, more.settings[1].id)


def test_a_finished_run_is_not_trained_again_for_steps_that_it_did_not_keep(
    trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    plan = make(tmp_path, TRAIN | {"keep": {"every": 5}}, training_step=5)
    assert plan.runs == [run for run in plan.runs if run.id == make(trained).runs[0].id]
    assert examine_results(plan)["train", plan.runs[0].id].state == "done"
    with pytest.raises(InputError, match=r"step=10, step=10_ema=0\.99.*delete this folder"):
        print_plan(plan, probe=False)
    provenance = plan.paths.provenance(plan.runs[0].id)
    write_json(provenance, read_json(provenance) | {"imported": {"file": "checkpoint.pth"}})
    with pytest.raises(InputError, match=r"not step=5\..*import the file of each") as caught:
        print_plan(plan, probe=False)
    assert "delete" not in str(caught.value)


def test_a_run_that_has_passed_a_step_without_keeping_it_does_not_resume(
    staged: Path, tmp_path: Path
) -> None:
    give_data(tmp_path, staged)
    crash_at(make(tmp_path, TRAIN | {"keep": None}), 25)
    plan = make(tmp_path, training_step=20)
    with pytest.raises(InputError, match="step 20 was not kept"):
        train_here(plan.runs[0], plan.paths, Resources(), settings=plan.settings)


def test_the_plan_counts_the_bytes_of_kept_weights(staged: Path, tmp_path: Path) -> None:
    give_data(tmp_path, staged)
    plans = [make(tmp_path, {"steps": 30, "ema": 0.5}), make(tmp_path)]
    costs = [Costs(parameters={network_key(plan.runs[0]): 1000}) for plan in plans]
    sizes = [bytes_of_study(plan, cost) for plan, cost in zip(plans, costs, strict=True)]
    # Five more files of averaged weights, and another average in the checkpoint.
    assert sizes[1] == (sizes[0] or 0) + 6 * 4 * 1000


def test_a_list_of_one_decay_and_kept_weights_change_no_id(tmp_path: Path) -> None:
    plain = make(tmp_path, {"steps": 30, "ema": 0.5})
    listed = make(tmp_path, {"steps": 30, "ema": [0.5], "keep": {"every": 10}})
    assert plain.runs[0].id == listed.runs[0].id
    assert plain.settings[0].id == listed.settings[0].id
    both = make(tmp_path, TRAIN, grid={"training_step": [None, "best"]}, **BEST)
    assert plain.settings[0].id[-8:] == both.settings[0].id[-8:]


@pytest.mark.parametrize(
    ("train", "sample", "place", "value"),
    [
        ({}, {"training_step": 15}, "sample.training_step: 15", "one of 10, 20, 30"),
        ({}, {"grid": {"training_step": [5, 15]}}, "sample.training_step: 15", "{every: 5}"),
        ({}, {"training_step": 40}, "sample.training_step: 40", "train.steps, 30"),
        ({}, {"ema": 0.7}, "sample.ema: 0.7", "0.5, 0.99"),
        ({}, {"grid": {"ema": [None, 0.5]}}, "sample.training_step, sample.ema", "once"),
        ({"network": {"name": "oracle"}}, {"training_step": 10}, "sample.training_step", "null"),
        ({"ema": [0.5, 0.5]}, {}, "train.ema: [0.5, 0.5]", "each once"),
        ({"ema": []}, {}, "train.ema: []", "one decay"),
        ({"ema": [0.5, 1.0]}, {}, "train.ema[1]: 1.0", "less than 1"),
        ({"grid": {"ema": [0.5, 0.99]}}, {"ema": 0.5}, "sample.ema: 0.5", "0.99"),
        ({"grid": {"keep.every": [5, 10]}}, {}, "train.grid.keep.every", "cannot be swept"),
    ],
)
def test_weights_that_no_run_keeps_are_refused(
    tmp_path: Path, train: dict[str, Any], sample: dict[str, Any], place: str, value: str
) -> None:
    with pytest.raises(InputError) as caught:
        make(tmp_path, TRAIN | train, **sample)
    assert place in str(caught.value)
    assert value in str(caught.value)


# ── The best step ───────────────────────────────────────────────────────────────────────────────

BEST = {"best_step": {"measure": "frechet_pixels", "count": 6}}
STEPS = [10, 20, 30]


def test_the_best_step_is_chosen_and_measured_again_on_fresh_samples(
    trained: Path, tmp_path: Path
) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    plan = make(tmp_path, grid={"training_step": [10, "best"]}, **BEST)
    run, best = plan.runs[0], plan.settings[1]
    reference(plan, "digits", "pixels")
    sweep(plan, run.id, "1-of-1")

    steps = step_plan(plan, run, best)
    assert [each.sample.training_step for each in steps.settings] == STEPS
    files = [plan.paths.metrics(run.id, each.id) for each in steps.settings]
    values = [xr.load_dataset(file)["frechet_pixels"].item() for file in files]
    (file,) = (plan.paths.results / "halving").glob("*/8.json")
    written = json.loads(file.read_text())["configurations"]
    assert [each["value"] for each in written] == sorted(values)
    step = STEPS[values.index(min(values))]
    manifest = json.loads(plan.paths.samples_manifest(run.id, best.store).read_text())
    weights = plan.paths.weights(run.id, "" if step == 30 else f"step={step}")
    assert manifest["weights_sha256"] == sha256_of(weights)
    stores = [plan.paths.samples(run.id, s.store) for s in (best, *steps.settings)]
    seeds = [xr.open_zarr(store, consolidated=False)["chunk_seed"].item(0) for store in stores]
    assert seeds[0] != seeds[1]
    assert len(set(seeds[1:])) == 1

    data = collect(plan, collect_jobs(plan))
    sampling = data.tree["sampling"].to_dataset()
    at = sampling.sel(training_step="best")
    assert at["chosen_training_step"].item() == step
    assert at["chosen_step_value"].item() == min(values)
    fresh = xr.load_dataset(plan.paths.metrics(run.id, best.id))["frechet_pixels"].item()
    assert at["frechet_pixels"].item() == fresh != min(values)
    assert np.isnan(sampling["chosen_training_step"].sel(training_step="10").item())
    (row,) = best_step_rows(plan, wide_table(data))
    assert [row["step"], row["count"], row["fresh_count"]] == [str(step), "6", "8"]
    assert sampling["chosen_step_value"].attrs["note"] == "frechet_pixels of 6 samples"
    assert [row["chosen_by"], row["fresh"]] == [*map(format_number, (min(values), fresh))]

    assert not [each for each in examine_results(plan).due if each.rule != "report"]
    assert "unnamed" not in {each.kind for each in find_removable(plan)}
    before = find_best_step(plan, run, best)
    file.unlink()
    after = find_best_step(plan, run, best)
    assert repr(after and after.configurations) == repr(before and before.configurations)
    files[0].unlink()
    assert examine_results(plan)["evaluate", run.id, best.id].is_due


def test_a_step_that_cannot_be_measured_is_named_and_the_others_are_measured(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    plan = make(tmp_path, training_step="best", **BEST)
    run, best = plan.runs[0], plan.settings[0]
    reference(plan, "digits", "pixels")
    broken = load_network(plan.paths.run(run.id), training_step=10)
    for parameter in broken.parameters():
        parameter.fill_(np.nan)
    save_network(plan.paths.weights(run.id, "step=10"), broken, run.train.network)
    with pytest.raises(RunError):
        sweep(plan, run.id, "1-of-1")
    assert "1 of 3 cannot be measured: 10 (step 10: " in " ".join(capsys.readouterr().err.split())
    files = [plan.paths.metrics(run.id, s.id) for s in step_plan(plan, run, best).settings]
    assert [file.exists() for file in files] == [False, True, True]
    assert not plan.paths.metrics(run.id, best.id).exists()


@pytest.mark.parametrize(
    ("sample", "place", "value"),
    [
        ({"training_step": "best"}, "sample.best_step: null", "measure"),
        (BEST, "sample.best_step", "no effect"),
        (
            BEST | {"training_step": "best", "best_step": {"measure": "fid", "count": 6}},
            "sample.best_step.measure: fid",
            "frechet_pixels",
        ),
        (
            BEST
            | {"training_step": "best"}
            | {"halving": {"measure": "frechet_pixels", "counts": [4], "keep": 0.5}},
            "sample.training_step: best",
            "halving",
        ),
        ({"training_step": "last"}, "sample.training_step: 'last'", "best"),
        (
            BEST | {"grid": {"training_step": [10, "best"], "best_step.count": [4, 6]}},
            "best_step.count",
            "cannot be swept",
        ),
    ],
)
def test_a_best_step_that_cannot_be_chosen_is_refused(
    tmp_path: Path, sample: dict[str, Any], place: str, value: str
) -> None:
    with pytest.raises(InputError) as caught:
        make(tmp_path, **sample)
    assert place in str(caught.value)
    assert value in str(caught.value)
