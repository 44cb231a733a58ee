"""Tasks of a run, split into batches."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from faked_study import CONTENT, fake_plan

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.batches import (
    SCORE_ERROR,
    check_settings_per_job,
    count_batches,
    find_batch,
    split_into_batches,
    tasks_of,
)

STEPS = [1e-6 * (k + 1) for k in range(40)]


def plan_of(root: Path, **grid: object) -> Plan:
    return fake_plan(root, sample=CONTENT["sample"] | {"grid": grid})


def test_every_task_is_in_one_batch_and_batches_are_even(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, **{"sampler.step_size": STEPS})
    batches = split_into_batches(plan, 2, settings_per_job=7)
    for run in plan.runs:
        names = [batch.name for batch in batches if batch.run == run.id]
        assert names == [f"{k}-of-6" for k in range(1, 7)]
        found = [find_batch(plan, run, name).tasks for name in names]
        assert found == [batch.tasks for batch in batches if batch.run == run.id]
        assert {len(tasks) for tasks in found} == {6, 7}
        tasks = [task for tasks in found for task in tasks]
        assert sorted(tasks) == sorted([SCORE_ERROR, *(setting.id for setting in plan.settings)])


def test_more_batches_than_tasks_leave_some_empty_and_lose_none(tmp_path: Path) -> None:
    plan = fake_plan(tmp_path)
    run = plan.runs[0]
    batches = [find_batch(plan, run, f"{k}-of-99").tasks for k in range(1, 100)]
    assert [task for tasks in batches for task in tasks or ()] == tasks_of(plan, run)


def test_an_added_setting_keeps_the_order_of_the_others(tmp_path: Path) -> None:
    fewer = plan_of(tmp_path, **{"sampler.step_size": STEPS[:-1]})
    plan = plan_of(tmp_path, **{"sampler.step_size": STEPS})
    before, after = tasks_of(fewer, plan.runs[0]), tasks_of(plan, plan.runs[0])
    assert len(after) == len(before) + 1
    assert [task for task in after if task in before] == before
    grid = [setting.id for setting in plan.settings]
    assert after != [*grid, SCORE_ERROR], "neighbours in the grid cost alike"


def test_settings_that_share_a_store_follow_each_other(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, **{"sampler.step_size": STEPS, "count": [10, 1000, 100]})
    tasks = [task for task in tasks_of(plan, plan.runs[0]) if task != SCORE_ERROR]
    found = [plan.setting(task) for task in tasks]
    changes = [one.store for one, other in pairwise(found) if one.store != other.store]
    assert len(changes) == len(STEPS) - 1
    assert [setting.sample.count for setting in found[:3]] == [1000, 100, 10]


@pytest.mark.parametrize(
    ("tasks", "runs", "cores", "size", "batches"),
    [
        (5, 4, 2, None, 1),
        (5, 1, 2, None, 4),
        (5, 1, 16, None, 5),
        (200, 1, 2, None, 4),
        (101, 100, 2, None, 1),
        (101, 100, 1, 25, 5),
        (100, 100, 1, 25, 4),
        (3, 1, 2, 25, 1),
    ],
)
def test_number_of_batches(
    tasks: int, runs: int, cores: int, size: int | None, batches: int
) -> None:
    assert count_batches(tasks, runs, cores, size) == batches


@pytest.mark.parametrize("name", ["", "0-of-3", "4-of-3", "1-of-0", "3", "1 of 3", "-1-of-3"])
def test_a_wrong_name_is_refused(tmp_path: Path, name: str) -> None:
    plan = fake_plan(tmp_path)
    with pytest.raises(InputError, match="--batch"):
        find_batch(plan, plan.runs[0], name)


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", True, None, ""])
def test_a_wrong_size_is_refused(value: object) -> None:
    for size in (1, 25):
        check_settings_per_job(size)
    with pytest.raises(InputError, match="settings_per_job"):
        check_settings_per_job(value)
