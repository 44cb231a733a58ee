"""Training that is killed or stopped at any moment resumes to the same result."""

import functools
import os
import random
import shutil
import signal
import time

import numpy as np
import pytest
from faults.processes import die_in, end, finish, start, wait
from faults.run_comparison import assert_same_run, curves
from tiny_study import give_data, tiny_plan

SHORT = {
    "steps": 80,
    "checkpoint": {"steps": 10},
    "log": {"scalars": 10, "image_count": 0},
    "precision": "bf16",
}
CHECKPOINT = "scoresweep.pipeline.training.checkpoint"


@pytest.fixture(scope="module")
def undisturbed(staged, tmp_path_factory):
    """The run on two processes, without any fault."""
    root = tmp_path_factory.mktemp("undisturbed")
    give_data(root, staged)
    return finish(tiny_plan(root, **SHORT))


def checkpoints(plan):
    return plan.paths.checkpoints(plan.runs[0].id)


def also_slow(*seeds):
    return [pytest.param(seed, marks=pytest.mark.slow) for seed in seeds]


@pytest.mark.parametrize("seed", [0, 1, *also_slow(2, 3, 4)])
def test_a_process_is_killed_at_a_random_moment(make_plan, undisturbed, seed):
    plan, chance = make_plan(**SHORT), random.Random(seed)
    ranks = start(plan)
    after = checkpoints(plan) / f"step-{10 * chance.randint(0, 6):08d}"
    while not after.exists() and after.name != "step-00000000":
        assert all(rank.is_alive() for rank in ranks)
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.05))
    ranks[seed % 2].kill()
    assert end(ranks)[seed % 2] == -signal.SIGKILL
    assert_same_run(finish(plan), undisturbed)


@pytest.mark.parametrize(
    ("function", "call"),
    [
        # The second file of the fourth checkpoint is half written.
        (f"{CHECKPOINT}.save_safetensors", 4 * 3 + 2),
        pytest.param(f"{CHECKPOINT}._sealed", 1, marks=pytest.mark.slow),
        # A checkpoint is complete but not renamed yet.
        pytest.param(
            "scoresweep.pipeline.system.atomic_files.sync_to_disk", 5, marks=pytest.mark.slow
        ),
        # The new checkpoint is in place, the oldest not deleted yet.
        pytest.param(f"{CHECKPOINT}.prune_checkpoints", 5, marks=pytest.mark.slow),
        ("scoresweep.pipeline.training.weights.save_safetensors", 1),
    ],
)
def test_the_main_process_is_killed_while_it_writes(make_plan, undisturbed, function, call):
    plan = make_plan(**SHORT)
    ranks = start(plan, faults={0: functools.partial(die_in, function, call)})
    assert end(ranks)[0] == -signal.SIGKILL
    assert_same_run(finish(plan), undisturbed)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGUSR2, 3), pytest.param(signal.SIGTERM, 4, marks=pytest.mark.slow)],
)
def test_a_signal_to_one_process_stops_all_at_the_same_step(make_plan, undisturbed, number, code):
    plan = make_plan(**SHORT)
    ranks = start(plan)
    while not (checkpoints(plan) / "step-00000020").exists():
        time.sleep(0.001)
    os.kill(ranks[1].pid, number)
    assert wait(ranks) == [code, code]
    assert_same_run(finish(plan), undisturbed)


@pytest.mark.parametrize("processes", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_a_run_resumes_with_another_number_of_processes(make_plan, undisturbed, processes):
    half, plan = make_plan("half", **SHORT | {"steps": 40}), make_plan("whole", **SHORT)
    finish(half)
    shutil.copytree(half.paths.run(half.runs[0].id), plan.paths.run(plan.runs[0].id))
    plan.paths.weights(plan.runs[0].id).unlink()
    folder = finish(plan, processes)
    ours, theirs = curves(folder), curves(undisturbed)
    assert ours.attrs["restarts"] == 1
    assert ours.attrs["processes"] == processes
    # Another order of sums changes a loss by less than a thousandth of its noise.
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-4)
    np.testing.assert_allclose(ours.level_loss, theirs.level_loss, rtol=1e-3)
    assert ours.step.values.tolist() == theirs.step.values.tolist()
