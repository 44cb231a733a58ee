"""Seconds of the jobs of a study that are not done, each with the start-up of its processes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from scoresweep.pipeline.commands.estimate.costs import Key
from scoresweep.pipeline.commands.estimate.schedule import Work
from scoresweep.pipeline.commands.estimate.task_seconds import (
    TaskSeconds,
    sum_known,
    times_known,
)
from scoresweep.pipeline.results import Results, due_tasks
from scoresweep.pipeline.results.due_batches import known_tasks
from scoresweep.pipeline.study import Run, Setting
from scoresweep.pipeline.study.batches import Batch, weights_of_task
from scoresweep.pipeline.study.dataset_size import dataset_size
from scoresweep.pipeline.study.expected_stages import expected_stages

__all__ = ["DEFAULT_START", "SNAKEMAKE_STARTS", "STARTS", "JobSeconds"]

DEFAULT_START = 3.0
"""Seconds of the start-up of a process, if it is not timed."""

SNAKEMAKE_STARTS = 1.0
"""What Snakemake takes to plan the jobs, in start-ups of a process (see `STARTS`)."""

STARTS = {"stage": 0.3, "reference": 1.0, "train": 2.0, "sweep": 1.0, "report": 2.0}
"""What a job takes besides the work that is timed, in start-ups of a process that imports what
`scoresweep sweep` does (docs/performance.md)."""

STARTS_PER_SET = 0.1
"""The same for each set of samples that a job draws and measures: its files."""

REPORT_STARTS_PER_SET = 0.08
"""The same for each set of samples in the report, as far as it shows them one by one."""

SETS_IN_REPORT = 100
"""Sets of samples beyond which the report takes hardly longer."""

ONE_THREAD = ("pixels", "classifier")
"""Extractors for which the rule `reference` takes one thread; for the others it takes two."""

BYTES_PER_SECOND = 30e6
"""Bytes of uint8 images or float32 points that are staged in a second, if that is not timed."""


@dataclass
class JobSeconds:
    """The jobs of a study that are due; what is unknown is None."""

    tasks: TaskSeconds
    results: Results
    batches: Sequence[Batch]
    _parts: dict[Key, dict[str, float | None]] = field(default_factory=dict)
    _later: dict[tuple[str, int], tuple[float | None, float | None]] = field(default_factory=dict)

    @property
    def start(self) -> float:
        """Seconds of the start-up of a process."""
        return self.tasks.costs.start_seconds or DEFAULT_START

    @cached_property
    def by_job(self) -> dict[Key, float | None]:
        """Seconds of each job that is due, on one core, by its key in the results."""
        due = [key for key, result in self.results.by_key.items() if result.is_due]
        return {key: self._seconds(key) for key in due if key[0] in STARTS}

    def of_rule(self, rule: str) -> float | None:
        """Return the seconds of all due jobs of a rule, one after the other."""
        return sum_known(seconds for key, seconds in self.by_job.items() if key[0] == rule)

    def of_step(self, step: str) -> float | None:
        """Return the seconds of a step of the rule `sweep` in all jobs, without start-ups."""
        return sum_known(self._steps(key)[step] for key in self.by_job if key[0] == "sweep")

    def work(self, cores: int) -> dict[Key, Work] | None:
        """Return the jobs that are due, for `cores` cores; None if the time of one is unknown."""
        found: dict[Key, Work] = {}
        for key, seconds in self.by_job.items():
            if seconds is None:
                return None
            is_large = key[0] == "reference" and key[2] not in ONE_THREAD
            threads = min(2, cores) if is_large else 1
            priority = {"reference": 1, "report": -1}.get(key[0], 0)
            found[key] = Work(seconds / threads, self._before(key), threads, priority)
        return found

    def _before(self, key: Key) -> list[Key]:
        """Return the jobs that a job waits for."""
        plan, rule = self.tasks.plan, key[0]
        if rule == "report":
            return [other for other in self.by_job if other[0] != "report"]
        if rule == "stage":
            return []
        dataset = key[1] if rule == "reference" else plan.run(key[1]).dataset.id
        if rule != "sweep":
            return [("stage", dataset)]
        references = [("reference", dataset, name) for name in plan.extractors]
        return [("train", key[1]), ("stage", dataset), *references, *self._earlier(key)]

    def _earlier(self, key: Key) -> list[Key]:
        """Return the batches from whose metrics successive halving chooses the tasks of a batch."""
        counts, count = self.tasks.plan.counts, self._batch[key].count
        if count is None or count == counts[0]:
            return []
        return self._competing[self._group_of_run[key[1]], counts[counts.index(count) - 1]]

    @cached_property
    def _competing(self) -> dict[tuple[str, int], list[Key]]:
        """The batches of a group of successive halving at a count."""
        found = defaultdict[tuple[str, int], list[Key]](list)
        for key, batch in self._batch.items():
            if batch.count is not None:
                found[self._group_of_run[batch.run], batch.count].append(key)
        return found

    @cached_property
    def _group_of_run(self) -> dict[str, str]:
        groups = self.tasks.plan.halving_groups().items()
        return {run.id: name for name, runs in groups for run in runs}

    @cached_property
    def _batch(self) -> dict[Key, Batch]:
        return {("sweep", batch.run, batch.name): batch for batch in self.batches}

    # ── Seconds of a job ────────────────────────────────────────────────────────────────────────

    def _seconds(self, key: Key) -> float | None:
        rule, plan = key[0], self.tasks.plan
        work: float | None
        if rule == "stage":
            work = self._staging(key[1])
        elif rule == "reference":
            work = self.tasks.costs.reference_seconds.get((key[1], key[2]))
        elif rule == "train":
            work = self.tasks.training(plan.run(key[1]))
        elif rule == "sweep":
            work = sum_known(self._steps(key).values())
        else:
            sets = min(len(plan.runs) * len(plan.settings), SETS_IN_REPORT)
            work = REPORT_STARTS_PER_SET * self.start * sets
        return None if work is None else STARTS[rule] * self.start + work

    def _staging(self, dataset_id: str) -> float | None:
        seconds = self.tasks.costs.stage_seconds.get(dataset_id)
        if seconds is None:
            size = dataset_size(self.tasks.plan.paths, self.tasks.plan.dataset(dataset_id))
            if size is None:
                return None
            shape, count = size
            seconds = count * math.prod(shape) * (1 if len(shape) == 3 else 4) / BYTES_PER_SECOND
        return seconds

    def _steps(self, key: Key) -> dict[str, float | None]:
        """Return the seconds of each step of a batch."""
        if key not in self._parts:
            batch = self._batch[key]
            run = self.tasks.plan.run(batch.run)
            is_known = known_tasks(self.results, batch) is not None
            find = self._steps_of_tasks if is_known else self._expected_steps
            self._parts[key] = find(run, batch)
        return self._parts[key]

    def _steps_of_tasks(self, run: Run, batch: Batch) -> dict[str, float | None]:
        drawing, measuring, errors = list[float | None](), list[float | None](), []
        settings = self._settings
        for task in due_tasks(self.results, batch):
            if weights_of_task(task) is not None:
                errors.append(self.tasks.network_metrics(run))
                continue
            drawing.append(self.tasks.drawing.get((run.id, task), 0.0))
            measuring += self.tasks.measuring(run, settings[task])
        if measuring:
            files = STARTS_PER_SET * self.start * len(measuring)
            measuring += [files, self.tasks.first_measuring(run)]
        return self._named(drawing, measuring, errors)

    def _expected_steps(self, run: Run, batch: Batch) -> dict[str, float | None]:
        """Return the mean cost of a setting, for each that a later count is expected to have."""
        plan, count = self.tasks.plan, batch.count
        assert count is not None
        number = self._expected[count] / batch.total
        if (run.id, count) not in self._later:
            self._later[run.id, count] = self._steps_of_all(run, count)
        share = number / len(plan.settings)
        drawing, measuring = (times_known(share, each) for each in self._later[run.id, count])
        files = STARTS_PER_SET * self.start * number + self.tasks.first_measuring(run)
        return self._named([drawing], [measuring, files], [])

    def _steps_of_all(self, run: Run, count: int) -> tuple[float | None, float | None]:
        """Return the seconds of drawing and of measuring all settings at a later count."""
        plan, tasks = self.tasks.plan, self.tasks
        before = plan.counts[plan.counts.index(count) - 1]
        later = [setting.at(count) for setting in plan.settings]
        held = ((setting, before // setting.sample.chunk) for setting in later)
        drawing = sum_known(tasks.drawing_from(run, setting, chunks) for setting, chunks in held)
        return drawing, sum_known(each for s in later for each in tasks.measuring(run, s))

    @cached_property
    def _expected(self) -> dict[int, int]:
        return dict(expected_stages(self.tasks.plan))

    def _named(self, *steps: Sequence[float | None]) -> dict[str, float | None]:
        names = ("sample", "evaluate", "score_error")
        return dict(zip(names, map(sum_known, steps), strict=True))

    @cached_property
    def _settings(self) -> dict[str, Setting]:
        return self.tasks.plan.settings_by_id()
