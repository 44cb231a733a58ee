"""A SLURM job, submitted through submitit and found again after a crash.

A job outlives the process that submitted it. Its unique name is written to disk before it is
submitted. A later process looks up that name in the queue and waits for the same job, so that a run
never has two jobs.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import submitit

from scoresweep.pipeline.cluster.environment import submission_environment
from scoresweep.pipeline.cluster.job_outcome import job_succeeded
from scoresweep.pipeline.cluster.job_record import JobRecord
from scoresweep.pipeline.cluster.resources import Resources
from scoresweep.pipeline.cluster.squeue import REMEDIES, is_live, query_jobs, wait_for_slurm
from scoresweep.pipeline.cluster.task import Task
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.pipeline.system.console import say

__all__ = ["SlurmJob", "reattach", "submit"]

SECONDS_BETWEEN_POLLS = 1.0
"""Between checks of a job's result files."""
SECONDS_BETWEEN_QUERIES = (2.0, 30.0)
"""Between queries of SLURM: at first, and at most, after a long time without a change."""
SECONDS_TO_SETTLE = 10.0
"""After a job has ended, until it is final: it may be requeued, and files may appear late."""
GONE = "GONE"
"""State of a job that the queue no longer lists, some minutes after its end."""
SECONDS_TO_STOP = 90
"""Before its time limit, when a job is signalled to save; less if the limit is short."""

TRANSIENT_SBATCH_ERRORS = (
    *("Unable to contact slurm controller", "Socket timed out", "Connection timed out"),
    *("Connection refused", "Transport endpoint", "Zero Bytes were transmitted"),
    *("temporarily unable to accept job", "in standby mode", "MaxSubmitJob"),
)
"""Errors of `sbatch` that are retried."""
SECONDS_BEFORE_RETRY = (5.0, 60.0)
"""Before another `sbatch`: at first, and at most."""


@dataclass(frozen=True)
class SlurmJob:
    """A submitted job."""

    record: JobRecord
    path: Path
    """Path of the record."""
    logs: Path

    @property
    def job_id(self) -> str:
        """SLURM's job id."""
        assert self.record.job_id is not None
        return self.record.job_id

    @property
    def tasks(self) -> int:
        """Number of processes."""
        return self.record.tasks

    @property
    def name(self) -> str:
        """Name of the job in messages."""
        return f"SLURM job {self.job_id}"

    def wait(self, watch: Callable[[], None]) -> str:
        """Wait for the end and return SLURM's state; the job continues if this is interrupted.

        Raises `RunError` if the job was cancelled.
        """
        try:
            state = self._wait_for_end(watch)
        except (KeyboardInterrupt, SystemExit):
            say(
                f"{self.name} continues ({self.record.name}). The same command waits for it again; "
                f"`scoresweep cancel` with the study file stops it."
            )
            raise
        if state == "CANCELLED" or (state == GONE and not self._is_on_record()):
            raise RunError(
                f"{self.name} was cancelled; the same command resumes from its last checkpoint"
            )
        return state

    def _wait_for_end(self, watch: Callable[[], None]) -> str:
        shortest, longest = SECONDS_BETWEEN_QUERIES
        last, pause, due, ended = "", shortest, 0.0, 0.0
        while not job_succeeded(self.logs, self.job_id, self.tasks):
            watch()
            time.sleep(SECONDS_BETWEEN_POLLS)
            if time.monotonic() < due:
                continue
            state, news = self._query()
            if news != last:
                say(f"{self.name}: {news}")
                last, pause = news, shortest
            due, pause = time.monotonic() + pause, min(longest, pause * 1.5)
            if is_live(state):
                ended = 0.0
                continue
            ended = ended or time.monotonic()
            due = min(due, ended + SECONDS_TO_SETTLE)
            if state == "CANCELLED" or time.monotonic() - ended >= SECONDS_TO_SETTLE:
                return state
        return "COMPLETED"

    def _is_on_record(self) -> bool:
        """Return whether the record still names this job; `scoresweep cancel` deletes it."""
        record = JobRecord.read(self.path)
        return record is not None and record.name == self.record.name

    def _query(self) -> tuple[str, str]:
        """Return the job's state and a message about it."""
        jobs = query_jobs(self.record.name)
        if jobs is None:
            return "PENDING", "SLURM does not answer; waiting"
        if not jobs:
            return GONE, "no longer in the queue"
        job = jobs[0]
        detail = job.nodes or REMEDIES.get(job.reason, job.reason if job.reason != "None" else "")
        return job.state, f"{job.state} {detail}".strip()


