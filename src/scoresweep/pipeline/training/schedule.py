"""Learning rate and EMA decay as functions of the step, without state to save."""

from __future__ import annotations

import math

from scoresweep.pipeline.study.models import Optimizer

__all__ = ["ema_decay", "learning_rate"]


def learning_rate(optimizer: Optimizer, step: int, steps: int) -> float:
    """Return the learning rate of `step` (0-based) in a run of `steps`.

    It rises linearly during the warm-up; "cosine" then decays to zero along half a cosine.
    """
    if step < optimizer.warmup:
        return optimizer.learning_rate * (step + 1) / optimizer.warmup
    if optimizer.schedule == "constant":
        return optimizer.learning_rate
    done = (step - optimizer.warmup) / max(1, steps - optimizer.warmup)
    return optimizer.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def ema_decay(decay: float, step: int) -> float:
    """Return the EMA decay after `step` (0-based).

    It grows as (1 + t)/(10 + t) up to `decay`, so that short runs forget the initial weights,
    too.
    """
    return min(decay, (1 + step) / (10 + step))
