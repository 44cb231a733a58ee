"""Checks before the first step of a training."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.rules.train import train_here
from scoresweep.pipeline.study.methods.samplers import AnnealedLangevin, Consistent
from scoresweep.pipeline.system.job_state import JobState
from scoresweep.pipeline.training import setup

LADDER = {"name": "geometric", "sigma_max": "max_distance", "sigma_min": 0.1, "levels": 5}

pytestmark = pytest.mark.usefixtures("fresh_process")


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        (Consistent(name="consistent", step_size=0.001), r"step_size: 0\.001: "),
        (
            AnnealedLangevin(name="annealed_langevin", step_rule="linear", step_size=2.0),
            "step_size: 2: .*'linear'",
        ),
    ],
)
def test_a_setting_that_does_not_fit_a_measured_ladder_fails_before_the_first_step(
    make_plan, sampler, message
):
    plan = make_plan(noise=LADDER, grid={})
    run, fitting = plan.runs[0], plan.settings[0]
    assert list(sampler.problems(run.train.noise)) == []  # unknown to the plan
    wrong = replace(
        fitting, id="wrong", sample=fitting.sample.model_copy(update={"sampler": sampler})
    )
    named = rf"sample\.sampler: setting wrong does not fit run {run.id}: .*{message}"
    with pytest.raises(InputError, match=named):
        train_here(run, plan.paths, Resources(), settings=[fitting, wrong])
    state = JobState.read(plan.paths.progress(run.id))
    assert (state.state, state.step) == ("failed", 0)
    assert not plan.paths.checkpoints(run.id).exists()
    assert not plan.paths.weights(run.id).exists()


def test_the_failure_of_a_process_other_than_the_main_one_is_recorded(make_plan, monkeypatch):
    """The main process also fails, with an error that does not name the reason."""
    plan = make_plan(precision="fp16", grid={})
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(InputError, match=r"train.precision: 'fp16': CPU") as raised:
        train_here(plan.runs[0], plan.paths, Resources())
    state = JobState.read(plan.paths.progress(plan.runs[0].id))
    assert (state.state, state.message) == ("failed", str(raised.value))


def test_a_network_that_does_not_fit_into_memory_is_a_recorded_failure(make_plan, monkeypatch):
    def build(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(setup, "make_trainer", build)
    plan = make_plan(grid={})
    with pytest.raises(RunError, match=r"do not fit into memory: make train\.network smaller"):
        train_here(plan.runs[0], plan.paths, Resources())
    assert JobState.read(plan.paths.progress(plan.runs[0].id)).state == "failed"
