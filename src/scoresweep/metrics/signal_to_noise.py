"""Signal-to-noise ratio of a Langevin step: its drift relative to its noise.

In x ← x + η s(x, σ) + √(2η) z the norms of the two parts, per coordinate, are η ‖s‖/√D and √(2η):

    signal to noise = √(η/2) ‖s‖/√D = √(η/2)/σ · σ‖s‖/√D.

If the score grows as 1/σ, the ratio is the same at every level if and only if η ∝ σ² (Song and
Ermon 2019, section 4.3).
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
