"""The number of score evaluations of each sampler."""

from __future__ import annotations

import pytest
import torch
from exact_targets import generator
from pydantic import TypeAdapter

from scoresweep.distributions import GaussianMixture
from scoresweep.noise import geometric
from scoresweep.pipeline.study.methods.samplers import AnySampler


class Counting(GaussianMixture):
    calls = 0

    def __call__(self, x, sigma):
        self.calls += 1
        return super().__call__(x, sigma)

    def log_density(self, x, sigma):
        self.calls += 1
        return super().log_density(x, sigma)


SAMPLERS = [
    {"name": "annealed_langevin", "step_size": 0.1, "steps_per_level": 3},
    {"name": "consistent", "step_size": 0.2, "steps_per_level": 4},
    {"name": "consistent", "step_size": 0.2, "denoise_from": "before_last_step"},
    {"name": "langevin", "step_size": 0.1, "steps": 7},
    {"name": "denoise_renoise", "steps_per_level": 2},
    {"name": "predictor_corrector", "corrector_steps": 2},
    {"name": "predictor_corrector", "predictor": "probability_flow", "corrector_steps": 0},
    {"name": "predictor_corrector", "predictor": "none", "corrector_steps": 3},
    {"name": "probability_flow"},
    {"name": "probability_flow", "solver": "euler"},
    {"name": "edm"},
    {"name": "edm", "s_churn": 2.0, "time": "variance"},
    {"name": "metropolis", "step_size": 0.1, "steps": 5},
    {"name": "metropolis", "step_size": 0.1, "steps": 5, "proposal": "langevin"},
]


@pytest.mark.parametrize("options", SAMPLERS, ids=lambda o: "-".join(map(str, o.values())))
@pytest.mark.parametrize("denoise", [True, False])
def test_the_number_of_score_evaluations_is_right(options, denoise):
    sampler = TypeAdapter(AnySampler).validate_python(options | {"denoise": denoise})
    score = Counting(torch.ones(1), torch.zeros(2, 3), torch.ones(1))
    observe = lambda *_: None  # noqa: E731
    sigmas = geometric(2.0, 0.5, 5)
    arguments = sampler.arguments() | {"generator": generator(), "observe": observe}
    sampler.load()(score, torch.zeros(4, 3), sigmas, **arguments)
    assert score.calls == sampler.num_score_evaluations(5)
