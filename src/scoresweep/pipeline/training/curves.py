"""The curves of a training run.

Losses are summed on the device, which is read only once per point. Sums are float64, so that a
restart between two points does not change them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from scoresweep.pipeline.netcdf_attrs import label

__all__ = ["CURVES", "Curves", "LossAccumulator", "first_nonfinite"]

CURVES = ("loss", "gradient_norm", "learning_rate", "images_per_second")
"""Variables with one value per point."""


class LossAccumulator:
    """Sums of losses since the last point of the curves."""

    def __init__(self, steps: int, levels: int, device: torch.device) -> None:
        self.sums = torch.zeros(2, levels, dtype=torch.float64, device=device)
        """Sum of losses and number of samples, per level."""
        self.steps = torch.zeros(steps, levels, dtype=torch.float64, device=device)
        """Sum of losses of each step, per level; step t is in row t mod `steps`."""

    def begin(self, step: int) -> None:
        """Clear the row of `step`."""
        self.steps[step % len(self.steps)].zero_()

    def add(self, step: int, levels: Tensor, losses: Tensor) -> None:
        """Add the `losses`, shape (n,), of samples at `levels`, shape (n,)."""
        losses = losses.detach().to(torch.float64)
        sums_and_counts = torch.stack([losses, torch.ones_like(losses)])
        self.sums.index_add_(1, levels, sums_and_counts)
        self.steps[step % len(self.steps)].index_add_(0, levels, losses)

    def reset(self) -> None:
        """Start a new point."""
        self.sums.zero_()


def first_nonfinite(losses: Tensor) -> tuple[int, list[int]]:
    """Return the first step whose losses, shape (steps, L), are not all finite, and its levels.

    Both count from 1.
    """
    bad = ~torch.isfinite(losses)
    step = int(bad.any(1).nonzero()[0])
    return step + 1, bad[step].nonzero().flatten().add(1).tolist()


@dataclass
class Curves:
    """Points of the curves, in the order of steps."""

    sigmas: list[float]
    step: list[int] = field(default_factory=list)
    scalars: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in CURVES})
    level_loss: list[list[float]] = field(default_factory=list)

    def append(self, step: int, sums: Tensor, **scalars: float) -> float:
        """Add the point of `step` from the sums (2, L) of all processes; return its loss."""
        totals, counts = sums.cpu()
        loss = float(totals.sum() / counts.sum())
        self.step.append(step)
        self.level_loss.append((totals / counts).tolist())  # 0/0 is NaN if a level was not drawn
        for name, value in {"loss": loss, **scalars}.items():
            self.scalars[name].append(value)
        return loss

    def state(self) -> dict[str, Tensor]:
        """Return the curves as tensors, for a checkpoint."""
        scalars = {
            name: torch.tensor(values, dtype=torch.float64) for name, values in self.scalars.items()
        }
        levels = torch.tensor(self.level_loss, dtype=torch.float64)
        return {
            "step": torch.tensor(self.step, dtype=torch.int64),
            "level_loss": levels.reshape(len(self.step), len(self.sigmas)),
            **scalars,
        }

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Restore the curves of a checkpoint."""
        self.step = state["step"].tolist()
        self.level_loss = state["level_loss"].tolist()
        self.scalars = {name: state[name].tolist() for name in CURVES}

    def dataset(self) -> xr.Dataset:
        """Return the curves as labelled arrays: (step) and (step, level)."""
        levels = np.asarray(self.level_loss, dtype=np.float64)
        data = xr.Dataset(
            {name: ("step", np.asarray(values)) for name, values in self.scalars.items()},
            coords={"step": self.step, "level": np.arange(1, len(self.sigmas) + 1)},
        )
        data["level_loss"] = ("step", "level"), levels.reshape(len(self.step), len(self.sigmas))
        data["sigma"] = "level", np.asarray(self.sigmas)
        for name, variable in data.variables.items():
            variable.attrs = label(str(name))
        return data
