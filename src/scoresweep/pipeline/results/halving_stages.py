"""Which settings each stage of successive halving works on, as far as that is known."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import NamedTuple

from scoresweep.pipeline.results.halving_choice import Measured, find_choice
from scoresweep.pipeline.results.result import Results
from scoresweep.pipeline.study import Plan, Setting

__all__ = ["Outcome", "first_stage", "next_stage", "outcomes", "stages"]

SettingsByRun = Mapping[str, list[Setting]]


class Outcome(NamedTuple):
    """How far a setting of a run got in successive halving."""

    setting: Setting
    """The setting at the largest count at which it is measured, or else at the first."""
    is_dropped: bool = False
    in_doubt: bool | None = None
    """Whether it was dropped though its interval overlaps that of one that was kept; None if that
    is not known."""


def stages(plan: Plan) -> list[tuple[int, int]]:
    """Return the numbers of samples before and after each choice; none without halving."""
    return list(itertools.pairwise(plan.counts))


def first_stage(plan: Plan) -> SettingsByRun:
    """Return what is drawn in any case: all settings, at the first count of halving."""
    return {run.id: plan.first_settings() for run in plan.runs}


def next_stage(plan: Plan, results: Results, counts: tuple[int, int]) -> SettingsByRun:
    """Return the settings that go on from `counts[0]` to `counts[1]` samples, by run.

    A group of runs is left out while one of its settings has to be measured. Its choice is unknown.
    """
    stage: dict[str, list[Setting]] = {}
    for group, runs in plan.halving_groups().items():
        pairs = [(run, s) for run in runs for s in results.settings_at(run.id, counts[0])]
        metrics = [results["evaluate", run.id, setting.id] for run, setting in pairs]
        if not pairs or any(result.is_due for result in metrics):
            continue
        measured = [Measured(*pair, m.sha256) for pair, m in zip(pairs, metrics, strict=True)]
        choice = results.choices[group, counts[1]] = find_choice(plan, group, measured, counts)
        if not any(each.kept for each in choice.configurations):
            continue  # the job of the next count says so, and fails
        stage |= {run.id: [] for run in runs}
        for run, setting in pairs:
            if choice.is_kept(run.id, setting):
                stage[run.id].append(setting.at(counts[1]))
    return stage


def outcomes(plan: Plan, results: Results) -> dict[tuple[str, str], Outcome]:
    """Return how far each setting got, by run and by the name of its sample store."""
    found: dict[tuple[str, str], Outcome] = {}
    at: dict[tuple[str, str], tuple[str, str]] = {}
    for run, settings in results.settings.items():
        for setting in sorted(settings, key=lambda setting: setting.sample.count):
            place = at[run, setting.id] = run, setting.store
            if place not in found or results["evaluate", run, setting.id].state == "done":
                found[place] = Outcome(setting)
    for choice in results.choices.values():
        for dropped in (each for each in choice.configurations if not each.kept):
            for one in dropped.settings:
                place = at[one.run, one.setting]
                count = found[place].setting.sample.count
                # More samples than this choice gave it are from an earlier choice.
                if choice.count <= count < max(plan.counts):
                    found[place] = Outcome(found[place].setting, True, dropped.in_doubt)
    return found
