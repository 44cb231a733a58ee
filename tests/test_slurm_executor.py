"""The executor `scoresweep-slurm`: what it adds to the SLURM executor of Snakemake."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import snakemake_executor_plugin_slurm as parent
from snakemake_interface_common.exceptions import WorkflowError
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

import snakemake_executor_plugin_scoresweep_slurm as plugin


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one each time the executor waits until SLURM answers."""
    calls: list[int] = []
    monkeypatch.setattr(plugin, "wait_for_slurm", lambda: calls.append(1))
    return calls


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, waits: list[int]) -> Any:
    """Check jobs "a", "b", "c" once; return those that are still active, and the executor.

    `outcomes` maps a job to what the parent class finds: "live", "success" or "error".
    """

    async def parents_check(self: Any, active_jobs: list[str]) -> Any:
        for job in active_jobs:
            if self.outcomes.get(job) == "live":
                yield job
            elif job in self.outcomes:
                getattr(self, f"report_job_{self.outcomes[job]}")(job)
        self._next_seconds_between_status_checks = self.pause

    monkeypatch.setattr(parent.Executor, "check_active_jobs", parents_check)
    for report in ("report_job_success", "report_job_error"):
        monkeypatch.setattr(parent.Executor, report, lambda self, job: None)

    def once(outcomes: dict[str, str], jobs: str = "abc", pause: int = 40) -> tuple[list[str], Any]:
        executor = object.__new__(plugin.Executor)
        executor._reported, executor.outcomes, executor.pause = set(), outcomes, pause

        async def collect() -> list[str]:
            return [job async for job in executor.check_active_jobs(list(jobs))]

        return asyncio.run(collect()), executor

    return once


def test_jobs_without_an_answer_stay_active(check: Any, waits: list[int]) -> None:
    assert check({})[0] == ["a", "b", "c"]
    assert waits


def test_ended_jobs_do_not_stay_active(check: Any) -> None:
    assert check({"a": "success", "b": "live", "c": "error"})[0] == ["b"]
    assert check({"a": "success", "b": "success", "c": "error"})[0] == []


def test_without_jobs_slurm_is_not_asked(check: Any, waits: list[int]) -> None:
    assert check({}, jobs="")[0] == []
    assert not waits


def test_jobs_are_checked_at_least_once_a_minute(check: Any) -> None:
    assert check({}, pause=180)[1].next_seconds_between_status_checks == 60
    assert check({}, pause=40)[1].next_seconds_between_status_checks == 40


def test_the_last_minimum_job_age_is_remembered() -> None:
    ask = plugin.remember_last(iter([None, 300, None, 200]).__next__)
    assert [ask() for _ in range(4)] == [None, 300, 300, 200]


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Any:
    """Set up an executor with the given settings."""
    monkeypatch.setenv("SQUEUE_ALL", "")
    monkeypatch.setattr("sys.argv", ["snakemake", "--cores", "1"])
    monkeypatch.setattr(parent, "get_min_job_age", parent.get_min_job_age)
    monkeypatch.setattr(parent, "get_max_array_size", lambda: 1000)
    monkeypatch.setattr(parent.atexit, "register", lambda function: None)
    monkeypatch.setattr(parent, "validate_status_command_settings", lambda *arguments: None)
    monkeypatch.chdir(tmp_path)

    def make(**settings: Any) -> Any:
        made = object.__new__(plugin.Executor)
        options = plugin.ExecutorSettings(status_command="squeue", **settings)
        made.workflow = SimpleNamespace(executor_settings=options)
        made.logger = SimpleNamespace(info=print, warning=print, debug=print, error=print)
        made.__post_init__()
        return made

    return make


def test_default_account_and_partition_are_left_to_slurm(executor: Any) -> None:
    made, job = executor(), SimpleNamespace(resources={})
    assert next(made.get_account_arg(job)) == ""
    assert made.get_partition_arg(job) == ""


def test_the_snakefile_gets_the_name_of_the_jobs(executor: Any) -> None:
    made = executor()
    assert made.workflow.executor_settings.run_uuid == made.run_uuid
    assert made.workflow.executor_settings.pass_command_as_script


def test_arrays_are_refused(executor: Any) -> None:
    with pytest.raises(WorkflowError, match="scoresweep-slurm-array-jobs: sample: "):
        executor(array_jobs="sample")


def test_options_of_the_parent_are_refused(executor: Any, monkeypatch: Any) -> None:
    """They would have no effect."""
    arguments = ["--cores", "1", "--slurm-qos", "long", "--slurm-requeue"]
    monkeypatch.setattr("sys.argv", ["snakemake", *arguments])
    with pytest.raises(WorkflowError, match="--slurm-requeue, --slurm-qos: "):
        executor()


@pytest.mark.parametrize("version", ["2.9.0", "2.10", "3.0.1"])
def test_an_untested_parent_is_refused(version: str) -> None:
    plugin.check_version("2.8.12")
    with pytest.raises(WorkflowError, match=rf"{version}: .*'snakemake-executor-plugin-slurm<2.9'"):
        plugin.check_version(version)


def test_overridden_methods_exist_in_the_parent() -> None:
    assert callable(parent.get_min_job_age)
    for name in ("check_active_jobs", "report_job_success", "report_job_error"):
        assert callable(getattr(parent.Executor, name))
    assert isinstance(parent.Executor.next_seconds_between_status_checks, property)


def test_snakemake_finds_it() -> None:
    found = ExecutorPluginRegistry().get_plugin("scoresweep-slurm")
    assert found.executor is plugin.Executor
    assert found.get_cli_arg("status_command") == "--scoresweep-slurm-status-command"
