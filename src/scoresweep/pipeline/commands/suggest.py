"""Command `suggest`: noise ladders and step sizes by the rules of NCSNv2, beside a study's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from rich.console import Console
from rich.table import Table

from scoresweep.noise import step_size_by_technique_4
from scoresweep.pipeline.commands.estimate.levels import ladder_levels
from scoresweep.pipeline.commands.start.data_facts import DataFacts, describe_data
from scoresweep.pipeline.commands.start.ladder_numbers import (
    SMALLEST_DIMENSION,
    LadderNumbers,
    ladder_numbers,
)
from scoresweep.pipeline.commands.start.sigma_mins import sigma_mins, unit_of_sigma
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.methods.datasets import Dataset
from scoresweep.pipeline.study.methods.samplers import AnnealedLangevin
from scoresweep.sampler_limits import step_size_limit

__all__ = ["OwnLadder", "suggest"]

DEFAULT_STEPS = 5
"""Steps per level, for a study without annealed Langevin dynamics."""


@dataclass(frozen=True)
class OwnLadder:
    """A ladder of the study and how annealed Langevin dynamics samples it."""

    name: str
    levels: list[float]
    sampler: AnnealedLangevin
    step_sizes: list[str] = field(default_factory=list)
    """Those of the study, as it states them."""

    @property
    def by_technique_4(self) -> float | None:
        """Technique 4's step size; None for a single level or another step rule."""
        if len(self.levels) < 2 or self.sampler.step_rule != "variance":
            return None
        sigmas = torch.tensor(self.levels, dtype=torch.float64)
        return step_size_by_technique_4(sigmas, self.sampler.steps_per_level)

    @property
    def limit(self) -> float:
        """Step size from which samples diverge."""
        return step_size_limit(self.levels, self.sampler.step_rule)


def suggest(plan: Plan, console: Console | None = None) -> dict[str, list[LadderNumbers]]:
    """Print the numbers for several sigma_min, and those of the study; return the first by dataset.

    Raises:
        InputError: if a dataset is not staged.
    """
    console = console or Console(highlight=False)
    found = {}
    for dataset in plan.study.dataset:
        if not plan.paths.dataset_manifest(dataset.id).exists():
            raise InputError(
                f"{plan.paths.dataset_store(dataset.id)}: no such store. Run `scoresweep stage "
                f"STUDY` first: the numbers follow from the training samples."
            )
        facts, own = describe_data(plan, dataset), _own_ladders(plan, dataset)
        rows = found[dataset.id] = list(_rows(facts, own))
        text = (
            f"{dataset.id}: sigma_max {_text(facts.sigma_max)} by Technique 1, the largest "
            f"distance of two of {facts.train_count:,} training samples"
        )
        console.print(text, markup=False, soft_wrap=True)
        console.print(_table(facts, rows, own))
        for ladder in own:
            console.print(_line(ladder), markup=False, soft_wrap=True)
    return found


def _own_ladders(plan: Plan, dataset: Dataset) -> list[OwnLadder]:
    """Return what the study samples on a dataset by annealed Langevin dynamics."""
    found: dict[tuple[str, int, str], OwnLadder] = {}
    for run in (run for run in plan.runs if run.dataset.id == dataset.id):
        for sample in (setting.sample for setting in plan.settings):
            noise, sampler = sample.noise or run.train.noise, sample.sampler
            if not isinstance(sampler, AnnealedLangevin):
                continue
            key = noise.model_dump_json(), sampler.steps_per_level, sampler.step_rule
            if key not in found:
                levels = ladder_levels(plan, noise, dataset)
                assert levels is not None  # the data are staged
                found[key] = OwnLadder(noise.name, levels, sampler)
            size = sampler.step_size if sampler.step_size == "auto" else _text(sampler.step_size)
            if size not in found[key].step_sizes:
                found[key].step_sizes.append(size)
    return list(found.values())


def _rows(facts: DataFacts, own: Iterable[OwnLadder]) -> Iterable[LadderNumbers]:
    """Yield the numbers of each sigma_min and each number of steps of the study."""
    unit = unit_of_sigma(facts.is_image, facts.std)
    lasts = {*sigma_mins(unit), *_last_levels(own)}
    steps = sorted({ladder.sampler.steps_per_level for ladder in own}) or [DEFAULT_STEPS]
    for last in sorted(lasts, reverse=True):
        for number in steps if last < facts.sigma_max else []:
            yield ladder_numbers(facts.sigma_max, last, facts.dimension, number)


def _last_levels(own: Iterable[OwnLadder]) -> set[float]:
    return {float(f"{ladder.levels[-1]:.6g}") for ladder in own}


def _table(facts: DataFacts, rows: Iterable[LadderNumbers], own: Iterable[OwnLadder]) -> Table:
    table = Table()
    rule = "Technique 2" if facts.dimension >= SMALLEST_DIMENSION else "as NCSN"
    headings = f"levels\n{rule}", "steps_per_\nlevel", "step_size\nTechnique 4", "stable\nbelow"
    for heading in ("sigma_min\n", *headings):
        table.add_column(heading, justify="right")
    table.add_column("")
    for row in rows:
        sizes = _text(row.step_size), _text(row.step_size_limit)
        note = "sigma_min of the study" if row.sigma_min in _last_levels(own) else ""
        counts = str(row.levels), str(row.steps_per_level)
        table.add_row(_text(row.sigma_min), *counts, *sizes, note)
    return table


def _line(own: OwnLadder) -> str:
    """Return a line with the numbers of the study."""
    first, last = own.levels[0], own.levels[-1]
    rule, best = own.sampler.step_rule, own.by_technique_4
    by_rule = "" if best is None else f"Technique 4: {_text(best)}; "
    return (
        f"The study: {own.name}, sigma_max {_text(first)}, sigma_min {_text(last)}, levels "
        f"{len(own.levels)}, steps_per_level {own.sampler.steps_per_level}, step_rule {rule}: "
        f"step_size {', '.join(own.step_sizes)} ({by_rule}stable below {_text(own.limit)})"
    )


def _text(value: float) -> str:
    return f"{value:.4g}"
