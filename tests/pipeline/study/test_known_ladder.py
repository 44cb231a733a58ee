"""The ladders that the plan reckons with are those that the library makes."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter

from scoresweep.pipeline.study.known_ladder import smallest_sigma, static_sigmas
from scoresweep.pipeline.study.methods.noise import AnyNoise

ENDS = {"sigma_max": 8.0, "sigma_min": 0.1, "levels": 7}


@pytest.mark.parametrize(
    "options",
    [
        {"name": "geometric", **ENDS},
        {"name": "uniform", **ENDS},
        {"name": "cosine", **ENDS},
        {"name": "karras", **ENDS, "rho": 3.0},
        {"name": "explicit", "sigmas": [4.0, 1.0, 0.1]},
    ],
    ids=lambda options: options["name"],
)
def test_they_are_equal(options):
    noise = TypeAdapter(AnyNoise).validate_python(options)
    assert static_sigmas(noise) == pytest.approx(noise.load()(**noise.arguments()).tolist())
    assert smallest_sigma(noise) == 0.1


@pytest.mark.parametrize("unknown", [{"sigma_max": "max_rms"}, {"levels": "auto"}])
def test_what_depends_on_data_is_not_known(unknown):
    noise = TypeAdapter(AnyNoise).validate_python({"name": "geometric", **ENDS} | unknown)
    assert static_sigmas(noise) is None
    assert smallest_sigma(noise) == 0.1
