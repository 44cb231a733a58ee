"""Which of this user's SLURM jobs belong to a study.

The job that trains a run is known by the name in its record. All jobs of the other rules bear a
name that Snakemake's executor draws at each start of the workflow; the starts are kept in a file.
Both names are never used twice, so no other job is ever taken for one of the study, whatever its
number.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

import psutil

from scoresweep.launch.record import JobRecord
from scoresweep.launch.slurm import QueuedJob, is_live, my_jobs
from scoresweep.study import Layout, Plan

__all__ = ["Head", "StudyJobs", "count_by_rule", "is_running", "note_head", "study_jobs"]

RULE = re.compile(r"rule_(.+?)(?:_wildcards_|$)")
"""What Snakemake's executor says about a job: "rule_sample_wildcards_...", arrays "rule_sample"."""


@dataclass(frozen=True)
class Head:
    """A start of the workflow: the `snakemake` that submits jobs and waits for them."""

    jobs: str
    """Name of all its jobs."""
    host: str
    pid: int

    @property
    def is_alive(self) -> bool:
        """Whether it is known to be running: it must be on this machine."""
        if self.host != socket.gethostname():
            return False
        try:
            return any("snakemake" in word for word in psutil.Process(self.pid).cmdline())
        except psutil.Error:
            return False


@dataclass(frozen=True)
class StudyJobs:
    """The jobs of a study that SLURM knows: those that wait or run, and those that ended lately."""

    records: dict[str, JobRecord] = field(default_factory=dict)
    """Run to the job that trains it, or trained it, whether SLURM still knows it or not."""
    queue: list[QueuedJob] = field(default_factory=list)
    """All jobs of this user."""
    heads: list[Head] = field(default_factory=list)

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

    def of_training(self) -> dict[str, QueuedJob]:
        """Return run to the job that trains it, where that waits or runs."""
        found = {run: self.named(record.name) for run, record in self.records.items()}
        return {run: job for run, job in found.items() if job and is_live(job.state)}

    def of_rules(self) -> list[QueuedJob]:
        """Return the jobs of the other rules that wait or run."""
        names = {head.jobs for head in self.heads}
        return [job for job in self.queue if job.name in names and is_live(job.state)]


def study_jobs(plan: Plan) -> StudyJobs | None:
    """Ask SLURM once for the jobs of a study; None where it does not answer.

    It is not asked where it is not installed or where the study has never used it.
    """
    paths = sorted(plan.layout.results.glob("runs/*/job.json"))
    found = {path.parent.name: JobRecord.read(path) for path in paths}
    records = {run: record for run, record in found.items() if record is not None}
    heads = list(_heads(plan.layout))
    if not (records or heads) or shutil.which("squeue") is None:
        return StudyJobs()
    queue = my_jobs()
    return None if queue is None else StudyJobs(records, queue, heads)


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


def note_head(layout: Layout, jobs: str) -> None:
    """Keep that this process is a start of the workflow, whose jobs are called `jobs`."""
    layout.results.mkdir(parents=True, exist_ok=True)
    with layout.slurm_runs.open("a", encoding="utf-8") as file:
        file.write(f"{jobs} {socket.gethostname()} {os.getpid()}\n")


def _heads(layout: Layout) -> Iterator[Head]:
    if layout.slurm_runs.exists():
        for line in layout.slurm_runs.read_text(encoding="utf-8").splitlines():
            jobs, host, pid = line.split()
            yield Head(jobs, host, int(pid))
