"""Weights that a finished run lacks, because it was trained without keeping them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from scoresweep.pipeline.errors import InputError, join_names
from scoresweep.pipeline.results.best_step import has_best_step, step_plan
from scoresweep.pipeline.results.result import Results, score_error_key
from scoresweep.pipeline.study import Plan, Run
from scoresweep.pipeline.system.atomic_files import read_json

__all__ = ["check_kept_weights", "describe_missing"]


def check_kept_weights(plan: Plan, results: Results) -> None:
    """Raise `InputError` if jobs that are due need weights that a finished run lacks.

    Training it again could take days, so that is left to the user.
    """
    problems = []
    for run in plan.runs:
        needed = [] if results["train", run.id].is_due else _needed(plan, results, run)
        names = [name for name in dict.fromkeys(needed) if name]
        if missing := [name for name in names if not plan.paths.weights(run.id, name).exists()]:
            problems.append(describe_missing(plan.paths.run(run.id), missing))
    if problems:
        raise InputError("\n".join(problems))


def _needed(plan: Plan, results: Results, run: Run) -> Iterator[str]:
    """Yield the names of weights that due jobs of a run need."""
    for name in plan.measured_weights(run):
        if results[score_error_key(run.id, name)].is_due:
            yield name
    for setting in results.settings[run.id]:
        if not results["sample", run.id, setting.id].is_due:
            continue
        steps = step_plan(plan, run, setting).settings if has_best_step(run, setting) else [setting]
        yield from (run.weights_of(each.sample) for each in steps)


def describe_missing(run_folder: Path, names: Iterable[str]) -> str:
    """Say which weights a finished run lacks, which it has, and how to get those that it lacks."""
    if "imported" in read_json(run_folder / "provenance.json"):
        return (
            f"{run_folder}: was imported from a file, which holds one set of weights and not "
            f"{join_names(names)}. Leave out sample.training_step and sample.ema, or import the "
            f"file of each step or decay into a study of its own"
        )
    kept = sorted(path.parent.name for path in run_folder.glob("kept/*/model.safetensors"))
    return (
        f"{run_folder}: was trained without keeping the weights {join_names(names)}; it has the "
        f"last ones and {join_names(kept) if kept else 'no others'}. Sample with one of these "
        f"(sample.training_step, sample.ema), or delete this folder: the run is then trained "
        f"again, from the same seed, and keeps them"
    )
