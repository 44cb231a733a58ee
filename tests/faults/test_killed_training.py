"""Training that is killed or asked to stop, at any moment, ends as if it had not been."""

import functools
import os
import random
import shutil
import signal
import time

import numpy as np
import pytest
from faults.processes import die_in, end, finish, start, wait
from faults.undisturbed import assert_same_run, curves
from tiny_study import give_data, tiny_plan

LONG = {"steps": 300, "checkpoint": {"steps": 20}, "precision": "bf16"}


@pytest.fixture(scope="module")
def undisturbed(staged, tmp_path_factory):
    """The run on two processes that nothing happened to."""
    root = tmp_path_factory.mktemp("undisturbed")
    give_data(root, staged)
    return finish(tiny_plan(root, **LONG))


def checkpoints(plan):
    return plan.paths.checkpoints(plan.runs[0].id)


@pytest.mark.parametrize("seed", range(5))
def test_a_process_is_killed_at_a_random_moment(make_plan, undisturbed, seed):
    plan, chance = make_plan(**LONG), random.Random(seed)
    ranks = start(plan)
    after = checkpoints(plan) / f"step-{20 * chance.randint(0, 9):08d}"
    while not after.exists() and after.name != "step-00000000":
        assert all(rank.is_alive() for rank in ranks)
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.2))
    ranks[seed % 2].kill()
    assert end(ranks)[seed % 2] == -signal.SIGKILL
    assert_same_run(finish(plan), undisturbed)


WRITING = "scoresweep.pipeline.training.checkpoint"


@pytest.mark.parametrize(
    ("function", "call"),
    [
        (f"{WRITING}.save_safetensors", 4 * 3 + 2),  # the second file of the fourth checkpoint
        (f"{WRITING}._sealed", 1),
        (
            "scoresweep.pipeline.system.atomic_files.sync_to_disk",
            10,
        ),  # a checkpoint has been written, and has no name yet
        (f"{WRITING}.prune_checkpoints", 9),  # the new one is in place, the oldest still there
        ("scoresweep.pipeline.training.weights.save_safetensors", 1),
    ],
)
def test_the_leader_is_killed_while_it_writes(make_plan, undisturbed, function, call):
    plan = make_plan(**LONG)
    ranks = start(plan, faults={0: functools.partial(die_in, function, call)})
    assert end(ranks)[0] == -signal.SIGKILL
    assert_same_run(finish(plan), undisturbed)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGUSR2, 3), (signal.SIGTERM, 4)])
def test_a_signal_to_one_process_stops_all_at_the_same_step(make_plan, undisturbed, number, code):
    plan = make_plan(**LONG)
    ranks = start(plan)
    while not (checkpoints(plan) / "step-00000040").exists():
        time.sleep(0.001)
    os.kill(ranks[1].pid, number)
    assert wait(ranks) == [code, code]
    assert_same_run(finish(plan), undisturbed)


@pytest.mark.parametrize("processes", [1, 4])
def test_a_run_goes_on_with_another_number_of_processes(make_plan, undisturbed, processes):
    half, plan = make_plan("half", **LONG | {"steps": 150}), make_plan("whole", **LONG)
    finish(half)
    shutil.copytree(half.paths.run(half.runs[0].id), plan.paths.run(plan.runs[0].id))
    plan.paths.weights(plan.runs[0].id).unlink()
    folder = finish(plan, processes)
    ours, theirs = curves(folder), curves(undisturbed)
    assert ours.attrs["restarts"] == 1
    assert ours.attrs["processes"] == processes
    # Another order of sums moves a loss by less than a thousandth of what other noise does.
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-4)
    np.testing.assert_allclose(ours.level_loss, theirs.level_loss, rtol=1e-3)
    assert ours.step.values.tolist() == theirs.step.values.tolist()
