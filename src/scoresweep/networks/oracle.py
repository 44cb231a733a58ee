"""The exact score of a known distribution, as a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from scoresweep.distributions import GaussianMixture
from scoresweep.networks.score_network import ScoreNetwork

__all__ = ["Oracle"]


class Oracle(ScoreNetwork):
    """A network without parameters that returns the exact score of a smoothed Gaussian mixture.

    A smoothed training set is a mixture too, with one component for each sample. The means are kept
    as stored values v = low + (high − low)·x, so that images take a byte per pixel. A new oracle is
    empty; `set_mixture` or `load_state_dict` sets its mixture.

    Args:
        shape: shape of one sample.
        sigmas: the ladder, (L,).
        of: the distribution (see the option in studies); not used here.
    """

    weights: Tensor
    means: Tensor
    stds: Tensor
    pixel_range: Tensor

    def __init__(
        self,
        shape: tuple[int, ...],
        sigmas: Tensor,
        *,
        of: Literal["auto", "mixture", "training_set"] = "auto",
    ) -> None:
        super().__init__(shape, sigmas)
        self.of = of
        self._mixture: GaussianMixture | None = None
        for name in ("weights", "means", "stds"):
            self.register_buffer(name, torch.empty(0))
        self.register_buffer("pixel_range", torch.tensor([0.0, 1.0], dtype=torch.float64))

    def set_mixture(
        self,
        weights: Tensor,
        means: Tensor,
        stds: Tensor,
        pixel_range: tuple[float, float] = (0.0, 1.0),
    ) -> Oracle:
        """Set the mixture and return self.

        Args:
            weights: (K,), or (1,) for equal weights.
            means: (K, *shape), of any dtype, in stored values.
            stds: (K,), or (1,) for equal values, in units of the data (not of stored values).
            pixel_range: the stored values of 0 and 1.
        """
        self.weights, self.stds = weights.double(), stds.double()
        self.means = means.flatten(1).contiguous()
        self.pixel_range = torch.tensor(pixel_range, dtype=torch.float64)
        self._mixture = None
        return self

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the exact score at `x` (N, *shape) for the noise levels `sigma` (N,), as `x`."""
        low, scale = self._units()
        score = self._stored()(x.double() * scale + low, sigma.double() * scale)
        return (score * scale).to(x.dtype)

    def log_density(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return log q_σ(x) in nats, (N,), float64, for `x` (N, *shape) and `sigma` (N,)."""
        low, scale = self._units()
        stored = self._stored().log_density(x.double() * scale + low, sigma.double() * scale)
        return stored + math.prod(self.shape) * scale.log()

    def _units(self) -> tuple[Tensor, Tensor]:
        """Return low and scale of stored values v = low + scale·x."""
        low, high = self.pixel_range
        return low, high - low

    def _stored(self) -> GaussianMixture:
        """Return the mixture of stored values."""
        if self._mixture is None:
            _, scale = self._units()
            self._mixture = GaussianMixture(self.weights, self.means, self.stds * scale)
        return self._mixture

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Oracle:
        """Move or convert the buffers, as `to(device)` does, and drop the mixture made of them."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._mixture = None
        return self

    def _load_from_state_dict(self, state: Mapping[str, Any], prefix: str, *rest: Any) -> None:
        """Load buffers of any size."""
        for name in ("weights", "means", "stds"):
            if prefix + name in state:
                setattr(self, name, state[prefix + name].to(self.sigmas.device))
        self._mixture = None
        super()._load_from_state_dict(state, prefix, *rest)