def reattach(path: Path, logs: Path, task: Task) -> SlurmJob | None:
    """Return the job on record at `path` if it is queued or running; its task is `task`."""
    record = JobRecord.read(path)
    if record is None:
        return None
    if shutil.which("squeue") is None:
        raise InputError(
            f"{path}: names a SLURM job, but this machine has no `squeue`; expected a machine of "
            f"that cluster. If the job has ended, remove the file"
        )
    live = [job for job in wait_for_slurm(record.name) if is_live(job.state)]
    if not live:
        return None
    record = dataclasses.replace(record, job_id=live[0].job_id)
    record.write(path)
    _write_task_if_missing(task, logs, live[0].job_id)
    return SlurmJob(record, path, logs)


def _write_task_if_missing(task: Task, logs: Path, job_id: str) -> None:
    """Write the pickled task that the job reads, if the submitting process died before it did.

    submitit renames that file only when `sbatch` has returned the job id.
    """
    path = submitit.core.utils.JobPaths(logs, job_id).submitted_pickle
    if not path.exists():
        with atomic_write(path) as temporary:
            submitit.core.utils.DelayedSubmission(task).dump(temporary)


def submit(task: Task, resources: Resources, logs: Path, title: str, path: Path) -> SlurmJob:
    """Submit `task` as a SLURM job, with its record at `path`.

    Raises `InputError` with SLURM's message if SLURM rejects the job.
    """
    pause, longest = SECONDS_BEFORE_RETRY
    while True:
        # A new name each time: a job that was submitted after all finds that it was
        # replaced (`RunOwnership`).
        record = JobRecord.new(title, resources.tasks)
        executor = _executor(resources, logs, record.name)
        record.write(path)
        try:
            with submission_environment(_batch_options(executor)):
                job = executor.submit(task)
        except submitit.core.utils.FailedJobError as error:
            if submitted := reattach(path, logs, task):  # only the answer was lost
                return submitted
            if not any(words in str(error) for words in TRANSIENT_SBATCH_ERRORS):
                path.unlink()
                raise InputError(f"SLURM rejected the job: {_last_line(error)}") from None
            say(f"SLURM did not accept the job: {_last_line(error)}; trying again")
            time.sleep(pause)
            pause = min(longest, 2 * pause)
            continue
        record = dataclasses.replace(record, job_id=job.job_id)
        record.write(path)
        return SlurmJob(record, path, logs)


def _executor(resources: Resources, logs: Path, name: str) -> submitit.SlurmExecutor:
    options = _options(resources.extra)
    executor = submitit.SlurmExecutor(folder=logs)
    executor.update_parameters(
        job_name=name,
        nodes=resources.nodes,
        ntasks_per_node=resources.processes,
        cpus_per_task=resources.threads,
        gpus_per_node=None if "gres" in options else resources.gpus or None,
        time=resources.minutes,
        # The time between the signal and the limit must leave most of the job for work.
        signal_delay_s=min(SECONDS_TO_STOP, 15 * resources.minutes),
        mem=f"{resources.memory_mb}M" if resources.memory_mb else None,
        partition=resources.partition,
        account=resources.account,
        wckey=None,  # sites that check keys would reject submitit's default
        stderr_to_stdout=True,
        # End the job if one process dies; pass on the cores, which newer versions of srun do not
        # inherit, and submitit's variables.
        srun_args=[
            *("--kill-on-bad-exit=1", f"--cpus-per-task={resources.threads}", "--export=ALL")
        ],
        additional_parameters={
            "distribution": "block",  # same order of ranks at all sites
            "export": "ALL",
            "requeue": True,
            **options,
        },
    )
    return executor


def _batch_options(executor: submitit.SlurmExecutor) -> set[str]:
    """Return the names of the options in the batch file."""
    text = executor._make_submission_file_text("", "")
    return set(re.findall(r"^#SBATCH --([\w-]+)", text, re.MULTILINE))


def _options(extra: str) -> dict[str, str | bool]:
    """Parse options written as on a command line."""
    options: dict[str, str | bool] = {}
    for word in shlex.split(extra):
        name, equals, value = word.partition("=")
        if not name.startswith("--") or name == "--":
            raise InputError(
                f"extra: {word!r}: expected options of sbatch in the form --name=value or --name"
            )
        options[name[2:]] = value if equals else True
    return options


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__
