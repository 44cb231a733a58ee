"""Stop a training whose losses or weights are not finite."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn.utils import get_total_norm

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.training.curves import LossAccumulator, first_nonfinite

__all__ = ["check_weights", "finite_loss_sums"]


def finite_loss_sums(
    accelerator: Accelerator,
    accumulator: LossAccumulator,
    step: int,
    sigmas: Tensor,
    last_checkpoint: str,
) -> Tensor:
    """Return the loss sums and counts of all processes, (2, L), after `step` steps.

    Raises `RunError` with the first step and its levels if a loss is not finite.
    """
    sums: Tensor = accelerator.reduce(accumulator.sums, reduction="sum")
    if bool(torch.isfinite(sums).all()):
        return sums
    losses = accelerator.reduce(accumulator.steps, reduction="sum")
    first = (step - 1) // len(losses) * len(losses)
    bad_step, levels = first_nonfinite(losses[: step - first])
    bad_sigmas = ", ".join(f"{float(sigmas[level - 1]):.4g}" for level in levels)
    raise RunError(
        f"the loss is not finite from step {first + bad_step} on, at level "
        f"{', '.join(map(str, levels))} (sigma {bad_sigmas}). {last_checkpoint} Try a smaller "
        f"train.optimizer.learning_rate, train.gradient_clip: 1.0, or precision: no."
    )


def check_weights(network: ScoreNetwork, step: int, last_checkpoint: str) -> None:
    """Raise `RunError` if the weights are not finite: a gradient was not, though the loss was."""
    if not bool(torch.isfinite(get_total_norm(network.parameters()))):
        raise RunError(
            f"the weights are not finite after step {step}, though its losses are. "
            f"{last_checkpoint} Try train.gradient_clip: 1.0, a smaller "
            f"train.optimizer.learning_rate, or precision: no."
        )
