"""How large the score's part of a Langevin step is beside the noise.

In x ← x + η s(x, σ) + √(2η) z the norms of the two parts, per coordinate, are η ‖s‖/√D and √(2η):

    signal to noise = √(η/2) ‖s‖/√D = √(η/2)/σ · σ‖s‖/√D.

As long as the score grows as 1/σ, it is the same at every level where η ∝ σ², and there alone (Song
and Ermon 2019, section 4.3).
"""

from __future__ import annotations

from torch import Tensor

__all__ = ["signal_to_noise"]


def signal_to_noise(step_size: Tensor, sigma: Tensor, score_norm: Tensor) -> Tensor:
    """Return the signal-to-noise ratio of a step at each level, (L,).

    Args:
        step_size: η of each level, (L,).
        sigma: noise levels, (L,).
        score_norm: mean of σ‖s‖/√D at each level, (L,).
    """
    return (step_size / 2).sqrt() / sigma * score_norm
