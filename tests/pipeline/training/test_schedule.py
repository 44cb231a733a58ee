import math

import pytest

from scoresweep.pipeline.study.models import Optimizer
from scoresweep.pipeline.training.schedule import ema_decay, learning_rate


def test_learning_rate_rises_then_stays():
    optimizer = Optimizer(learning_rate=0.1, warmup=4)
    rates = [learning_rate(optimizer, step, 100) for step in (0, 1, 3, 4, 99)]
    assert rates == pytest.approx([0.025, 0.05, 0.1, 0.1, 0.1])


def test_cosine_falls_from_the_full_rate_to_zero():
    optimizer = Optimizer(learning_rate=0.1, warmup=10, schedule="cosine")
    assert learning_rate(optimizer, 10, 110) == pytest.approx(0.1)
    assert learning_rate(optimizer, 60, 110) == pytest.approx(0.05)
    assert learning_rate(optimizer, 35, 110) == pytest.approx(0.05 * (1 + math.sqrt(0.5)))
    assert learning_rate(optimizer, 110, 110) == pytest.approx(0)


def test_decay_of_the_average_grows_to_its_limit():
    assert [ema_decay(0.999, step) for step in (0, 90)] == pytest.approx([0.1, 0.91])
    assert ema_decay(0.999, 10**6) == 0.999
    assert ema_decay(0.0, 5) == 0.0
