"""How a job ended, from the files that its processes left behind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit.core.utils import JobPaths, pickle_load

from scoresweep.pipeline.cluster.task import ReportedError
from scoresweep.pipeline.errors import InputError, RunError, ScoresweepError

__all__ = ["JobFailure", "job_failure", "job_succeeded"]

LINES_OF_LOG = 30
FATAL = "Fatal Python error"
"""Logged by `faulthandler` for every deadly signal but SIGKILL (a segmentation fault, an abort)."""


@dataclass(frozen=True)
class JobFailure:
    """Work that came to no end."""

    message: str
    """What is known, with the end of a log."""
    crashed: bool
    """Whether it ended with an unexpected exception."""
    killed: bool = False
    """Whether a process ended without any error, as one that receives SIGKILL does."""


def job_succeeded(logs: Path, job_id: str, tasks: int) -> bool:
    """Return whether every process of a job has come to its end without an error."""
    results = _results(logs, job_id, tasks)
    return len(results) == tasks and all(result == ("success", None) for result in results.values())


def job_failure(logs: Path, job_id: str, tasks: int) -> JobFailure | None:
    """Return how the work of a job was lost; None if it succeeded.

    Raises what a process raised where that is a `ScoresweepError`. A process that was killed takes
    the others with it: their exceptions are only the consequence.
    """
    results = _results(logs, job_id, tasks)
    for _, result in results.values():
        if isinstance(result, ReportedError):
            error: type[ScoresweepError] = InputError if result.exit_code == 2 else RunError
            raise error(result.message)
    silent = [rank for rank in range(tasks) if rank not in results]
    if silent:
        log = _end_of_log(JobPaths(logs, job_id, silent[0]))
        message = f"A process ended without a result; its log {log}"
        return JobFailure(message, crashed=False, killed=FATAL not in log)
    wrong = [JobPaths(logs, job_id, rank) for rank, (kind, _) in results.items() if kind == "error"]
    if wrong:
        first = min(wrong, key=lambda paths: paths.result_pickle.stat().st_mtime)
        return JobFailure(f"A process failed; its log {_end_of_log(first)}", crashed=True)
    return None


def _results(logs: Path, job_id: str, tasks: int) -> dict[int, tuple[str, Any]]:
    """Return rank to result, of the processes that left one.

    The folder is listed: a network file system may go on for a minute to deny a file that it was
    asked for by name before it was there.
    """
    there = {path.name for path in logs.iterdir()} if logs.exists() else set()
    files = {rank: JobPaths(logs, job_id, rank).result_pickle for rank in range(tasks)}
    return {rank: pickle_load(file) for rank, file in files.items() if file.name in there}


def _end_of_log(paths: JobPaths) -> str:
    """Return the name and the last lines of a process's log."""
    if not paths.stdout.exists():
        return f"{paths.stdout} does not exist"
    lines = paths.stdout.read_text(encoding="utf-8", errors="replace").splitlines()
    return f"{paths.stdout} ends with:\n" + "\n".join(lines[-LINES_OF_LOG:])
