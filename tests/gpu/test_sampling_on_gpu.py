"""Every sampler, start and task draws its samples on the GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sampled_study import draw
from tiny_study import TINY, untrained_plan

from scoresweep.pipeline.study.load import parse_yaml

pytestmark = pytest.mark.gpu

CHANGES = {
    "annealed_langevin": {"trajectories": 2},
    "consistent": {"sampler": {"name": "consistent", "step_size": 0.008, "steps_per_level": 2}},
    "langevin": {"sampler": {"name": "langevin", "step_size": 1e-3, "steps": 4}},
    "denoise_renoise": {"sampler": {"name": "denoise_renoise"}},
    "predictor_corrector": {"sampler": {"name": "predictor_corrector"}},
    "corrector": {"sampler": {"name": "predictor_corrector", "predictor": "none"}},
    "probability_flow": {"sampler": {"name": "probability_flow"}, "initial": "normal"},
    "edm": {"sampler": {"name": "edm", "s_churn": 1.0}, "initial": "data_plus_noise"},
    "inpainting": {"task": {"name": "inpainting", "mask": "centre"}},
    "interpolation": {"task": {"name": "interpolation", "steps": 4}},
    "bf16": {"precision": "bf16"},
}


@pytest.fixture
def make_setting(staged, tmp_path):
    """Make a plan of one setting of an untrained network."""

    def make(folder: str, **changes: Any):
        content = parse_yaml(TINY, "tiny.yaml")
        content["train"]["grid"] = {}
        content["sample"] |= {"grid": {}, "count": 8, "chunk": 4} | changes
        return untrained_plan(tmp_path / folder, staged, content, seed=0)

    return make


@pytest.mark.parametrize("name", CHANGES)
def test_every_sampler_draws_on_a_gpu(gpu, make_setting, name):
    plan = make_setting("gpu", **CHANGES[name])
    with gpu.watch():
        drawn = draw(plan, gpus=1)
    assert drawn.attrs["device"] == torch.cuda.get_device_name()
    assert np.isfinite(drawn.rms).all()
    if not gpu.is_real:
        expected = draw(make_setting("cpu", **CHANGES[name] | {"precision": "no"}))
        assert np.array_equal(drawn.image, expected.image) == ("precision" not in CHANGES[name])
