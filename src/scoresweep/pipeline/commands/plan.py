"""Command `plan`: print the jobs of a study, and estimate its files and its time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.commands.estimate.costs import Costs, costs_of_jobs, probe_unknown
from scoresweep.pipeline.commands.estimate.disk_space import (
    bytes_of_features,
    bytes_of_study,
    files_of_study,
    format_bytes,
)
from scoresweep.pipeline.commands.estimate.remaining import (
    RuleProgress,
    progress_of_rules,
    sampling_seconds,
)
from scoresweep.pipeline.commands.estimate.resolved_values import resolved_values
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
from scoresweep.pipeline.system.console import duration
from scoresweep.pipeline.system.provenance import usable_cores

__all__ = ["print_plan"]

STEP_NAMES: dict[str, str] = {
    "score_error": "score errors",
    "sample": "settings drawn",
    "evaluate": "settings measured",
}

MAX_VALUES = 10
"""Number of values of an axis to print."""

MAX_REASONS = 10
"""Number of reasons to print."""


def print_plan(
    plan: Plan,
    probe: bool = True,
    console: Console | None = None,
    settings_per_job: int | None = None,
) -> list[RuleProgress]:
    """Print the runs, settings, jobs, files and time of a study; return the jobs of each rule.

    Times come from earlier jobs of the study. If there are none and `probe` is true, a few steps
    are timed on this machine, on random data. By default, `settings_per_job` keeps the cores of
    this machine busy.
    """
    console = console or Console(highlight=False)
    results = examine_results(plan)
    check_kept_weights(plan, results)
    check_sources(plan, results)
    batches = split_into_batches(plan, usable_cores(), settings_per_job)
    results.by_key |= batch_results(plan, results, batches)
    jobs = collect_jobs(plan, results)
    costs = costs_of_jobs(plan, jobs)
    sources = ["from earlier jobs of this study"] if costs.step_seconds else []
    if probe:
        probe_unknown(plan, costs)
    if costs.probes:
        sources.append("from timing a few steps on random data, with one process on this machine")
    rules = progress_of_rules(plan, jobs, results, costs)
    _print_points(plan, console)
    for line in resolved_values(plan, results):
        console.print(f"  {line}", markup=False, soft_wrap=True)
    console.print(_table(rules))
    _print_reasons(results, console)
    _print_edited_plugins(plan, results, console)
    _print_files(plan, costs, console)
    _print_batches(batches, results, sampling_seconds(plan, jobs, costs), console)
    _print_time(rules, " and ".join(sources), _advice(plan, costs, probe), console)
    return rules


def _print_points(plan: Plan, console: Console) -> None:
    runs, settings = len(plan.runs), len(plan.settings)
    console.print(
        f"Study {plan.study.study}: {runs:,} runs × {settings:,} settings = "
        f"{runs * settings:,} sets of samples"
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
    seconds: Mapping[tuple[str, str], float] | None,
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
    if seconds is not None and due:
        each = [sum(seconds.get((run, t), 0.0) for t in tasks) for (run, _), tasks in due.items()]
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


def _print_time(rules: Sequence[RuleProgress], source: str, advice: str, console: Console) -> None:
    """Print the time of training and sampling together, and where the estimate comes from.

    `advice` says how to learn a time that is unknown.
    """
    seconds = [rule.seconds for rule in rules if rule.name in ("train", "sample")]
    known = [value for value in seconds if value is not None]
    if len(known) < len(seconds):
        text = f"Time: unknown; {advice}".removesuffix("; ")
    elif not sum(known):
        text = "Time: nothing left to train or to sample"
    else:
        text = (
            f"Time: about {duration(sum(known))} ({sum(known) / 3600:.2g} compute hours) to train "
            f"and sample one after the other, estimated {source}"
        )
    console.print(text, soft_wrap=True)
