"""Limits of samplers' options on a ladder."""

from __future__ import annotations

import subprocess
import sys
from math import inf

import pytest

from scoresweep.sampler_limits import check_annealed_langevin, check_consistent, check_langevin

LADDER = [8.0, 2.0, 0.5]
UNKNOWN = [inf, 0.5]


@pytest.mark.parametrize(
    ("sigmas", "rule", "limit"),
    [
        (LADDER, "variance", 0.5),
        (UNKNOWN, "variance", 0.5),
        (LADDER, "constant", 0.5),
        (UNKNOWN, "constant", 0.5),
        (LADDER, "linear", 8.0),
        (UNKNOWN, "linear", inf),
        (LADDER, "denoise", inf),
    ],
)
def test_annealed_langevin_must_not_diverge(sigmas, rule, limit):
    check_annealed_langevin(sigmas, step_size=min(limit, 1e9) * 0.999, step_rule=rule)
    if limit < inf:
        with pytest.raises(ValueError, match=rf"^step_size: {limit:g}: .*'{rule}'.* = {limit:g}$"):
            check_annealed_langevin(sigmas, step_size=limit, step_rule=rule)


def test_an_automatic_step_size_needs_its_rule_and_two_levels():
    for sigmas in (LADDER, UNKNOWN):
        check_annealed_langevin(sigmas, step_size="auto")
    with pytest.raises(ValueError, match=r"^step_size: 'auto': .*'variance'.*'linear'"):
        check_annealed_langevin(UNKNOWN, step_size="auto", step_rule="linear")
    with pytest.raises(ValueError, match=r"^step_size: 'auto': .*two levels"):
        check_annealed_langevin([0.5], step_size="auto")


@pytest.mark.parametrize(
    ("sigmas", "steps", "low", "high"),
    [
        ([8.0, 4.0, 2.0, 1.0, 0.5], 1, 0.125, 0.375),  # γ = 1/2
        ([8.0, 7.0, 1.0, 0.5], 1, 0.25 * 6 / 7, 0.25 * 8 / 7),  # γ = 1/7
        ([2.0, 0.5], 2, 0.125, 0.375),  # refined: γ = √(1/4)
        (UNKNOWN, 1, 0.0, 0.5),
        ([0.5], 1, 0.0, 0.5),
    ],
)
def test_consistent_sampling_has_a_range(sigmas, steps, low, high):
    for step_size in (low + 1e-9, high - 1e-9):
        check_consistent(sigmas, step_size=step_size, steps_per_level=steps)
    for step_size in (low, high):
        with pytest.raises(ValueError, match=rf"^step_size: .* = {low:.4g} .* = {high:.4g}"):
            check_consistent(sigmas, step_size=step_size, steps_per_level=steps)


@pytest.mark.parametrize("sigmas", [LADDER, UNKNOWN, [0.5]])
def test_langevin_must_not_diverge(sigmas):
    for name, more in (("step_size", {}), ("drift", {"noise_scale": 0.0})):
        check_langevin(sigmas, **{name: 0.499}, **more)
        with pytest.raises(ValueError, match=rf"^{name}: 0\.5: .* = 0\.5$"):
            check_langevin(sigmas, **{name: 0.5}, **more)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"drift": 0.1},
        {"noise_scale": 0.1, "step_size": 0.1},
        {"drift": 0.1, "noise_scale": 0.1, "step_size": 0.1},
    ],
)
def test_langevin_has_one_step_size(options):
    with pytest.raises(ValueError, match=r"^step_size: .*drift and noise_scale"):
        check_langevin(LADDER, **options)


def test_the_checks_need_no_torch():
    code = "import sys, scoresweep.sampler_limits; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
