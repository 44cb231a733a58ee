"""Examine the results of a study."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from scoresweep.pipeline.results.best_step import find_best_step, has_best_step, weights_of
from scoresweep.pipeline.results.due_jobs import is_of_other_code, mark_due_jobs, mark_other_code
from scoresweep.pipeline.results.halving_stages import first_stage, next_stage, stages
from scoresweep.pipeline.results.report_state import report_state
from scoresweep.pipeline.results.result import Key, Result, Results, Rule, score_error_key
from scoresweep.pipeline.results.states import (
    dataset_state,
    list_names,
    metrics_state,
    network_state,
    recorded_dataset,
    reference_state,
    samples_state,
    score_error_state,
)
from scoresweep.pipeline.study import Plan, Run, Setting
from scoresweep.pipeline.study.batches import weights_of_task

__all__ = ["due_rules", "examine_results", "is_measured"]


def examine_results(plan: Plan, *, this_code: bool = False) -> Results:
    """Return the state of every result of `plan`.

    With `this_code`, results computed by other code count as outdated.
    """
    results = Results()
    by_key = results.by_key
    for dataset in plan.study.dataset:
        data = by_key["stage", dataset.id] = dataset_state(plan.paths, dataset)
        for extractor in plan.extractors:
            reference = reference_state(plan, dataset.id, extractor, data)
            by_key["reference", dataset.id, extractor] = reference
    for run in plan.runs:
        data = by_key["stage", run.dataset.id]
        by_key["train", run.id] = network_state(plan.paths, run.id, data)
        for name in plan.measured_weights(run):
            error = score_error_state(plan, run.id, _network(plan, results, run, name), data, name)
            by_key[score_error_key(run.id, name)] = error
    if this_code:
        mark_other_code(plan, by_key)
    files = {run.id: _Files.of(plan, run.id) for run in plan.runs}
    _examine_settings(plan, results, first_stage(plan), files, this_code)
    for counts in stages(plan):
        stage = next_stage(plan, results, counts)
        results.stages |= {(run, counts[1]): settings for run, settings in stage.items()}
        _examine_settings(plan, results, stage, files, this_code)
    _add_measured(plan, results, files)
    by_key["report",] = report_state(plan, results)
    return results


@dataclass(frozen=True)
class _Files:
    """Names of the files of a run, listed once."""

    samples: set[str]
    metrics: set[str]

    @classmethod
    def of(cls, plan: Plan, run: str) -> _Files:
        folders = (plan.paths.results / part / run for part in ("samples", "metrics"))
        return cls(*map(list_names, folders))


def _examine_settings(
    plan: Plan,
    results: Results,
    settings: Mapping[str, list[Setting]],
    files: Mapping[str, _Files],
    this_code: bool,
) -> None:
    """Add the states of settings, by run, and mark the jobs that are due."""
    options, found = plan.evaluate_hash(), dict[Key, Result]()
    for run in plan.runs:
        added = settings.get(run.id, [])
        results.settings.setdefault(run.id, []).extend(added)
        for setting in added:
            found |= _setting_states(plan, results, run, setting, files[run.id], options)
    if this_code:
        mark_other_code(plan, found)
    results.by_key |= found
    mark_due_jobs(plan, results)


def _setting_states(
    plan: Plan, results: Results, run: Run, setting: Setting, files: _Files, options: str
) -> dict[Key, Result]:
    """Return the states of the samples and the metrics of a setting of a run."""
    data, choice = results["stage", run.dataset.id], None
    if has_best_step(run, setting) and (choice := find_best_step(plan, run, setting)):
        results.best_steps[run.id, setting.id] = choice
    name = weights_of(plan, run, setting, choice)
    if name is None:
        samples, metrics = _without_step(plan, run, setting)
        return {("sample", run.id, setting.id): samples, ("evaluate", run.id, setting.id): metrics}
    network = _network(plan, results, run, name)
    samples = samples_state(plan.paths, run.id, setting, network, data, files.samples)
    metrics = metrics_state(plan, run.id, setting.id, samples, data, files.metrics, options)
    return {("sample", run.id, setting.id): samples, ("evaluate", run.id, setting.id): metrics}


def _without_step(plan: Plan, run: Run, setting: Setting) -> list[Result]:
    """Return the results of a setting whose training step is not chosen yet."""
    samples = plan.paths.samples_manifest(run.id, setting.store)
    reason = "its training step is not chosen yet"
    return [
        Result("sample", samples, "missing", reason),
        Result("evaluate", plan.paths.metrics(run.id, setting.id), "missing", reason),
    ]


def _network(plan: Plan, results: Results, run: Run, name: str) -> Result:
    """Return the state of a run's weights of this name."""
    if not name:
        return results["train", run.id]
    if (run.id, name) not in results.kept:
        data = results["stage", run.dataset.id]
        results.kept[run.id, name] = network_state(plan.paths, run.id, data, name)
    return results.kept[run.id, name]


def _add_measured(plan: Plan, results: Results, files: Mapping[str, _Files]) -> None:
    """Add what earlier choices of successive halving have measured and this one does not need.

    The choice changes if settings are added; values that are up to date stay in the report.
    """
    options = plan.evaluate_hash()
    for run, setting, count in itertools.product(plan.runs, plan.settings, plan.counts[1:]):
        id_ = setting.ids[count]
        name = plan.paths.metrics(run.id, id_).name
        if ("evaluate", run.id, id_) in results.by_key or name not in files[run.id].metrics:
            continue
        at = setting.at(count)
        states = _setting_states(plan, results, run, at, files[run.id], options)
        needed = [results["train", run.id], results["stage", run.dataset.id], *states.values()]
        if all(result.state == "done" and not result.is_due for result in needed):
            results.by_key |= states
            results.settings[run.id].append(at)


def is_measured(plan: Plan, run_id: str, task: str, *, this_code: bool = False) -> bool:
    """Return whether what a task measures, of a setting or a network, is up to date.

    With `this_code`, it must also have been computed by this code.
    """
    *used, measured = _task_results(plan, run_id, task)
    if any(result.state != "done" for result in (*used, measured)):
        return False
    return not (this_code and is_of_other_code(measured))


def due_rules(plan: Plan, run_id: str, task: str, *, this_code: bool = False) -> list[Rule]:
    """Return what must be computed for a task of a run, in order.

    With `this_code`, results of other code must be computed again.
    """
    network, *results = _task_results(plan, run_id, task)
    is_due, rules = network.state != "done", list[Rule]()
    for result in results:
        is_due = is_due or result.state != "done" or (this_code and is_of_other_code(result))
        rules += [result.rule] * is_due
    return rules


def _task_results(plan: Plan, run_id: str, task: str) -> list[Result]:
    """Return the network and what is made from it, the measurements last."""
    run, weights = plan.run(run_id), weights_of_task(task)
    data = recorded_dataset(plan.paths, run.dataset.id)
    network = network_state(plan.paths, run_id, data)
    if weights is not None:
        used = network_state(plan.paths, run_id, data, weights) if weights else network
        return [network, score_error_state(plan, run_id, used, data, weights)]
    setting = plan.setting(task)
    name = weights_of(plan, run, setting)
    if name is None:
        return [network, *_without_step(plan, run, setting)]
    used = network_state(plan.paths, run_id, data, name) if name else network
    samples = samples_state(plan.paths, run_id, setting, used, data)
    return [network, samples, metrics_state(plan, run_id, task, samples, data)]
