"""What is looked at before a run is trained."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.rules.train import train, train_here
from scoresweep.pipeline.study.methods.samplers import AnnealedLangevin, Consistent
from scoresweep.pipeline.system.job_state import JobState

LADDER = {"name": "geometric", "sigma_max": "max_distance", "sigma_min": 0.1, "levels": 5}


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
def test_a_setting_that_does_not_fit_the_ladder_of_the_data_ends_a_run_before_any_step(
    make_plan, sampler, message
):
    plan = make_plan(noise=LADDER, grid={})
    run, fitting = plan.runs[0], plan.settings[0]
    assert list(sampler.problems(run.train.noise)) == []  # which the plan does not know
    wrong = replace(
        fitting, id="wrong", sample=fitting.sample.model_copy(update={"sampler": sampler})
    )
    named = rf"sample\.sampler: setting wrong does not fit run {run.id}: .*{message}"
    with pytest.raises(InputError, match=named):
        train(replace(plan, settings=[fitting, wrong]), run.id, Resources())
    state = JobState.read(plan.paths.progress(run.id))
    assert (state.state, state.step) == ("failed", 0)
    assert not plan.paths.checkpoints(run.id).exists()
    assert not plan.paths.weights(run.id).exists()


def test_the_failure_of_a_process_that_is_not_the_first_is_noted(make_plan, monkeypatch):
    """The first one ends by what it is waiting for, which says nothing of the reason."""
    plan = make_plan(precision="fp16", grid={})
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(InputError, match=r"train.precision: 'fp16': CPU") as raised:
        train_here(plan.runs[0], plan.paths, Resources())
    state = JobState.read(plan.paths.progress(plan.runs[0].id))
    assert (state.state, state.message) == ("failed", str(raised.value))
