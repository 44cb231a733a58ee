"""Names of the averaged weights of a run: after which training step, with which decay."""

from __future__ import annotations

__all__ = ["weights_name"]


def weights_name(step: int | None, ema: float | None, last_step: int, first_decay: float) -> str:
    """Return the name of weights, such as "step=5000_ema=0.9999".

    Those after the last step, averaged with the first decay of `train.ema`, are the default:
    their name is "". The name says only what differs from them; None stands for the default.
    """
    parts = [f"step={step}"] * (step not in (None, last_step))
    parts += [f"ema={ema}"] * (ema not in (None, first_decay))
    return "_".join(parts)
