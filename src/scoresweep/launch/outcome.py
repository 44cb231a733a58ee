"""How a job ended, from the files that its processes left behind."""

from __future__ import annotations

from pathlib import Path

from submitit.core.utils import JobPaths, pickle_load

from scoresweep.errors import InputError, RunError, ScoresweepError
from scoresweep.launch.task import Failure

__all__ = ["lost", "succeeded"]

LINES_OF_LOG = 30


def succeeded(logs: Path, job_id: str, tasks: int) -> bool:
    """Return whether every process of a job has come to its end without an error."""
    return all(
        paths.result_pickle.exists() and pickle_load(paths.result_pickle) == ("success", None)
        for paths in _paths(logs, job_id, tasks)
    )


def lost(logs: Path, job_id: str, tasks: int) -> str | None:
    """Return what is known of a job that died without an answer; None if it succeeded.

    Raises what a process raised where that is a `ScoresweepError`. An exception that no process
    foresaw is a `RunError` with the end of the log, if all processes lived to report theirs: one
    that was killed takes the others with it, and their errors are only the consequence.
    """
    all_paths = _paths(logs, job_id, tasks)
    ended = [paths for paths in all_paths if paths.result_pickle.exists()]
    results = {paths: pickle_load(paths.result_pickle) for paths in ended}
    for _, result in results.values():
        if isinstance(result, Failure):
            error: type[ScoresweepError] = InputError if result.exit_code == 2 else RunError
            raise error(result.message)
    silent = [paths for paths in all_paths if paths not in results]
    if silent:
        return f"a process ended without a result; its log {_end_of_log(silent[0])}"
    wrong = [paths for paths in ended if results[paths][0] == "error"]
    if wrong:
        first = min(wrong, key=lambda paths: paths.result_pickle.stat().st_mtime)
        raise RunError(f"a process failed; its log {_end_of_log(first)}")
    return None


def _paths(logs: Path, job_id: str, tasks: int) -> list[JobPaths]:
    return [JobPaths(logs, job_id, rank) for rank in range(tasks)]


def _end_of_log(paths: JobPaths) -> str:
    """Return the name and the last lines of a process's log."""
    if not paths.stdout.exists():
        return f"{paths.stdout} does not exist"
    lines = paths.stdout.read_text(encoding="utf-8", errors="replace").splitlines()
    return f"{paths.stdout} ends with:\n" + "\n".join(lines[-LINES_OF_LOG:])
