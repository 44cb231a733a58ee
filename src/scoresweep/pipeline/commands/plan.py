"""What a study will run, the files it makes and what it will cost, before anything runs."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

from scoresweep.pipeline.cluster.progress import Job, collect_jobs
from scoresweep.pipeline.results import RULES, Results, examine_results
from scoresweep.pipeline.study import Plan, Run, Setting
from scoresweep.pipeline.study.config import MethodConfig
from scoresweep.pipeline.study.known_size import known_size
from scoresweep.pipeline.study.methods.datasets import Dataset
from scoresweep.pipeline.study.methods.noise import Explicit
from scoresweep.pipeline.system.console import duration
from scoresweep.pipeline.system.job_state import JobState

if TYPE_CHECKING:
    from scoresweep.networks.base import ScoreNetwork

__all__ = ["RuleProgress", "estimate"]

PROBES = 8
"""Most networks that are probed; others are taken to cost what those cost on average."""

REASONS = 10
"""Most reasons that are printed."""

FILES_OF_RUN, FILES_OF_SETTING = 25, 18
"""Files of a run and of a setting, about."""

CHECKPOINT_BYTES = 16
"""Bytes of a checkpoint for each parameter: weights, their average and Adam's two moments."""

Key = tuple[str, ...]


class RuleProgress(NamedTuple):
    """The jobs of one rule."""

    name: str
    total: int
    done: int
    seconds: float | None
    """Time for the jobs that are not done; None where it is not known."""


@dataclass
class Costs:
    """Seconds of a training step and of one score evaluation for a sample, by what they are of."""

    steps: dict[Key, float] = field(default_factory=dict)
    samples: dict[Key, float] = field(default_factory=dict)
    parameters: dict[Key, int] = field(default_factory=dict)
    levels: dict[Key, int | None] = field(default_factory=dict)
    probed: int = 0


def estimate(plan: Plan, probe: bool = True, console: Console | None = None) -> list[RuleProgress]:
    """Print runs, settings, jobs, files and time of a study, and how much of it is done.

    Times come from what earlier jobs of the study took; where there are none and `probe` is given,
    from a few steps of the networks on random data, on this machine.
    """
    console = console or Console(highlight=False)
    results = examine_results(plan)
    found = collect_jobs(plan, results)
    costs = _earlier(plan, found)
    earlier = bool(costs.steps)
    if probe:
        _probe_missing(plan, costs)
    rules = _rules(plan, found, results, costs)
    _print_points(plan, console)
    console.print(_table(rules))
    _print_reasons(results, console)
    _print_size(plan, costs, console)
    _print_time(rules, costs, earlier, console)
    return rules


# ── jobs ────────────────────────────────────────────────────────────────────────────────────────


def _rules(plan: Plan, found: Sequence[Job], results: Results, costs: Costs) -> list[RuleProgress]:
    """Count the jobs of each rule, and the time of those that are to do."""
    trainings = [job for job in found if job.setting is None]
    settings = [job for job in found if job.setting is not None]
    seconds = {
        "train": _training_seconds(plan, trainings, costs),
        "sample": _sampling_seconds(plan, settings, costs),
    }
    rules = []
    for name in RULES:
        ones = results.of(name)
        done = sum(not one.is_due for one in ones)
        rules.append(RuleProgress(name, len(ones), done, seconds.get(name)))
    return rules


def _training_seconds(plan: Plan, trainings: Sequence[Job], costs: Costs) -> float | None:
    seconds = 0.0
    for run, job in zip(plan.runs, trainings, strict=True):
        each = costs.steps.get(_train_key(run))
        if job.state == "done":
            continue
        if each is None:
            return None
        step = job.progress.step if job.progress and job.state != "outdated" else 0
        seconds += each * (run.train.steps - step)
    return seconds


def _sampling_seconds(plan: Plan, settings: Sequence[Job], costs: Costs) -> float | None:
    seconds, states = 0.0, iter(settings)
    for run in plan.runs:
        for setting in plan.settings:
            job = next(states)
            if job.state in ("sampled", "done"):
                continue
            each = costs.samples.get(_sample_key(run, setting))
            evaluations = _evaluations(plan, run, setting, costs)
            if each is None or evaluations is None:
                return None
            step = job.progress.step if job.progress and job.state != "outdated" else 0
            done = step * setting.sample.chunk
            seconds += each * evaluations * max(0, setting.sample.count - done)
    return seconds


