"""Number of jobs of each rule, and the time that the remaining ones take."""

from __future__ import annotations

from typing import NamedTuple

from scoresweep.pipeline.commands.estimate.job_seconds import SNAKEMAKE_STARTS, JobSeconds
from scoresweep.pipeline.commands.estimate.schedule import seconds_until_done
from scoresweep.pipeline.results import RULES, SWEEP_STEPS

__all__ = ["RuleProgress", "TimeLeft", "progress_of_rules", "time_left"]


class RuleProgress(NamedTuple):
    """The jobs of one rule, or the tasks that have a step of this name."""

    name: str
    total: int
    done: int
    seconds: float | None
    """Time of the remaining jobs, one after the other on one core; None if unknown."""


class TimeLeft(NamedTuple):
    """The time until a study is done."""

    seconds: float
    """Seconds on this machine, with jobs beside each other on `cores` cores."""
    core_seconds: float
    """Seconds of all jobs, one after the other on one core."""
    cores: int


def progress_of_rules(jobs: JobSeconds) -> list[RuleProgress]:
    """Return the number of jobs of each rule and step, and the time of those that remain."""
    rules = []
    for name in RULES:
        due = [result.is_due for result in jobs.results.of(name)]
        seconds = jobs.of_step(name) if name in SWEEP_STEPS else jobs.of_rule(name)
        rules.append(RuleProgress(name, len(due), due.count(False), seconds))
    return rules


def time_left(jobs: JobSeconds, cores: int) -> TimeLeft | None:
    """Return the time until `snakemake` with `cores` cores has done all jobs; None if unknown."""
    work = jobs.work(cores)
    if work is None:
        return None
    if not work:
        return TimeLeft(0.0, 0.0, cores)
    total = sum(job.seconds * job.cores for job in work.values())
    head = SNAKEMAKE_STARTS * jobs.start
    return TimeLeft(head + seconds_until_done(work, cores), total, cores)
