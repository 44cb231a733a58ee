"""Which SLURM jobs belong to a study.

The job that trains a run is known by the name in its record. All jobs of the other rules bear a
name that Snakemake's executor draws at each start of the workflow; the starts are kept in a file.
Both names are never used twice, so no other job is ever taken for one of the study, whatever its
number.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import psutil

from scoresweep.pipeline.cluster.job_record import JobRecord
from scoresweep.pipeline.cluster.squeue import QueuedJob, is_live, query_jobs
from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.study import Plan, StudyPaths

__all__ = [
    "StudyJobs",
    "WorkflowProcess",
    "count_by_rule",
    "is_running",
    "record_workflow_end",
    "record_workflow_start",
    "study_jobs",
]

RULE = re.compile(r"rule_(.+?)(?:_wildcards_|$)")
"""What Snakemake's executor says about a job: "rule_sample_wildcards_...", arrays "rule_sample"."""

START = re.compile(r"(\S+) (\S+) (\d+) (\d+)")
"""A start of the workflow on file: name of its jobs, host, process, creation of the process."""

ENDED = "ended"
"""What follows the name of the jobs when a start has come to its end."""

NAMES = 500
"""Most names of jobs in one question: an argument of a program has 128 KiB at most."""

CLOCK_ERROR = 5.0
"""Seconds by which the creation of a process seems to move when the machine's clock is set."""


@dataclass(frozen=True)
class WorkflowProcess:
    """A start of the workflow: the `snakemake` that submits jobs and waits for them."""

    jobs: str
    """Name of all its jobs."""
    host: str
    pid: int
    created: float
    """Unix time at which the process was created: numbers of processes are used again."""
    recorded_end: bool = False
    """Whether it has noted its end, after which it waits for trainings that it still has; one that
    is killed does not."""
    locked: bool = True
    """Whether some `snakemake` holds the lock of the study's folder; one that runs does."""

    @property
    def is_here(self) -> bool:
        """Whether it was started on this machine."""
        return self.host == socket.gethostname()

    @property
    def has_ended(self) -> bool:
        """Whether it is known to have ended; elsewhere it may run where there is a lock."""
        if not self.is_here:
            return self.recorded_end or not self.locked
        try:
            process = psutil.Process(self.pid)
            is_another = abs(process.create_time() - self.created) > CLOCK_ERROR
            return is_another or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    def interrupt(self) -> None:
        """Do what Ctrl-C does; raise `PermissionError` where the process is another person's.

        What a script has started in the background is deaf to that. `SIGTERM` lets a `snakemake`
        submit nothing more and wait for the jobs that it has.
        """
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM if self._ignores_sigint else signal.SIGINT)

    @property
    def _ignores_sigint(self) -> bool:
        """Whether the process ignores Ctrl-C, as far as this system tells."""
        path = Path(f"/proc/{self.pid}/status")
        ignored = re.search(r"SigIgn:\s*(\w+)", path.read_text() if path.exists() else "")
        return ignored is not None and bool(int(ignored[1], 16) & 1 << signal.SIGINT - 1)


@dataclass(frozen=True)
class StudyJobs:
    """The jobs of a study that SLURM knows: those that wait or run, and those that ended lately."""

    records: dict[str, JobRecord] = field(default_factory=dict)
    """Run to the job that trains it, or trained it, whether SLURM still knows it or not."""
    queue: list[QueuedJob] = field(default_factory=list)
    """All jobs of this user, and those of the study that are another person's."""
    heads: list[WorkflowProcess] = field(default_factory=list)

    @cached_property
    def _names(self) -> dict[str, QueuedJob]:
        return {job.name: job for job in self.queue}

    @cached_property
    def _numbers(self) -> dict[str, QueuedJob]:
        return {job.job_id: job for job in self.queue}

    def named(self, name: str) -> QueuedJob | None:
        """Return the job of a name that no two jobs have."""
        return self._names.get(name)

    def numbered(self, job_id: str) -> QueuedJob | None:
        """Return the job of a number, which may be another one than it was once."""
        return self._numbers.get(job_id)

    def training_jobs(self) -> dict[str, QueuedJob]:
        """Return run to the job that trains it, where that waits or runs."""
        found = {run: self.named(record.name) for run, record in self.records.items()}
        return {run: job for run, job in found.items() if job and is_live(job.state)}

    def rule_jobs(self) -> list[QueuedJob]:
        """Return the jobs of the other rules that wait or run."""
        names = {head.jobs for head in self.heads}
        return [job for job in self.queue if job.name in names and is_live(job.state)]