def _evaluations(plan: Plan, run: Run, setting: Setting, costs: Costs) -> int | None:
    """Return how often a sample's score is computed; None where the ladder is not known yet."""
    noise = setting.sample.noise or run.train.noise
    key = (run.dataset.id, noise.model_dump_json())
    if key not in costs.levels:
        costs.levels[key] = _levels(plan, noise, run.dataset)
    levels = costs.levels[key]
    return None if levels is None else setting.sample.sampler.num_score_evaluations(levels)


def _levels(plan: Plan, noise: MethodConfig, dataset: Dataset) -> int | None:
    """Return the number of levels of a ladder; None where it depends on data not staged yet."""
    if isinstance(noise, Explicit):
        return len(noise.sigmas)
    levels = getattr(noise, "levels", None)
    return levels if isinstance(levels, int) else _levels_from_data(plan, noise, dataset)


def _levels_from_data(plan: Plan, noise: MethodConfig, dataset: Dataset) -> int | None:
    import torch

    from scoresweep.pipeline.training.noise_levels import resolve_noise_levels, training_points

    shape = _shape(plan, dataset)
    if shape is None:
        return None
    if plan.paths.dataset_manifest(dataset.id).exists():
        points = training_points(plan.paths.dataset_store(dataset.id))
    elif isinstance(getattr(noise, "sigma_max", None), str):
        return None
    else:
        points = torch.zeros(2, *shape)  # the dimension is all that matters
    return len(resolve_noise_levels(noise, lambda: points))


# ── what things cost ────────────────────────────────────────────────────────────────────────────


def _network_key(run: Run) -> Key:
    return (run.dataset.id, run.train.network.model_dump_json())


def _train_key(run: Run) -> Key:
    train = run.train
    return (
        *_network_key(run),
        train.objective.model_dump_json(),
        *(train.precision, str(train.batch_size), str(train.gradient_accumulation)),
    )


def _sample_key(run: Run, setting: Setting) -> Key:
    return (*_network_key(run), setting.sample.precision)


def _earlier(plan: Plan, found: Sequence[Job]) -> Costs:
    """Return what the jobs took that are done or under way."""
    costs, states = Costs(), iter(found)
    for run in plan.runs:
        weights = plan.paths.weights(run.id)
        if weights.exists():
            costs.parameters[_network_key(run)] = weights.stat().st_size // 4
        progress = next(states).progress
        if progress and progress.step and progress.seconds:
            costs.steps.setdefault(_train_key(run), progress.seconds / progress.step)
    for run in plan.runs:
        for setting in plan.settings:
            job, key = next(states), _sample_key(run, setting)
            if key in costs.samples or job.state == "waiting":
                continue
            progress = JobState.read(plan.paths.samples_progress(run.id, setting.id))
            evaluations = _evaluations(plan, run, setting, costs)
            if progress and progress.step and progress.seconds and evaluations:
                drawn = min(setting.sample.count, progress.step * setting.sample.chunk)
                costs.samples[key] = progress.seconds / (drawn * evaluations)
    return costs


def _probe_missing(plan: Plan, costs: Costs) -> None:
    """Probe the networks whose cost is not known; fill the rest with the mean of those."""
    from scoresweep.pipeline.commands.plan_probe import probe

    wanted: dict[tuple[Key, Key], tuple[Run, Setting]] = {}
    for run in plan.runs:
        if not run.train.network.is_trained:
            costs.steps[_train_key(run)] = 0.0
        for setting in plan.settings:
            keys = _train_key(run), _sample_key(run, setting)
            if keys[0] not in costs.steps or keys[1] not in costs.samples:
                wanted.setdefault(keys, (run, setting))
    for (train, sample), (run, setting) in list(wanted.items())[:PROBES]:
        shape, oracle = _shape(plan, run.dataset), _oracle(plan, run)
        if shape is None or not (run.train.network.is_trained or oracle):
            continue
        speed = probe(run.train, setting.sample, shape, oracle)
        costs.steps.setdefault(train, speed.step_seconds)
        costs.samples.setdefault(sample, speed.sample_seconds)
        costs.parameters[_network_key(run)] = speed.parameters
        costs.probed += 1
    if costs.probed == PROBES:
        for train, sample in wanted:
            costs.steps.setdefault(train, statistics.mean(costs.steps.values()))
            costs.samples.setdefault(sample, statistics.mean(costs.samples.values()))


def _oracle(plan: Plan, run: Run) -> ScoreNetwork | None:
    """Return the oracle of a run that has one, once its data is staged."""
    if run.train.network.is_trained or not plan.paths.dataset_manifest(run.dataset.id).exists():
        return None
    from scoresweep.pipeline.training.artifacts import make_oracle

    return make_oracle(run, plan.paths)


