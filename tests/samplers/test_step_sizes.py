"""Step sizes of the levels."""

from __future__ import annotations

import pytest
import torch

from scoresweep.samplers import step_sizes

SIGMAS = torch.tensor([8.0, 2.0, 0.5])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("variance", [25.6, 1.6, 0.1]),
        ("linear", [0.1, 0.025, 0.00625]),
        ("constant", [0.1, 0.1, 0.1]),
        ("denoise", [64, 4, 0.25]),
    ],
)
def test_each_rule(rule, expected):
    found = step_sizes(rule, SIGMAS, 0.1)
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("rule", ["variance", "constant"])
def test_a_step_that_diverges_is_refused(rule):
    with pytest.raises(ValueError, match=r"step_size: 0\.5: "):
        step_sizes(rule, SIGMAS, 0.5)
