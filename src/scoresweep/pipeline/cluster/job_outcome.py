"""How a job ended, from the result files of its processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit.core.utils import JobPaths, pickle_load

from scoresweep.pipeline.cluster.task import ReportedError
from scoresweep.pipeline.errors import InputError, RunError, ScoresweepError

__all__ = ["JobFailure", "job_failure", "job_succeeded"]

LOG_LINES = 30
FATAL = "Fatal Python error"
"""Logged by `faulthandler` for every fatal signal except SIGKILL, such as a segmentation fault."""


@dataclass(frozen=True)
class JobFailure:
    """A job that did not finish."""

    message: str
    """The cause as far as known, with the end of a log."""
    crashed: bool
    """Whether it ended with an unexpected exception."""
    killed: bool = False
    """Whether a process ended without any error, as one that receives SIGKILL does."""


def job_succeeded(logs: Path, job_id: str, tasks: int) -> bool:
    """Return whether every process of a job finished without an error."""
    results = _results(logs, job_id, tasks)
    return len(results) == tasks and all(result == ("success", None) for result in results.values())


def job_failure(logs: Path, job_id: str, tasks: int) -> JobFailure | None:
    """Return why a job did not finish; None if it succeeded.

    Raises the `ScoresweepError` that a process raised. If a process was killed, exceptions of the
    others are only a consequence.
    """
    results = _results(logs, job_id, tasks)
    for _, result in results.values():
        if isinstance(result, ReportedError):
            error: type[ScoresweepError] = InputError if result.exit_code == 2 else RunError
            raise error(result.message)
    ended = [rank for rank in range(tasks) if rank not in results]
    if ended:
        log = _end_of_log(JobPaths(logs, job_id, ended[0]))
        message = f"A process ended without a result; its log {log}"
        return JobFailure(message, crashed=False, killed=FATAL not in log)
    failed = [
        JobPaths(logs, job_id, rank) for rank, (kind, _) in results.items() if kind == "error"
    ]
    if failed:
        first = min(failed, key=lambda paths: paths.result_pickle.stat().st_mtime)
        return JobFailure(f"A process failed; its log {_end_of_log(first)}", crashed=True)
    return None


def _results(logs: Path, job_id: str, tasks: int) -> dict[int, tuple[str, Any]]:
    """Return the results by rank, of the processes that wrote one.

    Lists the folder: a network file system may cache for a minute that a file does not exist.
    """
    existing = {path.name for path in logs.iterdir()} if logs.exists() else set()
    files = {rank: JobPaths(logs, job_id, rank).result_pickle for rank in range(tasks)}
    return {rank: pickle_load(file) for rank, file in files.items() if file.name in existing}


def _end_of_log(paths: JobPaths) -> str:
    """Return the path and the last lines of a process's log."""
    if not paths.stdout.exists():
        return f"{paths.stdout} does not exist"
    lines = paths.stdout.read_text(encoding="utf-8", errors="replace").splitlines()
    return f"{paths.stdout} ends with:\n" + "\n".join(lines[-LOG_LINES:])