def _shape(plan: Plan, dataset: Dataset) -> tuple[int, ...] | None:
    """Return the shape of a sample, as staged or as known before."""
    size = known_size(plan.paths, dataset)
    return size[0] if size else None


# ── what is printed ─────────────────────────────────────────────────────────────────────────────


def _print_points(plan: Plan, console: Console) -> None:
    runs, settings = len(plan.runs), len(plan.settings)
    console.print(
        f"Study {plan.study.study}: {runs:,} runs × {settings:,} settings = "
        f"{runs * settings:,} sets of samples"
    )
    for what, points in (
        ("runs", [run.axes for run in plan.runs]),
        ("settings", [setting.axes for setting in plan.settings]),
        ("evaluations", [evaluation.axes for evaluation in plan.evaluations]),
    ):
        for axis in points[0]:
            values = list(dict.fromkeys(str(point[axis]) for point in points))
            more = f" and {len(values) - 10} more" if len(values) > 10 else ""
            console.print(f"  {what} over {axis}: {', '.join(values[:10])}{more}", markup=False)


def _table(rules: Sequence[RuleProgress]) -> Table:
    table = Table(title="Jobs", title_justify="left")
    table.add_column("rule")
    for heading in ("jobs", "done", "to do", "time to do"):
        table.add_column(heading, justify="right")
    for rule in rules:
        left = rule.total - rule.done
        time = duration(rule.seconds) if rule.seconds is not None and left else ""
        table.add_row(rule.name, f"{rule.total:,}", f"{rule.done:,}", f"{left:,}", time)
    total, done = sum(rule.total for rule in rules), sum(rule.done for rule in rules)
    table.add_section()
    table.add_row("all", f"{total:,}", f"{done:,}", f"{total - done:,}", "")
    return table


def _print_reasons(results: Results, console: Console) -> None:
    """Say why results that are there are made again, the most frequent reasons first."""
    reasons = Counter((one.rule, one.reason) for one in results.due if one.state != "missing")
    for (rule, reason), count in reasons.most_common(REASONS):
        console.print(f"  {rule}: {count:,} again: {reason}", markup=False, soft_wrap=True)


def _print_size(plan: Plan, costs: Costs, console: Console) -> None:
    """Print how many files there will be, and how large they are where that is known."""
    files = len(plan.runs) * FILES_OF_RUN
    files += len(plan.runs) * len(plan.settings) * FILES_OF_SETTING
    size = _bytes(plan, costs)
    console.print(f"Files: about {files:,}" + (f", {_readable(size)}" if size else ""))


def _bytes(plan: Plan, costs: Costs) -> float | None:
    """Return the bytes of data, networks and samples; None where a shape is not known."""
    total = 0.0
    for dataset in plan.study.dataset:
        size = known_size(plan.paths, dataset)
        if size is None:
            return None
        shape, count = size
        each = math.prod(shape) * (1 if len(shape) == 3 else 4)
        runs = [run for run in plan.runs if run.dataset.id == dataset.id]
        samples = sum(setting.sample.count for setting in plan.settings)
        total += each * (count + len(runs) * samples)
        for run in runs:
            parameters = costs.parameters.get(_network_key(run), 0)
            total += parameters * (4 + CHECKPOINT_BYTES)
    return total


def _readable(size: float) -> str:
    """Write a number of bytes: "3.2 MB"."""
    power = min(4, int(math.log(max(size, 1), 1000)))
    return f"{size / 1000**power:.3g} {['B', 'kB', 'MB', 'GB', 'TB'][power]}"


def _print_time(
    rules: Sequence[RuleProgress], costs: Costs, earlier: bool, console: Console
) -> None:
    """Print the time of training and sampling together, and where it comes from."""
    known = [rule.seconds for rule in rules if rule.name in ("train", "sample")]
    sources = ["earlier jobs of this study"] if earlier else []
    if costs.probed:
        sources.append("a probe of a few steps on random data, in one process on this machine")
    if any(seconds is None for seconds in known):
        console.print(
            "Time: not known; allow the probe, or `scoresweep stage` the data first so that its "
            "shape is known",
            soft_wrap=True,
        )
        return
    seconds = sum(seconds for seconds in known if seconds is not None)
    if not seconds:
        console.print("Time: nothing is left to train or to sample")
        return
    console.print(
        f"Time: training and sampling take about {duration(seconds)} ({seconds / 3600:.2g} compute "
        f"hours) one after the other, by {' and '.join(sources)}",
        soft_wrap=True,
    )
