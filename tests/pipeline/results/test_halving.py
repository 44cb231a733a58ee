"""The choice of successive halving."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from scoresweep.pipeline.results.halving import Candidate, Configuration, choose
from scoresweep.pipeline.study.expected_stages import number_kept


def candidate(name: str, value: float, half: float = math.nan, run: str = "run") -> Candidate:
    return Candidate(run, f"{name}-id", name, value, value - half, value + half)


def names(configurations: Any, kept: bool = True) -> list[str]:
    return [c.settings[0].configuration for c in configurations if c.kept is kept]


def test_the_lowest_values_are_kept():
    made = choose(
        [candidate(n, v) for n, v in zip("abcd", (3, 1, 4, 2), strict=True)], 0.5, "lower"
    )
    assert names(made) == ["b", "d"]
    assert names(made, kept=False) == ["a", "c"]


def test_the_highest_values_are_kept():
    made = choose(
        [candidate(n, v) for n, v in zip("abc", (0.3, 0.1, 0.4), strict=True)], 0.3, "higher"
    )
    assert names(made) == ["c"]


@pytest.mark.parametrize(
    ("number", "keep", "kept"),
    [
        (27, 0.33, 9),
        (9, 0.33, 3),
        (30, 0.1, 3),
        (10, 0.7, 7),
        (1, 0.1, 1),
        (3, 0.5, 2),
        (7, 0.99, 7),
    ],
)
def test_the_share_is_rounded_up(number, keep, kept):
    assert number_kept(number, keep) == kept


def test_equal_values_are_chosen_by_name_in_any_order():
    candidates = [candidate(name, 1.0) for name in "abcdef"]
    for seed in range(5):
        random.Random(seed).shuffle(candidates)
        assert names(choose(candidates, 0.5, "lower")) == ["a", "b", "c"]


def test_settings_that_differ_in_a_seed_are_kept_together_by_their_mean():
    lucky = [candidate("lucky", 0.0, run="seed=0"), candidate("lucky", 9.0, run="seed=1")]
    steady = [candidate("steady", 2.0, run="seed=0"), candidate("steady", 2.0, run="seed=1")]
    made = choose([*lucky, *steady], 0.5, "lower")
    assert names(made) == ["steady"]
    assert made[0].value == 2.0
    assert [c.run for c in made[0].settings] == ["seed=0", "seed=1"]
    assert made[1].value == 4.5


def test_a_setting_without_a_value_is_never_kept():
    made = choose(
        [candidate("a", math.nan), candidate("b", 5.0), candidate("c", math.nan)], 0.9, "lower"
    )
    assert names(made) == ["b"]
    assert names(choose([candidate("a", math.nan)], 0.5, "lower")) == []


@pytest.mark.parametrize(("better", "sign"), [("lower", 1), ("higher", -1)])
def test_a_dropped_one_is_in_doubt_if_its_interval_overlaps_a_kept_one(better, sign):
    values = {"best": 1.0, "second": 1.3, "third": 1.6, "last": 3.0}
    made = choose([candidate(n, sign * v, 0.2) for n, v in values.items()], 0.5, better)
    assert {c.settings[0].configuration: c.in_doubt for c in made} == {
        "best": False,
        "second": False,
        "third": True,  # from 1.4; the second ends at 1.5
        "last": False,
    }


def test_without_intervals_doubt_is_unknown():
    made = choose([candidate("a", 1.0), candidate("b", 2.0)], 0.5, "lower")
    assert made[1].in_doubt is None


def test_the_record_gives_the_same_configurations():
    made = choose(
        [candidate("a", 1.0, 0.1), candidate("b", 2.0), candidate("c", math.nan)], 0.5, "lower"
    )
    again = [Configuration.from_record(c.record()) for c in made]
    assert [repr(c) for c in again] == [repr(c) for c in made]  # NaN differs from itself
