"""The code of docs/weights.md, on a network with random weights."""

from __future__ import annotations

import re

import pytest
import torch
import yaml
from checkout import ROOT
from tiny_study import save_untrained_networks, tiny_plan

from scoresweep.samplers import annealed_langevin

PAGE = (ROOT / "docs/weights.md").read_text("utf-8")
WITH_PACKAGE, OPENED, CLASSES_ONLY, WITHOUT_PACKAGE, SAMPLING = re.findall(
    r"```python\n(.*?)```", PAGE, re.DOTALL
)


@pytest.fixture
def names(tmp_path):
    """What the code of the page finds: a run, noisy images x and their noise levels."""
    plan = tiny_plan(tmp_path)
    save_untrained_networks(plan)
    plan.paths.run_config(plan.runs[0].id).write_text(yaml.safe_dump(plan.runs[0].config()))
    x = 3 * torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return {
        "run_folder": plan.paths.run(plan.runs[0].id),
        "x": x,
        "sigma": torch.tensor([2.0, 0.3]),
        "shape": (1, 8, 8),
    }


def test_all_ways_to_load_weights_give_one_score(names):
    exec(WITH_PACKAGE, names)
    expected = names["score"]
    torch.testing.assert_close(
        names["denoised"][1], names["x"][1] + 0.3**2 * expected[1], atol=1e-6, rtol=1e-6
    )
    exec(CLASSES_ONLY, names)
    assert torch.equal(names["network"](names["x"], names["sigma"]), expected)
    exec(WITHOUT_PACKAGE, names)
    found = names["score"](names["x"], names["sigma"])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_samples_of_an_opened_run(names):
    exec(WITH_PACKAGE + OPENED, names)
    assert names["images"].shape == names["others"].shape == (16, 1, 8, 8)
    assert torch.equal(names["run"].score(names["x"], names["sigma"]), names["score"])


def test_the_sampling_of_the_page_is_that_of_the_library(names):
    exec(WITHOUT_PACKAGE, names)
    torch.manual_seed(0)
    exec(SAMPLING, names)
    torch.manual_seed(0)
    sigmas = names["weights"]["sigmas"]
    start = sigmas[0] * torch.randn(4, 1, 8, 8)
    expected = annealed_langevin(names["score"], start, sigmas, step_size=3e-3, steps_per_level=5)
    torch.testing.assert_close(names["x"], expected, atol=1e-4, rtol=1e-4)
