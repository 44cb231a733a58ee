"""Dropout whose mask is a function of the sample.

PyTorch's dropout draws its masks from one stream for each process, so that a resumed run, or one
with another number of processes, would see other masks. Here a mask is a hash of the noisy sample,
of the layer and of the position in the feature map. In training, a noisy sample is a function of
(seed, step, position in the global batch), and no two are equal, so the masks have that property
too. The score stays a function of the weights, the sample and σ, in training as well.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["SampleDropout", "sample_keys"]

WORD = 1 << 32
"""Hashes are 32-bit integers."""


class SampleDropout(nn.Module):
    """Set a share of the values to zero, and divide the others by 1 − share.

    Args:
        probability: share of the values that are set to zero, in [0, 1).
        layer: number of the layer, so that layers have different masks.
    """

    def __init__(self, probability: float, layer: int) -> None:
        super().__init__()
        if not 0 <= probability < 1:
            raise ValueError(f"dropout of 0 or more and below 1, found {probability}")
        self.probability = probability
        self.layer = layer

    def forward(self, h: Tensor, keys: Tensor | None) -> Tensor:
        """Return `h` (N, C, H, W) with masks from the samples' `keys` (N,); None: without."""
        if keys is None or self.probability == 0:
            return h
        threshold = round(self.probability * WORD) - WORD // 2
        kept = _hashes(h, _mix(keys + _signed(self.layer * 0x9E3779B9))) >= threshold
        return torch.where(kept, h / (1 - self.probability), 0)

    def extra_repr(self) -> str:
        """Return the options as `print` shows them."""
        return f"{self.probability}"


def sample_keys(x: Tensor) -> Tensor:
    """Return a hash of the float32 values of each sample of `x` (N, ...): int32, (N,)."""
    bits = x.detach().float().flatten(1).contiguous().view(torch.int32)
    return _mix(bits + _mix(_count(bits[0].numel(), x.device))).sum(1, dtype=torch.int32)


def _hashes(h: Tensor, keys: Tensor) -> Tensor:
    """Return one hash for each value of `h` (N, C, H, W), from the `keys` of samples (N,)."""
    _, channels, height, width = h.shape
    positions = _mix(_count(channels * height * width, h.device))
    # In the order of channels-last maps, which the mask then has too.
    positions = positions.reshape(height, width, channels).permute(2, 0, 1)
    return _mix(positions + keys[:, None, None, None])


def _count(size: int, device: torch.device) -> Tensor:
    return torch.arange(1, size + 1, dtype=torch.int32, device=device)


def _mix(h: Tensor) -> Tensor:
    """Hash each int32 of `h`: C. Wellons' "lowbias32", https://nullprogram.com/blog/2018/07/31/."""
    h = (h ^ _shift(h, 16)) * _signed(0x7FEB352D)
    h = (h ^ _shift(h, 15)) * _signed(0x846CA68B)
    return h ^ _shift(h, 16)


def _shift(h: Tensor, bits: int) -> Tensor:
    """Shift int32 as if unsigned."""
    return (h >> bits) & ((1 << (32 - bits)) - 1)


def _signed(value: int) -> int:
    """Return the signed integer with the same lower 32 bits as `value`."""
    return (value + WORD // 2) % WORD - WORD // 2