def study_jobs(plan: Plan) -> StudyJobs | None:
    """Ask SLURM for the jobs of a study; None for a study that has never used it.

    Two people may share a study: what is not among this user's jobs is asked for by its name.
    Raises `RunError` where SLURM cannot be asked or does not answer: nothing follows from that.
    """
    paths = sorted(plan.paths.results.glob("runs/*/job.json"))
    found = {path.parent.name: JobRecord.read(path) for path in paths}
    records = {run: record for run, record in found.items() if record is not None}
    heads = _heads(plan.paths)
    if not (records or heads):
        return None
    if shutil.which("squeue") is None:
        raise RunError("this machine has no `squeue` to ask SLURM with")
    names = {head.jobs for head in heads if not head.recorded_end}
    names |= {r.name for run, r in records.items() if not plan.paths.weights(run).exists()}
    return StudyJobs(records, _queue(names), heads)


def _queue(names: set[str]) -> list[QueuedJob]:
    """Return this user's jobs, and those that are called `names`, which may be another person's."""
    queue = _answer()
    others = sorted(names - {job.name for job in queue})
    for first in range(0, len(others), NAMES):
        queue += _answer(",".join(others[first : first + NAMES]))
    return queue


def _answer(names: str | None = None) -> list[QueuedJob]:
    queue = query_jobs(names)
    if queue is None:
        raise RunError("SLURM does not answer")
    return queue


def is_running(job: QueuedJob) -> bool:
    """Return whether a live job has a node already; otherwise it waits for one."""
    return job.state in ("RUNNING", "COMPLETING")


def count_by_rule(jobs: Iterable[QueuedJob]) -> list[str]:
    """Return "sample jobs: 3 running, 12 queued" for each rule."""
    counts: dict[str, Counter[str]] = {}
    for job in jobs:
        found = RULE.match(job.comment)
        rule = found[1] if found else "other"
        counts.setdefault(rule, Counter())["running" if is_running(job) else "queued"] += 1
    return [
        f"{rule} jobs: " + ", ".join(f"{n:,} {state}" for state, n in sorted(states.items())[::-1])
        for rule, states in sorted(counts.items())
    ]


def record_workflow_start(layout: StudyPaths, jobs: str) -> None:
    """Keep that this process is a start of the workflow, whose jobs are called `jobs`."""
    layout.results.mkdir(parents=True, exist_ok=True)
    host, pid, created = _this_process()
    with layout.slurm_runs.open("a", encoding="utf-8") as file:
        file.write(f"{jobs} {host} {pid} {created:.0f}\n")


def record_workflow_end(layout: StudyPaths) -> None:
    """Keep that this process, if it was noted as a start of the workflow, submits nothing more."""
    for head in _heads(layout):
        if (head.host, head.pid, head.created) == _this_process():
            with layout.slurm_runs.open("a", encoding="utf-8") as file:
                file.write(f"{head.jobs} {ENDED}\n")


def _this_process() -> tuple[str, int, float]:
    """Return host, number and time of creation."""
    return socket.gethostname(), os.getpid(), round(psutil.Process().create_time())


def _heads(layout: StudyPaths) -> list[WorkflowProcess]:
    """Return the starts that are on file; a line that a power cut has cut short tells nothing."""
    if not layout.slurm_runs.exists():
        return []
    lines = layout.slurm_runs.read_text(encoding="utf-8").splitlines()
    ended = {line.removesuffix(f" {ENDED}") for line in lines if line.endswith(f" {ENDED}")}
    starts = [found.groups() for line in lines if (found := START.fullmatch(line))]
    locked = any((layout.root / ".snakemake/locks").glob("*"))
    return [
        WorkflowProcess(jobs, host, int(pid), float(created), jobs in ended, locked)
        for jobs, host, pid, created in starts
    ]
