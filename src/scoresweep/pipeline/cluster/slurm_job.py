"""Work on nodes of a cluster: submitted to SLURM through submitit, and found again after a crash.

A job outlives the process that submitted it. What it is called is written to disk before it is
submitted; whoever comes later asks SLURM for that name and waits for the same job, so that a run
never has two.
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

from scoresweep.pipeline.cluster.environment import for_submission
from scoresweep.pipeline.cluster.job_outcome import job_succeeded
from scoresweep.pipeline.cluster.job_record import JobRecord
from scoresweep.pipeline.cluster.resources import Resources
from scoresweep.pipeline.cluster.squeue import REMEDIES, is_live, query_jobs, wait_for_slurm
from scoresweep.pipeline.cluster.task import Task
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.pipeline.system.console import say

__all__ = ["SlurmJob", "reattach", "submit"]

SECONDS_BETWEEN_LOOKS = 1.0
"""How often the files of a job are looked at."""
SECONDS_BETWEEN_QUESTIONS = (2.0, 30.0)
"""How often SLURM is asked: at first, and at most, when nothing has changed for long."""
SECONDS_TO_SETTLE = 10.0
"""A job that has ended is asked for again after this: it may be requeued, and files travel."""
FORGOTTEN = "GONE"
"""State of a job that SLURM has forgotten, as it does some minutes after the end."""
SECONDS_TO_STOP = 90
"""How long before its time limit a job is told to save, where the limit is long enough."""

TRANSIENT_SBATCH_ERRORS = (
    *("Unable to contact slurm controller", "Socket timed out", "Connection timed out"),
    *("Connection refused", "Transport endpoint", "Zero Bytes were transmitted"),
    *("temporarily unable to accept job", "in standby mode", "MaxSubmitJob"),
)
"""What `sbatch` says where it is not the job that is wrong: it is submitted again later."""
SECONDS_TO_SUBMIT_AGAIN = (5.0, 60.0)
"""At first, and at most."""


@dataclass(frozen=True)
class SlurmJob:
    """A job that SLURM has taken."""

    record: JobRecord
    path: Path
    """File of the record."""
    logs: Path

    @property
    def job_id(self) -> str:
        """SLURM's number of the job."""
        assert self.record.job_id is not None
        return self.record.job_id

    @property
    def tasks(self) -> int:
        """Number of processes."""
        return self.record.tasks

    @property
    def name(self) -> str:
        """The job in words."""
        return f"SLURM job {self.job_id}"

    def wait(self, watch: Callable[[], None]) -> str:
        """Wait for the end and return SLURM's word for it; the job lives on if this is interrupted.

        Raises `RunError` where somebody has cancelled the job.
        """
        try:
            state = self._end(watch)
        except (KeyboardInterrupt, SystemExit):
            say(
                f"{self.name} goes on ({self.record.name}). The same command waits for it again; "
                f"`scoresweep cancel` with the study file stops it."
            )
            raise
        if state == "CANCELLED" or (state == FORGOTTEN and not self._is_on_record()):
            raise RunError(
                f"{self.name} was cancelled. What it saved is kept: the same command goes on from "
                f"there"
            )
        return state

    def _end(self, watch: Callable[[], None]) -> str:
        shortest, longest = SECONDS_BETWEEN_QUESTIONS
        told, pause, due, ended = "", shortest, 0.0, 0.0
        while not job_succeeded(self.logs, self.job_id, self.tasks):
            watch()
            time.sleep(SECONDS_BETWEEN_LOOKS)
            if time.monotonic() < due:
                continue
            state, news = self._ask()
            if news != told:
                say(f"{self.name}: {news}")
                told, pause = news, shortest
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
        """Return whether the record still names this job; `scoresweep cancel` removes it."""
        record = JobRecord.read(self.path)
        return record is not None and record.name == self.record.name

    def _ask(self) -> tuple[str, str]:
        """Return the job's state and what to tell about it."""
        jobs = query_jobs(self.record.name)
        if jobs is None:
            return "PENDING", "SLURM does not answer; waiting"
        if not jobs:
            return FORGOTTEN, "SLURM does not know it any more"
        job = jobs[0]
        detail = job.nodes or REMEDIES.get(job.reason, job.reason if job.reason != "None" else "")
        return job.state, f"{job.state} {detail}".strip()


def reattach(path: Path, logs: Path, task: Task) -> SlurmJob | None:
    """Return the job whose record lies at `path`, if it runs or may still run; it does `task`."""
    record = JobRecord.read(path)
    if record is None:
        return None
    if shutil.which("squeue") is None:
        raise InputError(
            f"{path}: names a SLURM job, and this machine has no `squeue` to ask for it; expected "
            f"a machine of that cluster, or remove the file if the job has ended"
        )
    found = [job for job in wait_for_slurm(record.name) if is_live(job.state)]
    if not found:
        return None
    record = dataclasses.replace(record, job_id=found[0].job_id)
    record.write(path)
    _hand_over(task, logs, found[0].job_id)
    return SlurmJob(record, path, logs)


def _hand_over(task: Task, logs: Path, job_id: str) -> None:
    """Write what the job is to do where it looks for it, if whoever submitted it did not.

    submitit gives that file its name only after `sbatch` has told the number.
    """
    path = submitit.core.utils.JobPaths(logs, job_id).submitted_pickle
    if not path.exists():
        with atomic_write(path) as temporary:
            submitit.core.utils.DelayedSubmission(task).dump(temporary)


def submit(task: Task, resources: Resources, logs: Path, title: str, path: Path) -> SlurmJob:
    """Submit `task` as a job of its own, with its record at `path`.

    Raises `InputError` with SLURM's words where it does not take the job.
    """
    pause, longest = SECONDS_TO_SUBMIT_AGAIN
    while True:
        # A name for each try: a job whose submission comes to light later finds that it was
        # replaced (see `Owner`).
        record = JobRecord.new(title, resources.tasks)
        executor = _executor(resources, logs, record.name)
        record.write(path)
        try:
            with for_submission(_given(executor)):
                job = executor.submit(task)
        except submitit.core.utils.FailedJobError as error:
            if taken := reattach(path, logs, task):  # only the answer was lost
                return taken
            if not any(words in str(error) for words in TRANSIENT_SBATCH_ERRORS):
                path.unlink()
                raise InputError(f"SLURM does not take the job: {_last_line(error)}") from None
            say(f"SLURM does not take the job now: {_last_line(error)}; trying again")
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
        wckey=None,  # submitit's own would be refused by sites that keep a list
        stderr_to_stdout=True,
        # One dead process ends the job, newer versions of srun do not inherit the cores, and
        # submitit's variables must reach the processes.
        srun_args=[
            *("--kill-on-bad-exit=1", f"--cpus-per-task={resources.threads}", "--export=ALL")
        ],
        additional_parameters={
            "distribution": "block",  # the order of the ranks must not depend on the site
            "export": "ALL",
            "requeue": True,
            **options,
        },
    )
    return executor


def _given(executor: submitit.SlurmExecutor) -> set[str]:
    """Return the names of the options that the batch file gives."""
    text = executor._make_submission_file_text("", "")
    return set(re.findall(r"^#SBATCH --([\w-]+)", text, re.MULTILINE))


def _options(extra: str) -> dict[str, str | bool]:
    """Return options written for a command line by their names."""
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
