"""Record diagnostics and trajectories while a sampler runs."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["SamplingRecorder"]


class SamplingRecorder:
    """Diagnostics of each noise level, and the trajectories of the first samples.

    Pass it to a sampler as `observe`. Diagnostics stay on the device until `tensors` is called.
    """

    def __init__(self, sigmas: Tensor, trajectories: int) -> None:
        """Record levels of `sigmas` (L,) and the states of the first `trajectories` samples."""
        self.sigmas = sigmas
        self.trajectories = trajectories
        self.levels: list[int] = []
        self.rms: list[Tensor] = []
        self.score_norm: list[Tensor] = []
        self.frames: list[Tensor] = []

    def __call__(self, level: int, x: Tensor, score: Tensor) -> None:
        """Record the state after a level."""
        self.levels.append(level)
        self.rms.append(x.flatten(1).square().mean(1).sqrt().mean())
        norms = score.flatten(1).square().mean(1).sqrt()
        self.score_norm.append(norms.mean() * float(self.sigmas[level]))
        if self.trajectories:
            self._keep_frame(x)

    def _keep_frame(self, x: Tensor) -> None:
        self.frames.append(x[: self.trajectories].to("cpu", copy=True))

    def tensors(self) -> dict[str, Tensor]:
        """Return (level,) levels and diagnostics, and (trajectory, level, ...) trajectories."""
        tensors = {
            "level": torch.tensor(self.levels),
            "rms": torch.stack(self.rms).cpu(),
            "score_norm": torch.stack(self.score_norm).cpu(),
        }
        if self.frames:
            tensors["trajectory"] = torch.stack(self.frames, dim=1)
        return tensors

    def first_nonfinite_level(self) -> int:
        """Return the first level, counted from 1, with NaN or infinity; the last if none has."""
        finite = torch.isfinite(torch.stack(self.rms))
        first = len(finite) - 1 if bool(finite.all()) else int((~finite).nonzero()[0])
        return self.levels[first] + 1
