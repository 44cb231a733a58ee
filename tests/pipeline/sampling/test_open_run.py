"""Samples of an opened run are those of the study, which version 0.1.0 drew."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

import scoresweep
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.sampling.open_run import OpenRun
from scoresweep.pipeline.sampling.sample_store import read_samples, sample_array
from scoresweep.pipeline.study import Plan, load_study, plan_study
from scoresweep.samplers import initial_samples, langevin
from scoresweep.seeds import generator_for

ARCHIVE = Path(__file__).parents[2] / "compatibility" / "finished_study.zip"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    shutil.unpack_archive(ARCHIVE, tmp_path)
    return plan_study(load_study(str(tmp_path / "study.yaml")), str(tmp_path))


@pytest.fixture
def run(plan: Plan) -> OpenRun:
    return scoresweep.open_run(str(plan.paths.run(plan.runs[1].id)))


@pytest.mark.parametrize("named", [False, True])
def test_samples_are_those_of_the_study(plan: Plan, run: OpenRun, named: bool) -> None:
    for setting in plan.settings:
        store = plan.paths.samples(plan.runs[1].id, setting.store)
        step_size = setting.sample.sampler.arguments()["step_size"]
        options = {"setting": setting.id[-8:]} if named else {"step_size": step_size}
        found = run.sample(45, **options)
        assert (found.shape, found.dtype) == ((45, 1, 8, 8), torch.float32)
        np.testing.assert_array_equal(sample_array(found), read_samples(store).values[:45])


def test_another_sampler_has_no_options_of_the_first(run: OpenRun) -> None:
    found = run.sample(3, sampler="langevin", step_size=1e-3, steps=2, seed=7, chunk=5)
    generator = generator_for(7, "sample", 0)
    start = initial_samples("uniform", 5, run.shape, sigma_max=8.0, generator=generator)
    options = {"step_size": 1e-3, "steps": 2, "generator": generator}
    expected = langevin(run.score, start, run.noise.double(), **options)
    assert torch.equal(found, expected[:3])
    assert run.noise.tolist() == pytest.approx(np.geomspace(8.0, 0.1, 5))


def test_an_option_in_which_settings_differ_must_be_given(run: OpenRun) -> None:
    with pytest.raises(InputError, match=r"step_size: .*0\.002, 0\.004"):
        run.sample(2)
    with pytest.raises(InputError, match=r"stepsize: 1: is not a known key.*'step_size'"):
        run.sample(2, step_size=2e-3, stepsize=1)
    with pytest.raises(InputError, match=r"step_size: -1"):
        run.sample(2, step_size=-1)
    with pytest.raises(InputError, match=r"step_size=0\.002"):
        run.sample(2, setting="step_size=0.003_00000000")
    with pytest.raises(InputError, match="training_step: 40: is not kept"):
        run.sample(2, step_size=2e-3, training_step=40)
    with pytest.raises(InputError, match="count: 0"):
        run.sample(0, step_size=2e-3)


def test_a_copy_of_a_run_elsewhere_draws_the_same(run: OpenRun, tmp_path: Path) -> None:
    copy = scoresweep.open_run(shutil.copytree(run.folder, tmp_path / "copy"))
    expected = run.sample(2, step_size=2e-3)
    options = {"step_size": 2e-3, "steps_per_level": 2}
    assert torch.equal(copy.sample(2, sampler="annealed_langevin", chunk=20, **options), expected)
    block = {"name": "annealed_langevin", **options}
    assert torch.equal(copy.sample(1, sampler=block, chunk=20), expected[:1])
    with pytest.raises(InputError, match="sampler: is missing"):
        copy.sample(2)


def test_weights_of_a_kept_step_draw_the_samples(run: OpenRun, tmp_path: Path) -> None:
    config = run.config | {"train": run.config["train"] | {"keep": {"every": 40}}}
    kept = run.folder / "kept" / "step=40"
    kept.mkdir(parents=True)
    (run.folder / "config.yaml").write_text(yaml.safe_dump(config))
    other = next(path for path in run.folder.parent.iterdir() if path != run.folder)
    shutil.copy(other / "model.safetensors", kept)
    options = {"step_size": 2e-3, "seed": 3}
    found = scoresweep.open_run(run.folder).sample(2, training_step=40, **options)
    assert torch.equal(found, scoresweep.open_run(other).sample(2, **options))
    assert not torch.equal(found, run.sample(2, **options))


def test_samples_that_are_not_finite_are_an_error(run: OpenRun) -> None:
    for parameter in run.network.parameters():
        parameter.fill_(torch.nan)
    with pytest.raises(RunError, match="not finite"):
        run.sample(2, step_size=2e-3)


def test_a_folder_without_a_run_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.yaml"):
        scoresweep.open_run(tmp_path)
    (tmp_path / "config.yaml").write_text("train: 3\n")
    with pytest.raises(InputError, match="expected the blocks"):
        scoresweep.open_run(tmp_path)
