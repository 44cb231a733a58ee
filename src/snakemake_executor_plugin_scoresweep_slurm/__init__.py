"""Snakemake executor `scoresweep-slurm`: the SLURM executor, made robust against outages.

It differs from `slurm` (snakemake-executor-plugin-slurm 2.8.0) in these points:

- While SLURM does not answer, it waits. `slurm` gives up after a number of attempts, then no longer
  tracks the jobs that it submitted, and never ends.
- It checks its jobs at least once a minute. The interval of `slurm` grows to three minutes, and the
  queue may drop a job before then.
- It caches how long SLURM keeps ended jobs (`MinJobAge`). `slurm` asks each time; without an
  answer it queries the accounting, which a site may have switched off.
- It leaves the default account and partition to SLURM instead of guessing them.
- It passes commands to `sbatch` as scripts: on a command line, a shell would expand `$` in paths.
- It refuses job arrays
  (https://github.com/snakemake/snakemake-executor-plugin-slurm/issues/447).

All options of `slurm` exist with the prefix `--scoresweep-slurm-`.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, fields
from importlib.metadata import version
from typing import Any, ClassVar

import snakemake_executor_plugin_slurm as slurm
from snakemake.exceptions import WorkflowError
from snakemake_interface_executor_plugins.registry import ExecutorPluginRegistry

from scoresweep.pipeline.cluster.squeue import wait_for_slurm

__all__ = ["Executor", "ExecutorSettings", "common_settings"]

FIRST_UNTESTED = (2, 9)
"""The first version of snakemake-executor-plugin-slurm that this module was not tested with."""

SECONDS_BETWEEN_CHECKS = 60
"""Maximum. SLURM keeps ended jobs for `MinJobAge`, 300 s by default."""

common_settings = slurm.common_settings


@dataclass
class ExecutorSettings(slurm.ExecutorSettings):  # type: ignore[misc]
    """The settings of the SLURM executor."""

    run_uuid: ClassVar[str] = ""
    """Name of all jobs that this `snakemake` submits; set by the executor."""


class Executor(slurm.Executor):  # type: ignore[misc]
    """Submit jobs to SLURM and track them, even if SLURM does not answer for a while."""

    def __init__(self, workflow: Any, logger: Any) -> None:
        self._reported: set[int] = set()  # before the parent starts the thread that checks jobs
        super().__init__(workflow, logger)

    def __post_init__(self, test_mode: bool = False) -> None:
        """Check the version and the options, then set up the parent."""
        check_version(version("snakemake-executor-plugin-slurm"))
        settings = self.workflow.executor_settings
        if settings.array_jobs:
            raise WorkflowError(
                f"scoresweep-slurm-array-jobs: {settings.array_jobs}: job arrays are not "
                f"supported; remove this option from the profile or the command line"
            )
        if ignored := options_of_parent():
            raise WorkflowError(
                f"{', '.join(ignored)}: the executor scoresweep-slurm ignores options of the "
                f"executor slurm; write --scoresweep-slurm-... instead (in a profile: "
                f"scoresweep-slurm-...)"
            )
        settings.pass_command_as_script = True
        os.environ["SQUEUE_ALL"] = "1"  # show jobs in hidden partitions
        slurm.get_min_job_age = remember_last(slurm.get_min_job_age)
        super().__post_init__(test_mode)
        type(settings).run_uuid = self.run_uuid
        self._fallback_account_arg = self._fallback_partition = ""

    def report_job_success(self, job_info: Any) -> None:
        """Report a job that has succeeded."""
        self._reported.add(id(job_info))
        super().report_job_success(job_info)

    def report_job_error(self, job_info: Any, *arguments: Any, **options: Any) -> None:
        """Report a job that has failed."""
        self._reported.add(id(job_info))
        super().report_job_error(job_info, *arguments, **options)

    async def check_active_jobs(self, active_jobs: list[Any]) -> AsyncIterator[Any]:
        """Check the jobs; yield all that have neither succeeded nor failed."""
        if active_jobs:
            wait_for_slurm()
        self._reported.clear()
        async for _ in super().check_active_jobs(active_jobs):
            pass  # without an answer the parent yields nothing
        pause = self.next_seconds_between_status_checks  # type: ignore[has-type]
        self.next_seconds_between_status_checks = min(pause, SECONDS_BETWEEN_CHECKS)
        for job in active_jobs:
            if id(job) not in self._reported:
                yield job


def check_version(found: str) -> None:
    """Raise `WorkflowError` if the parent class may have changed."""
    if tuple(int(part) for part in found.split(".")[:2]) >= FIRST_UNTESTED:
        bound = ".".join(map(str, FIRST_UNTESTED))
        raise WorkflowError(
            f"snakemake-executor-plugin-slurm {found}: expected a version before {bound}; run "
            f"`pip install 'snakemake-executor-plugin-slurm<{bound}'`. To support it, compare its "
            f"Executor with {__file__}, run `make test-all`, then raise FIRST_UNTESTED"
        )


def options_of_parent() -> list[str]:
    """Return the options of the executor `slurm` that were given: they have no effect here."""
    from snakemake.cli import parse_args

    with contextlib.redirect_stderr(io.StringIO()):  # the profiles have been printed already
        _, arguments = parse_args(sys.argv[1:])
    plugin, default = ExecutorPluginRegistry().get_plugin("slurm"), slurm.ExecutorSettings()
    given = plugin.get_settings(arguments)
    return [
        plugin.get_cli_arg(option.name)
        for option in fields(default)
        if getattr(given, option.name) != getattr(default, option.name)
    ]


def remember_last(ask: Callable[[], int | None]) -> Callable[[], int | None]:
    """Return `ask`, which returns its last answer if there is none."""
    last: int | None = None

    def ask_or_remember() -> int | None:
        nonlocal last
        answer = ask()
        last = last if answer is None else answer
        return last

    return ask_or_remember
