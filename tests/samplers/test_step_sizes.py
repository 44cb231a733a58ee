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


@pytest.mark.parametrize(
    ("rule", "step_size", "message"),
    [
        ("variance", 0.5, r"step_size 0\.5 diverges wherever .* expected below .*below 0\.5$"),
        ("variance", 3.0, r"step_size 3 diverges wherever the data is narrower .*below 0\.5$"),
        ("constant", 0.5, r"'constant' the step of level 3 \(sigma 0\.5\) is 0\.5; .* = 0\.5, "),
        ("constant", 8.0, r"level 3 \(sigma 0\.5\) is 8; expected below .* = 0\.5, .* below 0\.5$"),
        ("linear", 8.0, r"'linear' the step of level 3 \(sigma 0\.5\) is 0\.5; .* below 8$"),
    ],
)
def test_a_step_that_diverges_is_refused_under_every_rule(rule, step_size, message):
    with pytest.raises(ValueError, match=message):
        step_sizes(rule, SIGMAS, step_size)


@pytest.mark.parametrize(("rule", "step_size"), [("constant", 0.49), ("linear", 7.9)])
def test_the_largest_step_that_does_not_diverge_is_allowed(rule, step_size):
    assert (step_sizes(rule, SIGMAS, step_size) < 2 * SIGMAS**2).all()


@pytest.mark.parametrize("step_size", [0.0, -1e-3])
def test_a_step_size_must_be_positive(step_size):
    with pytest.raises(ValueError, match="above 0"):
        step_sizes("linear", SIGMAS, step_size)
