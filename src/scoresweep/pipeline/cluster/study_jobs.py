"""Find the SLURM jobs of a study.

They are found by unique names, since SLURM reuses job ids: a training job by the name in its
`JobRecord`, all other jobs by the name that the `WorkflowHead` recorded.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from scoresweep.pipeline.cluster.job_record import JobRecord
from scoresweep.pipeline.cluster.squeue import QueuedJob, is_live, query_jobs
from scoresweep.pipeline.cluster.workflow_head import WorkflowHead, workflow_heads
from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.study import Plan

__all__ = [
    "StudyJobs",
    "count_by_rule",
    "is_running",
    "study_jobs",
]

RULE_COMMENT = re.compile(r"rule_(.+?)(?:_wildcards_|$)")
"""Comment that Snakemake's executor sets on a job: "rule_sample_wildcards_..."."""

NAMES_PER_QUERY = 500
"""Job names in one query: an argument of a program is limited to 128 KiB."""


@dataclass(frozen=True)
class StudyJobs:
    """The SLURM jobs of a study: queued, running, or ended recently."""

    records: dict[str, JobRecord] = field(default_factory=dict)
    """The latest training job of each run, whether still in the queue or not."""
    queue: list[QueuedJob] = field(default_factory=list)
    """All jobs of this user, and jobs of the study owned by others."""
    heads: list[WorkflowHead] = field(default_factory=list)

    @cached_property
    def _by_name(self) -> dict[str, QueuedJob]:
        return {job.name: job for job in self.queue}

    @cached_property
    def _by_id(self) -> dict[str, QueuedJob]:
        return {job.job_id: job for job in self.queue}

    def by_name(self, name: str) -> QueuedJob | None:
        """Return the job with this unique name."""
        return self._by_name.get(name)

    def by_id(self, job_id: str) -> QueuedJob | None:
        """Return the job with this id, which SLURM may have reused."""
        return self._by_id.get(job_id)

    def training_jobs(self) -> dict[str, QueuedJob]:
        """Return the queued or running training jobs, by run."""
        jobs = {run: self.by_name(record.name) for run, record in self.records.items()}
        return {run: job for run, job in jobs.items() if job and is_live(job.state)}

    def rule_jobs(self) -> list[QueuedJob]:
        """Return the queued and running jobs of the other rules."""
        names = {head.jobs for head in self.heads}
        return [job for job in self.queue if job.name in names and is_live(job.state)]


def study_jobs(plan: Plan) -> StudyJobs | None:
    """Query the SLURM jobs of a study; None if it has never used SLURM.

    Two people may share a study, so jobs that this user does not own are queried by name. Raises
    `RunError` if the query fails; then the state of the jobs is unknown.
    """
    files = sorted(plan.paths.results.glob("runs/*/job.json"))
    read = {file.parent.name: JobRecord.read(file) for file in files}
    records = {run: record for run, record in read.items() if record is not None}
    heads = workflow_heads(plan.paths)
    if not (records or heads):
        return None
    if shutil.which("squeue") is None:
        raise RunError("this machine has no `squeue`")
    names = {head.jobs for head in heads if not head.recorded_end}
    names |= {r.name for run, r in records.items() if not plan.paths.weights(run).exists()}
    return StudyJobs(records, _queue(names), heads)


def _queue(names: set[str]) -> list[QueuedJob]:
    """Return this user's jobs, and all jobs with one of `names`, whoever owns them."""
    queue = _query()
    others = sorted(names - {job.name for job in queue})
    for first in range(0, len(others), NAMES_PER_QUERY):
        queue += _query(",".join(others[first : first + NAMES_PER_QUERY]))
    return queue


def _query(names: str | None = None) -> list[QueuedJob]:
    queue = query_jobs(names)
    if queue is None:
        raise RunError("SLURM does not answer")
    return queue


def is_running(job: QueuedJob) -> bool:
    """Return whether a live job has a node; otherwise it is queued."""
    return job.state in ("RUNNING", "COMPLETING")


def count_by_rule(jobs: Iterable[QueuedJob]) -> list[str]:
    """Return "sample jobs: 3 running, 12 queued" for each rule."""
    counts: dict[str, Counter[str]] = {}
    for job in jobs:
        found = RULE_COMMENT.match(job.comment)
        rule = found[1] if found else "other"
        counts.setdefault(rule, Counter())["running" if is_running(job) else "queued"] += 1
    return [
        f"{rule} jobs: " + ", ".join(f"{n:,} {state}" for state, n in sorted(states.items())[::-1])
        for rule, states in sorted(counts.items())
    ]
