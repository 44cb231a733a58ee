"""Successive halving: choose the settings of which more samples are drawn.

Settings that differ in a seed only form one configuration: its value is their mean, and they are
kept or dropped together, so that a lucky seed decides nothing. The choice depends on the values
only; equal values are ordered by name.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from scoresweep.pipeline.study.expected_stages import number_kept
from scoresweep.pipeline.study.methods.metrics import Better

__all__ = ["Candidate", "Configuration", "choose"]


class Candidate(NamedTuple):
    """A setting of a run that was measured, and its value with its 95 % interval."""

    run: str
    setting: str
    """Id of the setting at the count at which it was measured."""
    configuration: str
    """Settings with the same text differ in a seed only."""
    value: float
    """NaN if the measure could not be computed."""
    low: float
    high: float
    """NaN without an interval."""


@dataclass(frozen=True)
class Configuration:
    """Settings that differ in a seed only, and whether they go on."""

    settings: tuple[Candidate, ...]
    value: float
    """Mean over the settings; NaN if one of them has none."""
    low: float
    """Mean over the settings of the ends of their intervals: of the sampling, not of the networks,
    which are the same for all configurations of a run."""
    high: float
    kept: bool
    in_doubt: bool | None
    """Whether it was dropped although its interval overlaps that of one that was kept; None if an
    interval is missing."""

    def record(self) -> dict[str, Any]:
        """Return plain values for the choice file; a missing number is None."""
        return {
            "kept": self.kept,
            "in_doubt": self.in_doubt,
            **_numbers(self.value, self.low, self.high),
            "settings": [
                {
                    "run": candidate.run,
                    "setting": candidate.setting,
                    "configuration": candidate.configuration,
                    **_numbers(candidate.value, candidate.low, candidate.high),
                }
                for candidate in self.settings
            ],
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Configuration:
        """Return a configuration of a choice file."""
        settings = tuple(
            Candidate(s["run"], s["setting"], s["configuration"], *_floats(s))
            for s in record["settings"]
        )
        return cls(settings, *_floats(record), record["kept"], record["in_doubt"])


def choose(
    candidates: Iterable[Candidate], keep: float, better: Better
) -> tuple[Configuration, ...]:
    """Return all configurations, the best first, and mark those to keep.

    The share `keep` of the configurations is kept, rounded up, but none without a value.
    """
    sign = 1.0 if better == "lower" else -1.0
    ordered = sorted(candidates, key=lambda c: (c.configuration, c.run, c.setting))
    means = [
        _mean(tuple(group))
        for _, group in itertools.groupby(ordered, key=lambda c: c.configuration)
    ]
    means.sort(key=lambda mean: (math.isnan(mean.value), sign * mean.value))
    number = min(number_kept(len(means), keep), sum(not math.isnan(mean.value) for mean in means))
    kept, dropped = means[:number], means[number:]
    return tuple(
        [replace(mean, kept=True, in_doubt=False) for mean in kept]
        + [replace(mean, in_doubt=_overlaps(mean, kept, better)) for mean in dropped]
    )


def _mean(settings: tuple[Candidate, ...]) -> Configuration:
    """Return a configuration with the means of its settings; NaN if one is."""
    value = statistics.fmean(setting.value for setting in settings)
    low = statistics.fmean(setting.low for setting in settings)
    high = statistics.fmean(setting.high for setting in settings)
    return Configuration(settings, value, low, high, kept=False, in_doubt=None)


def _overlaps(dropped: Configuration, kept: Sequence[Configuration], better: Better) -> bool | None:
    """Return whether the interval of a dropped configuration overlaps one of `kept`.

    None if that is not known: it or all others have no interval. Without a value it does not.
    """
    if math.isnan(dropped.value):
        return False
    ends = [k.high if better == "lower" else k.low for k in kept]
    ends = [end for end in ends if not math.isnan(end)]
    own = dropped.low if better == "lower" else dropped.high
    if math.isnan(own) or not ends:
        return None
    return own <= max(ends) if better == "lower" else own >= min(ends)


def _numbers(*numbers: float) -> dict[str, float | None]:
    names = ("value", "low", "high")
    return {
        name: None if math.isnan(number) else number
        for name, number in zip(names, numbers, strict=True)
    }


def _floats(record: dict[str, Any]) -> tuple[float, float, float]:
    value, low, high = (
        math.nan if record[name] is None else float(record[name])
        for name in ("value", "low", "high")
    )
    return value, low, high
