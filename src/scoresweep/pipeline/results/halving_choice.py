"""The choice of one stage of successive halving: made from metrics, kept in a file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from scoresweep.pipeline.results.halving import Candidate, Configuration, choose
from scoresweep.pipeline.results.input_hashes import MADE_FROM
from scoresweep.pipeline.study import Plan, Run, Setting
from scoresweep.pipeline.study.axis_names import is_repeat
from scoresweep.pipeline.study.methods.metrics import Better, ranking_measures
from scoresweep.pipeline.system.atomic_files import write_json

__all__ = ["Choice", "Measured", "find_choice", "write_choice"]


class Measured(NamedTuple):
    """A setting of a run that has metrics, and their hash."""

    run: Run
    setting: Setting
    sha256: str | None


@dataclass(frozen=True)
class Choice:
    """Which settings of a group of runs go on to more samples."""

    group: str
    measure: str
    better: Better
    keep: float
    count: int
    """Number of samples at which the settings were measured."""
    next_count: int
    """Number of samples of those that go on."""
    configurations: tuple[Configuration, ...]
    """All that were measured, the best first."""
    made_from: str
    """Hash of the measurements and of the options of the choice."""
    is_written: bool = field(default=False, compare=False)
    """Whether its file holds it."""

    def is_kept(self, run: str, setting: Setting) -> bool:
        """Return whether a setting of a run goes on."""
        return (run, setting.at(self.count).id) in self._kept

    @cached_property
    def _kept(self) -> set[tuple[str, str]]:
        return {
            (setting.run, setting.setting)
            for configuration in self.configurations
            if configuration.kept
            for setting in configuration.settings
        }


def find_choice(
    plan: Plan, group: str, measured: Sequence[Measured], counts: tuple[int, int]
) -> Choice:
    """Return the choice from `counts[0]` to `counts[1]` samples.

    It is read from its file if that was made from the same measurements, and else made from them.

    Args:
        plan: the study.
        group: the runs whose settings compete, by `Plan.halving_groups`.
        measured: those settings.
        counts: number of samples at which they were measured, and of those that go on.
    """
    halving, evaluate = plan.halving, plan.evaluate_blocks[0]
    assert halving is not None
    better = ranking_measures(evaluate.sample_metrics, evaluate.feature_extractors)[halving.measure]
    inputs = [
        halving.measure,
        better,
        halving.keep,
        sorted((m.run.id, m.setting.id, m.sha256 or "") for m in measured),
    ]
    made_from = hashlib.sha256(json.dumps(inputs).encode()).hexdigest()
    configurations = _read(plan.paths.halving_choice(group, counts[1]), made_from)
    is_written = configurations is not None
    if configurations is None:
        candidates = [_candidate(plan, one, halving.measure) for one in measured]
        configurations = choose(candidates, halving.keep, better)
    options = halving.measure, better, halving.keep
    return Choice(group, *options, *counts, configurations, made_from, is_written)


def write_choice(plan: Plan, choice: Choice) -> None:
    """Write a choice to its file, unless that holds it already."""
    if not choice.is_written:
        content = {
            "measure": choice.measure,
            "better": choice.better,
            "keep": choice.keep,
            "count": choice.count,
            "next_count": choice.next_count,
            MADE_FROM: choice.made_from,
            "configurations": [each.record() for each in choice.configurations],
        }
        path = plan.paths.halving_choice(choice.group, choice.next_count)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, content)


def _read(path: Path, made_from: str) -> tuple[Configuration, ...] | None:
    """Return the content of a file; None if it is missing, damaged or made from other inputs."""
    try:
        content = json.loads(path.read_bytes())
        if content[MADE_FROM] != made_from:
            return None
        return tuple(Configuration.from_record(record) for record in content["configurations"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _candidate(plan: Plan, measured: Measured, measure: str) -> Candidate:
    """Read the value of a measured setting, with its interval; NaN if it has none."""
    run, setting, _ = measured
    names = (measure, f"{measure}_low", f"{measure}_high")
    value, low, high = _read_numbers(plan.paths.metrics(run.id, setting.id), names)
    return Candidate(run.id, setting.id, _configuration(plan, run, setting), value, low, high)


def _read_numbers(path: Path, names: Sequence[str]) -> list[float]:
    """Read variables of a NetCDF file that are one number each; NaN if it has none of that name.

    Thousands of files are read in seconds, by h5py's low-level interface.
    """
    import numpy as np
    from h5py import h5d, h5f, h5s

    numbers, number = [], np.empty(1)
    with contextlib.closing(h5f.open(os.fsencode(path), h5f.ACC_RDONLY)) as file:
        for name in map(str.encode, names):
            number[0] = np.nan
            if name in file:
                dataset = h5d.open(file, name)
                assert dataset.get_space().get_simple_extent_npoints() == 1
                dataset.read(h5s.ALL, h5s.ALL, number.reshape(dataset.shape))
            numbers.append(float(number[0]))
    return numbers


def _configuration(plan: Plan, run: Run, setting: Setting) -> str:
    """Return the axes apart from seeds, which are the same for settings that go on together."""
    assert plan.halving is not None
    points: Sequence[Mapping[str, Any]] = [setting.axes]
    if plan.halving.over == "study":
        points = [run.axes, setting.axes]
    values = [{axis: v for axis, v in point.items() if not is_repeat(axis)} for point in points]
    return json.dumps(values)
