"""Snakemake's executor for SLURM waits where SLURM does not answer."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_slurm import Executor

from scoresweep.pipeline.cluster import patient_executor
from scoresweep.pipeline.cluster.patient_executor import be_patient

AGES: list[int | None] = []


def get_min_job_age() -> int | None:
    return AGES.pop(0)


class OneCheck:
    """What the executor does with its jobs: yields those that live, reports those that ended."""

    next_seconds_between_status_checks = 40

    def __init__(self, live=(), ended=(), failed=()):
        self.live, self.ended, self.failed, self.reported = live, ended, failed, []

    def report_job_success(self, job):
        self.reported.append((job, "success"))

    def report_job_error(self, job, msg=None):
        self.reported.append((job, msg))

    async def check_active_jobs(self, active_jobs):
        for job in self.live:
            yield job
        for job in self.ended:
            self.report_job_success(job)
        for job in self.failed:
            self.report_job_error(job, msg="failed")
        self.next_seconds_between_status_checks += 10


@pytest.fixture(autouse=True)
def waited(monkeypatch):
    """How often SLURM was waited for."""
    calls = []
    monkeypatch.setattr(patient_executor, "wait_for_slurm", lambda: calls.append(1))
    monkeypatch.setattr(sys.modules[__name__], "get_min_job_age", get_min_job_age)
    return calls


def test_no_account_or_partition_is_guessed(monkeypatch):
    """SLURM knows its defaults, and the user's (`SBATCH_PARTITION`)."""
    monkeypatch.setenv("PATH", "/nowhere")  # nothing is asked
    executor, job = OneCheck(), SimpleNamespace(resources={})
    executor._partitions = None
    be_patient(executor)
    assert next(Executor.get_account_arg(executor, job)) == ""
    assert Executor.get_partition_arg(executor, job) == ""


def checked(executor, jobs):
    be_patient(executor)

    async def collect():
        return [job async for job in executor.check_active_jobs(jobs)]

    return asyncio.run(collect())


def test_the_executor_has_what_is_changed_here():
    module = sys.modules[Executor.__module__]
    assert callable(module.get_min_job_age)
    assert callable(Executor.check_active_jobs)
    assert callable(Executor.report_job_success)
    assert callable(Executor.report_job_error)
    assert isinstance(Executor.next_seconds_between_status_checks, property)


def test_jobs_of_which_nothing_was_heard_are_kept(waited):
    assert checked(OneCheck(), ["a", "b"]) == ["a", "b"]
    assert waited


def test_jobs_that_ended_are_not_kept():
    executor = OneCheck(live=["b"], ended=["a"], failed=["c"])
    assert checked(executor, ["a", "b", "c"]) == ["b"]
    assert executor.reported == [("a", "success"), ("c", "failed")]
    assert checked(OneCheck(ended=["a"]), ["a"]) == []
    assert checked(OneCheck(failed=["a"]), ["a"]) == []


def test_nothing_is_asked_where_nothing_runs(waited):
    assert checked(OneCheck(), []) == []
    assert not waited


def test_a_job_is_asked_for_before_slurm_forgets_it():
    executor = OneCheck(live=["a"])
    executor.next_seconds_between_status_checks = 180
    checked(executor, ["a"])
    assert executor.next_seconds_between_status_checks == 60


def test_how_long_slurm_remembers_is_kept_where_it_does_not_answer():
    AGES[:] = [None, 300, None, 200]
    be_patient(OneCheck())
    asked = sys.modules[__name__].get_min_job_age
    assert [asked() for _ in range(4)] == [None, 300, 300, 200]
