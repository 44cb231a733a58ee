"""Samplers that cannot work are refused when the study is planned."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_study import TINY

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml

LADDER = {"name": "geometric", "sigma_max": 8.0, "sigma_min": 0.5, "levels": 5}  # γ = 1/2


def plan(sampler: dict[str, Any], noise: Any = LADDER, **sample: Any) -> Plan:
    content = parse_yaml(TINY, "tiny.yaml")
    content["sample"] |= {"grid": {}, "sampler": sampler, "noise": noise, **sample}
    return plan_study(parse_study(content, "tiny.yaml"), Path("/nowhere"), "tiny.yaml")


CONSISTENT = {"name": "consistent", "step_size": 0.2}
LANGEVIN = {"name": "langevin", "steps": 10}
ANNEALED = {"name": "annealed_langevin", "step_size": 0.1}


FROM_DATA = LADDER | {"sigma_max": "max_rms"}


@pytest.mark.parametrize(
    ("sampler", "noise", "message"),
    [
        (CONSISTENT | {"step_size": 0.375}, LADDER, r"sample\.sampler\.step_size: 0\.375: "),
        (CONSISTENT | {"step_size": 0.5}, FROM_DATA, r"sample\.sampler\.step_size: 0\.5: "),
        (LANGEVIN | {"step_size": 0.5}, LADDER, r"sample\.sampler\.step_size: 0\.5: "),
        (LANGEVIN | {"drift": 0.1}, LADDER, r"sample\.sampler.*step_size.* noise_scale"),
        (LANGEVIN | {"step_size": 0.1, "steps": 0}, LADDER, r"sample\.sampler.*steps: 0"),
        (ANNEALED | {"step_size": 0.5}, FROM_DATA, r"sample\.sampler\.step_size: 0\.5: "),
        (
            {"name": "metropolis", "steps": 5, "step_size": 0.1},
            LADDER,
            r"sample\.sampler: metropolis: .*'mlp'.*name: oracle",
        ),
        ({"name": "predictor_corrector", "snr": 0.0}, LADDER, r"snr: 0\.0"),
        (
            {"name": "predictor_corrector", "predictor": "none", "corrector_steps": 0},
            LADDER,
            r"sample\.sampler\.corrector_steps: 0: ",
        ),
        ({"name": "edm", "s_churn": 1.0, "s_max": 0.4}, LADDER, r"sample\.sampler\.s_churn: 1: "),
        ({"name": "edm", "s_min": 2.0, "s_max": 1.0}, FROM_DATA, r"sample\.sampler\.s_max: 1\.0: "),
        ({"name": "langevine", "steps": 3}, LADDER, "langevine.*'langevin'"),
    ],
)
def test_a_sampler_outside_its_range_is_refused(sampler, noise, message):
    with pytest.raises(InputError, match=message):
        plan(sampler, noise)


@pytest.mark.parametrize(
    ("sampler", "noise"),
    [
        (CONSISTENT | {"step_size": 0.374}, LADDER),
        (LANGEVIN | {"drift": 0.49, "noise_scale": 0.0}, LADDER),
        # The limit depends on the data, so it is checked when the run starts.
        (ANNEALED | {"step_rule": "linear", "step_size": 9.0}, FROM_DATA),
        ({"name": "denoise_renoise"}, None),
    ],
)
def test_a_sampler_within_its_range_is_planned(sampler, noise):
    assert plan(sampler, noise).settings[0].sample.sampler.name == sampler["name"]


def test_the_ladders_of_all_runs_are_checked():
    content = parse_yaml(TINY, "tiny.yaml")
    content["train"]["grid"] = {"noise.levels": [5, 50]}
    content["sample"] |= {"grid": {}, "sampler": {"name": "consistent", "step_size": 0.005}}
    message = r"sample\.sampler\.step_size: 0\.005: .* = 0.006656"  # of 5 levels only
    with pytest.raises(InputError, match=message) as error:
        plan_study(parse_study(content, "tiny.yaml"), Path("/nowhere"), "tiny.yaml")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("sampler", "sample", "message"),
    [
        (
            CONSISTENT,
            {"task": {"name": "inpainting", "mask": "centre"}},
            r"sample\.task: inpainting: .*'consistent'.*annealed_langevin",
        ),
        (
            ANNEALED,
            {"task": {"name": "interpolation", "steps": 8}},
            r"sample\.chunk: 20: .*sample\.task\.steps, 8",
        ),
        (ANNEALED, {"task": {"name": "inpainting", "mask": "center"}}, "mask.*centre"),
        (ANNEALED, {"task": {"name": "interpolation", "steps": 1}}, r"steps: 1"),
    ],
)
def test_an_unsupported_task_is_refused(sampler, sample, message):
    with pytest.raises(InputError, match=message):
        plan(sampler, **sample)


def test_metropolis_samples_an_oracle():
    content = parse_yaml(TINY, "tiny.yaml")
    content["train"] |= {"network": {"name": "oracle"}, "noise": LADDER}
    sampler = {"name": "metropolis", "steps": 5, "step_size": 0.1}
    content["sample"] |= {"grid": {}, "sampler": sampler}
    found = plan_study(parse_study(content, "tiny.yaml"), Path("/nowhere"), "tiny.yaml")
    assert found.settings[0].sample.sampler.num_score_evaluations(5) == 7
