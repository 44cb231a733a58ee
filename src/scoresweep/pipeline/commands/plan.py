"""Command `plan`: print the jobs of a study, and estimate its files and its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.commands.estimate.costs import Costs, costs_of_jobs
from scoresweep.pipeline.commands.estimate.disk_space import (
    bytes_of_features,
    bytes_of_study,
    files_of_study,
    format_bytes,
)
from scoresweep.pipeline.commands.estimate.job_seconds import JobSeconds
from scoresweep.pipeline.commands.estimate.levels import sample_shape
from scoresweep.pipeline.commands.estimate.probe_processes import MAX_PROCESSES, time_in_processes
from scoresweep.pipeline.commands.estimate.remaining import (
    RuleProgress,
    TimeLeft,
    progress_of_rules,
    time_left,
)
from scoresweep.pipeline.commands.estimate.resolved_values import resolved_values
from scoresweep.pipeline.commands.estimate.task_seconds import TaskSeconds
from scoresweep.pipeline.results import (
    SWEEP_STEPS,
    Results,
    batch_results,
    due_tasks,
    examine_results,
    num_due_tasks,
)
from scoresweep.pipeline.results.kept_weights import check_kept_weights
from scoresweep.pipeline.results.plugin_edits import find_edits
from scoresweep.pipeline.results.source_checks import check_sources
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.batches import Batch, split_into_batches
from scoresweep.pipeline.study.dataset_size import dataset_size
from scoresweep.pipeline.study.expected_stages import expected_stages
from scoresweep.pipeline.system.console import counted, duration
from scoresweep.pipeline.system.provenance import usable_cores

__all__ = ["PlanEstimate", "estimate_plan", "print_plan"]

STEP_NAMES: dict[str, str] = {
    "score_error": "score errors",
    "sample": "settings drawn",
    "evaluate": "settings measured",
}

TIMED = ("reference", "train", "sweep")
"""Rules whose work is timed if some of it is left to do."""

LOADED = 1.2
"""Slowdown by other load from which it is printed."""

MAX_VALUES = 10
"""Number of values of an axis to print."""

MAX_REASONS = 10
"""Number of reasons to print."""


class PlanEstimate(NamedTuple):
    """What a study will run, and how long it takes."""

    results: Results
    batches: list[Batch]
    jobs: JobSeconds
    rules: list[RuleProgress]
    left: TimeLeft | None
    """The time until all jobs are done; None if it is unknown."""
    sources: list[str]
    """What the times were estimated from."""


def estimate_plan(
    plan: Plan,
    probe: bool = True,
    settings_per_job: int | None = None,
    cores: int | None = None,
    gpus: int = 0,
    tflops: float | None = None,
) -> PlanEstimate:
    """Return the jobs of a study and their times.

    Times come from earlier jobs of the study. If `probe` is true, what these do not show is timed
    on this machine. By default, `cores` are those of this machine, and `settings_per_job` keeps
    them busy. If jobs use a GPU each, `gpus` is the number of these. With `tflops`, the operations
    of networks are counted, and a GPU is assumed to do that many times 10¹² of them in a second.
    """
    cores = cores or usable_cores()
    results = examine_results(plan)
    check_kept_weights(plan, results)
    check_sources(plan, results)
    batches = split_into_batches(plan, cores, settings_per_job)
    results.by_key |= batch_results(plan, results, batches)
    beside = min(cores, gpus) if gpus else cores
    jobs, sources = _estimate(
        plan, results, batches, beside, probe=probe, on_gpu=gpus > 0, tflops=tflops
    )
    left = time_left(jobs, beside)
    return PlanEstimate(results, batches, jobs, progress_of_rules(jobs), left, sources)


def print_plan(
    plan: Plan,
    probe: bool = True,
    console: Console | None = None,
    settings_per_job: int | None = None,
    cores: int | None = None,
    gpus: int = 0,
    tflops: float | None = None,
) -> list[RuleProgress]:
    """Print the runs, settings, jobs, files and time of a study; return the jobs of each rule.

    The options are those of `estimate_plan`.
    """
    console = console or Console(highlight=False)
    found = estimate_plan(plan, probe, settings_per_job, cores, gpus, tflops)
    costs = found.jobs.tasks.costs
    _print_points(plan, console)
    for line in resolved_values(plan, found.results):
        console.print(f"  {line}", markup=False, soft_wrap=True)
    console.print(_table(found.rules))
    _print_reasons(found.results, console)
    _print_edited_plugins(plan, found.results, console)
    _print_files(plan, costs, console)
    _print_batches(found.batches, found.results, found.jobs.tasks.drawing, console)
    _print_time(found.left, found.sources, _advice(plan, costs, probe), console)
    return found.rules


def _estimate(
    plan: Plan,
    results: Results,
    batches: Sequence[Batch],
    beside: int,
    *,
    probe: bool,
    on_gpu: bool,
    tflops: float | None,
) -> tuple[JobSeconds, list[str]]:
    """Return the time of the jobs, `beside` each other, and what it is estimated from."""
    states = collect_jobs(plan, results)
    costs = costs_of_jobs(plan, states)
    if tflops is not None:  # earlier jobs may have run on another device
        costs = replace(costs, step_seconds={}, sample_seconds={})
    is_known = any(costs.step_seconds.values()) or costs.sample_seconds
    sources = ["earlier jobs of this study"] if is_known else []
    due = [result for result in results.due_jobs if result.rule in TIMED]
    if probe and due and any(sample_shape(plan, dataset) for dataset in plan.study.dataset):
        processes = 1 if on_gpu else min(beside, len(due), MAX_PROCESSES)
        device = "cuda" if on_gpu and tflops is None else "cpu"
        costs.add(time_in_processes(plan, costs, processes, device, tflops))
        if tflops is not None:
            sources.append(f"the networks' operations on GPUs of {tflops:g} TFLOP/s")
        part = "of the work" if tflops is None else "of the other work"
        which = "a process" if processes == 1 else f"{processes} processes beside each other"
        data = "random data" if costs.probes else "this machine"
        slowed = f", {costs.slowdown:.1f} times slowed by other load," * (costs.slowdown > LOADED)
        sources.append(
            f"timing a little {part} on {data}, in {which}{slowed} each of one thread and "
            f"started like those of the jobs ({costs.start_seconds:.1f} s)"
        )
    return JobSeconds(TaskSeconds(plan, states, costs), results, batches), sources


def _print_points(plan: Plan, console: Console) -> None:
    runs, settings = len(plan.runs), len(plan.settings)
    console.print(
        f"Study {plan.study.study}: {counted(runs, 'run')} × {counted(settings, 'setting')} = "
        f"{counted(runs * settings, 'set')} of samples"
    )
    if plan.halving:
        stages = [f"about {n:,} at {count:,} samples" for count, n in expected_stages(plan)]
        stages[0] = stages[0].removeprefix("about ")
        which = "each run" if plan.halving.over == "run" else "all runs together, mean per run"
        console.print(f"Successive halving, settings of {which}: {', '.join(stages)}")
    for kind, points in (
        ("runs", [run.axes for run in plan.runs]),
        ("settings", [setting.axes for setting in plan.settings]),
        ("evaluations", [evaluation.axes for evaluation in plan.evaluations]),
    ):
        for axis in points[0]:
            values = list(dict.fromkeys(str(point[axis]) for point in points))
            hidden = len(values) - MAX_VALUES
            more = f" and {hidden} more" if hidden > 0 else ""
            listed = ", ".join(values[:MAX_VALUES])
            console.print(f"  {kind} over {axis}: {listed}{more}", markup=False)


def _table(rules: Sequence[RuleProgress]) -> Table:
    table = Table(title="Jobs", title_justify="left")
    table.add_column("rule")
    for heading in ("jobs", "done", "to do", "time to do"):
        table.add_column(heading, justify="right")
    jobs = [rule for rule in rules if rule.name not in SWEEP_STEPS]
    for rule in jobs:
        table.add_row(*_row(rule, rule.name))
        for step in [step for step in rules if rule.name == "sweep" and step.name in SWEEP_STEPS]:
            table.add_row(*_row(step, f"  {STEP_NAMES[step.name]}"), style="dim")
    total, done = sum(rule.total for rule in jobs), sum(rule.done for rule in jobs)
    table.add_section()
    table.add_row("all", f"{total:,}", f"{done:,}", f"{total - done:,}", "")
    return table


def _row(rule: RuleProgress, name: str) -> list[str]:
    remaining = rule.total - rule.done
    time = duration(rule.seconds) if rule.seconds is not None and remaining else ""
    return [name, f"{rule.total:,}", f"{rule.done:,}", f"{remaining:,}", time]


def _print_reasons(results: Results, console: Console) -> None:
    """Print why existing results are recomputed, the most frequent reasons first."""
    reasons = Counter((job.rule, job.reason) for job in results.due if job.state != "missing")
    for (rule, reason), count in reasons.most_common(MAX_REASONS):
        console.print(f"  {rule}: {count:,} to rerun: {reason}", markup=False, soft_wrap=True)


def _print_edited_plugins(plan: Plan, results: Results, console: Console) -> None:
    """Print which plugins were edited, and what is computed again because of that."""
    for edit, found in find_edits(plan, results).items():
        methods = ", ".join(sorted(found.methods))
        before, now = (_short(content) for content in (edit.before, edit.now))
        text = (
            f"  {edit.plugin}: edited since it was used ({methods}: {before}, now {now}); to "
            f"compute again: runs {len(found.runs):,}, sets of samples {len(found.samples):,}, "
            f"measurements {len(found.measured):,}, features of real data "
            f"{len(found.references):,}"
        )
        console.print(text, markup=False, soft_wrap=True)


def _short(content: str) -> str:
    """Return the start of a SHA-256, a version, or both."""
    sha256, word, version = content.partition("version ")
    parts = [f"SHA-256 {sha256[:12].strip()}"] * bool(sha256) + [f"{word}{version}"] * bool(word)
    return " ".join(parts)


def _print_batches(
    batches: Sequence[Batch],
    results: Results,
    seconds: Mapping[tuple[str, str], float | None],
    console: Console,
) -> None:
    """Print the number of batches to do, their size and how long drawing takes in each."""
    sizes = {(batch.run, batch.name): num_due_tasks(results, batch) for batch in batches}
    sizes = {key: size for key, size in sizes.items() if size}
    if not sizes:
        return
    text = f"Batches: {len(sizes):,} sweep jobs of up to {max(sizes.values()):,} tasks"
    due = {(batch.run, batch.name): due_tasks(results, batch) for batch in batches}
    due = {key: tasks for key, tasks in due.items() if tasks}
    if None not in seconds.values() and due:
        each = [sum(seconds.get((run, t)) or 0.0 for t in tasks) for (run, _), tasks in due.items()]
        text += f", about {duration(sum(each) / len(each))} of drawing each"
        text += f", {duration(max(each))} at most" * (max(each) > 1.1 * min(each))
    console.print(f"{text} (settings_per_job sets their size)", soft_wrap=True)


def _print_files(plan: Plan, costs: Costs, console: Console) -> None:
    """Print the number and the size of files, and how much of it are features."""
    size, features = bytes_of_study(plan, costs), bytes_of_features(plan)
    text = f"Files: about {files_of_study(plan):,}"
    if size:
        text += f", {format_bytes(size)}"
    if features:
        text += (
            f"; {format_bytes(features)} of it are features of samples, which "
            f"`evaluate: {{keep_features: false}}` leaves out"
        )
    console.print(text, markup=False, soft_wrap=True)


def _advice(plan: Plan, costs: Costs, probe: bool) -> str:
    """Return how to learn the time of jobs of unknown cost."""
    datasets, paths = plan.study.dataset, plan.paths
    is_staged = all(paths.dataset_manifest(dataset.id).exists() for dataset in datasets)
    facts = [*(dataset_size(paths, dataset) for dataset in datasets), *costs.levels.values()]
    if None not in facts and (is_staged or not probe):
        return "" if probe else "leave out --no-probe to time a few steps"
    again = "plan again" if probe else "plan without --no-probe"
    return f"the data are not staged yet. Run `scoresweep stage STUDY`, then {again}"


def _print_time(
    left: TimeLeft | None, sources: Sequence[str], advice: str, console: Console
) -> None:
    """Print the time until all jobs are done, and where the estimate comes from.

    `advice` says how to learn a time that is unknown.
    """
    if left is None:
        text = f"Time: unknown; {advice}".removesuffix("; ")
    elif not left.core_seconds:
        text = "Time: nothing left to do"
    else:
        number = f"{left.cores} jobs beside each other" if left.cores > 1 else "one job at a time"
        text = (
            f"Time: about {duration(left.seconds)} from staging to the report, with {number} "
            f"({_hours(left.core_seconds)} in all), estimated from "
            f"{' and from '.join(sources)}. Downloads are not included"
        )
    console.print(text, markup=False, soft_wrap=True)


def _hours(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.2g} hours" if hours < 10 else f"{hours:,.0f} hours"
