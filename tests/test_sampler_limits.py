"""Limits of samplers' options on a ladder."""

from __future__ import annotations

import subprocess
import sys
from math import inf

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from scoresweep import samplers
from scoresweep.pipeline.study.methods.samplers import AnySampler
from scoresweep.sampler_limits import (
    check_annealed_langevin,
    check_consistent,
    check_edm,
    check_langevin,
    check_predictor_corrector,
)

LADDER = [8.0, 2.0, 0.5]
UNKNOWN = [inf, 0.5]

VALID = {
    "annealed_langevin": {"step_size": 0.1},
    "consistent": {"step_size": 0.25},
    "denoise_renoise": {},
    "edm": {},
    "langevin": {"step_size": 0.1, "steps": 1},
    "metropolis": {"step_size": 0.1, "steps": 1},
    "predictor_corrector": {},
    "probability_flow": {},
}
DRIFT = {"step_size": None, "drift": 0.1, "noise_scale": 0.1}

INVALID = [
    ("annealed_langevin", "step_size", {"step_size": -1}),
    ("annealed_langevin", "step_size", {"step_size": 0}),
    ("annealed_langevin", "step_size", {"step_size": -1, "step_rule": "denoise"}),
    ("annealed_langevin", "steps_per_level", {"steps_per_level": 0}),
    ("annealed_langevin", "steps_per_level", {"steps_per_level": 0, "step_size": "auto"}),
    ("annealed_langevin", "step_rule", {"step_rule": "foo"}),
    ("annealed_langevin", "step_rule", {"step_rule": "foo", "step_size": "auto"}),
    ("consistent", "step_size", {"step_size": -1}),
    ("consistent", "steps_per_level", {"steps_per_level": 0}),
    ("consistent", "denoise_from", {"denoise_from": "foo"}),
    ("denoise_renoise", "steps_per_level", {"steps_per_level": 0}),
    ("denoise_renoise", "added_variance", {"added_variance": -1}),
    ("edm", "s_churn", {"s_churn": -1}),
    ("edm", "s_min", {"s_min": -1}),
    ("edm", "s_max", {"s_max": 0}),
    ("edm", "s_noise", {"s_noise": 0}),
    ("edm", "time", {"time": "foo"}),
    ("langevin", "steps", {"steps": 0}),
    ("langevin", "step_size", {"step_size": -1}),
    ("langevin", "step_size", {"step_size": 0}),
    ("langevin", "drift", DRIFT | {"drift": -1}),
    ("langevin", "noise_scale", DRIFT | {"noise_scale": -1}),
    ("metropolis", "step_size", {"step_size": 0}),
    ("metropolis", "steps", {"steps": 0}),
    ("metropolis", "proposal", {"proposal": "foo"}),
    ("predictor_corrector", "predictor", {"predictor": "foo"}),
    ("predictor_corrector", "corrector_steps", {"corrector_steps": -1}),
    ("predictor_corrector", "snr", {"snr": -1}),
    ("predictor_corrector", "snr", {"snr": 0}),
    ("probability_flow", "solver", {"solver": "foo"}),
]
"""Sampler, the option that is invalid, and options that differ from `VALID`."""


@pytest.mark.parametrize(("name", "option", "options"), INVALID)
def test_a_sampler_refuses_an_option_before_any_work(name, option, options):
    def score(x, sigma):
        pytest.fail("the score was called")

    x, sampler = torch.zeros(2, 1), getattr(samplers, name)
    with pytest.raises(ValueError, match=rf"^{option}: {options[option]!r}: .*expected "):
        sampler(score, x, torch.tensor(LADDER), **VALID[name] | options)


@pytest.mark.parametrize(("name", "option", "options"), INVALID)
def test_a_study_file_has_the_same_bounds(name, option, options):
    study = TypeAdapter(AnySampler)
    study.validate_python({"name": name} | VALID[name])
    with pytest.raises(ValidationError, match=rf"\b{option}\b"):
        study.validate_python({"name": name} | VALID[name] | options)


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
        check_langevin(sigmas, steps=1, **{name: 0.499}, **more)
        with pytest.raises(ValueError, match=rf"^{name}: 0\.5: .* = 0\.5$"):
            check_langevin(sigmas, steps=1, **{name: 0.5}, **more)


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
        check_langevin(LADDER, steps=1, **options)


@pytest.mark.parametrize(
    ("sigmas", "low", "high", "fits"),
    [
        (LADDER, 0.0, None, True),
        (LADDER, 2.0, 2.0, True),
        (LADDER, 2.1, 7.9, False),
        (LADDER, 0.0, 0.4, False),
        (LADDER, 9.0, None, False),
        (UNKNOWN, 9.0, None, True),
        (UNKNOWN, 0.6, 0.7, True),
    ],
)
def test_churn_needs_a_level_in_its_range(sigmas, low, high, fits):
    if fits:
        check_edm(sigmas, s_churn=1.0, s_min=low, s_max=high)
    else:
        with pytest.raises(ValueError, match=r"^s_churn: 1: "):
            check_edm(sigmas, s_churn=1.0, s_min=low, s_max=high)


def test_the_last_level_has_no_churn_if_it_is_not_denoised():
    last = LADDER[-1]
    check_edm(LADDER, s_churn=1.0, s_max=last)
    with pytest.raises(ValueError, match=r"^s_churn: 1: "):
        check_edm(LADDER, s_churn=1.0, s_max=last, denoise=False)
    check_edm(LADDER, s_churn=1.0, s_max=LADDER[-2], denoise=False)
    check_edm([inf], s_churn=1.0, denoise=False)


@pytest.mark.parametrize("options", [{"s_min": 0.6}, {"s_max": 8.0}, {"s_noise": 1.1}])
def test_options_of_churn_need_churn(options):
    check_edm(LADDER, s_churn=1.0, **options)
    with pytest.raises(ValueError, match=rf"^{next(iter(options))}: .*s_churn above 0"):
        check_edm(LADDER, **options)


def test_the_range_of_churn_has_its_ends_in_order():
    with pytest.raises(ValueError, match=r"^s_max: 1\.0: .* 2"):
        check_edm(LADDER, s_min=2.0, s_max=1.0)


def test_without_predictor_there_is_a_corrector():
    for predictor, least in (("none", 1), ("probability_flow", 0)):
        check_predictor_corrector(predictor=predictor, corrector_steps=least)
        with pytest.raises(ValueError, match=rf"^corrector_steps: {least - 1}: "):
            check_predictor_corrector(predictor=predictor, corrector_steps=least - 1)


def test_the_checks_need_no_torch():
    code = "import sys, scoresweep.sampler_limits; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
