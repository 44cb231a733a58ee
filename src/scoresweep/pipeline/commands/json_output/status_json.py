"""The state of a study as one JSON object, for scripts."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict

from scoresweep.pipeline.cluster.job_table import Job, State
from scoresweep.pipeline.commands.progress.study_status import StudyStatus
from scoresweep.pipeline.results import Rule
from scoresweep.pipeline.results.code_summary import count_codes, other_code_lines

__all__ = ["JsonObject", "StatusObject", "status_object"]


class JsonObject(BaseModel):
    """An object of a command's JSON; later versions may add keys."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class JobObject(JsonObject):
    """A run, or a setting of a run."""

    run: str
    """Id of the run."""
    setting: str | None
    """Id of the setting; null: the training of the run."""
    state: State
    """`stale`: started, but shows no activity; `queued`: in SLURM's queue; `sampled`: drawn, not
    yet measured; `outdated`: the next `snakemake` replaces its result."""
    message: str
    """Why it failed, or what it is doing."""
    done: int | None
    """Finished steps or chunks; null: unknown."""
    total: int | None
    """All steps or chunks."""
    unit: Literal["steps", "chunks"]
    """What `done` and `total` count: training steps, or chunks of samples."""
    images_per_second: float | None
    """Samples processed per second."""
    seconds: float | None
    """Seconds of work so far."""
    seconds_left: float | None
    """Estimated seconds until a running job is done."""
    restarts: int
    """How often it was resumed."""
    slurm_job: str | None
    """Id of its SLURM job."""
    nodes: str | None
    """Nodes of that job, in SLURM's notation."""
    log: str | None
    """Log of the measurement that is running or failed."""


class BatchObject(JsonObject):
    """A batch of settings that a job works on."""

    run: str
    """Id of the run."""
    batch: str
    """Name of the batch, such as "3-of-40"."""
    current: str
    """The task that it works on: a setting, or a score error."""
    done: int
    """Finished tasks."""
    total: int
    """All tasks."""
    failed: dict[str, str]
    """Why tasks failed, by task."""


class StatusObject(JsonObject):
    """What `scoresweep status STUDY --json` prints."""

    study: str
    """Name of the study."""
    root: str
    """Folder of `data/` and `results/`."""
    updated: float
    """Unix time of this state."""
    done: bool
    """Whether the next `snakemake` has nothing to do."""
    due: dict[Rule, int]
    """Number of results that the next `snakemake` computes, by rule or by step of a sweep."""
    runs: dict[State, int]
    """Number of runs by state."""
    settings: dict[State, int]
    """Number of settings by state, over all runs."""
    jobs: list[JobObject]
    """All runs, then all settings of each run."""
    batches: list[BatchObject]
    """Batches that are running."""
    slurm: list[str]
    """Numbers of other SLURM jobs, by rule."""
    logs: list[str]
    """Logs of failed and stale jobs."""
    other_code: list[str]
    """Results that another version of the code computed."""


def status_object(found: StudyStatus) -> StatusObject:
    """Return the state of a study as plain values."""
    batches = [
        BatchObject(
            run=batch.run,
            batch=batch.name,
            current=batch.state.current,
            done=batch.state.step,
            total=batch.state.steps,
            failed=batch.state.failed,
        )
        for batch in found.batches
    ]
    return StatusObject(
        study=found.plan.study.study,
        root=str(found.plan.paths.root.resolve()),
        updated=time.time(),
        done=found.is_done,
        due=Counter(result.rule for result in found.results.due),
        runs=_states(found.runs),
        settings=_states(found.settings),
        jobs=[_job(job) for job in found.jobs],
        batches=batches,
        slurm=found.slurm,
        logs=[str(path) for path in found.logs],
        other_code=other_code_lines(count_codes(found.results)),
    )


def _states(jobs: Iterable[Job]) -> dict[State, int]:
    return Counter(job.state for job in jobs)


def _job(job: Job) -> JobObject:
    p, slurm = job.progress, job.slurm
    return JobObject(
        run=job.run,
        setting=job.setting,
        state=job.state,
        message=job.message,
        done=p.step if p else None,
        total=p.steps if p else None,
        unit=job.unit,
        images_per_second=p.images_per_second or None if p else None,
        seconds=p.seconds if p else None,
        seconds_left=job.seconds_left,
        restarts=p.restarts if p else 0,
        slurm_job=(slurm.job_id if slurm else p.job_id if p else "") or None,
        nodes=(slurm.nodes if slurm else p.nodes if p else "") or None,
        log=str(job.log) if job.log else None,
    )
