"""What shapes pictures show, and how much of them lies where no shape of theirs is.

The mean picture of a class is half its mask (`metrics/shape_masks.py`). A picture x shows the class
whose mean picture m/2 is nearest, ‖x − m/2‖² least: the class of largest x·m − |m|/4.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.metrics.features import Features, MetricValue, Options
from scoresweep.metrics.modes import total_variation
from scoresweep.metrics.shape_masks import masks
from scoresweep.metrics.standard_errors import error_of_share

__all__ = ["likeliest_shape", "mass_outside", "shapes"]


def likeliest_shape(x: Tensor) -> Tensor:
    """Return the class of each picture of `x` (N, 784) in [0, 1]: (N,)."""
    masked = masks().flatten(1).double()
    return (x.double() @ masked.T - masked.sum(dim=1) / 4).argmax(dim=1)


def mass_outside(x: Tensor, shape: Tensor) -> float:
    """Return the share of the brightness of all `x` (N, 784) outside the masks of `shape` (N,)."""
    outside = x.double() * ~masks().flatten(1)[shape]
    return float(outside.sum() / x.sum(dtype=torch.float64).clamp(min=1e-12))


def shapes(real: Features, generated: Features, options: Options) -> dict[str, MetricValue]:
    """Measure `shape_share` (K,), `shape_asked` (K,), `shape_error` and `shape_mass_outside`.

    Works on the samples themselves. Raises ValueError where the data are no shapes.
    """
    if options.shares is None:
        raise ValueError("the data are not the pictures of shapes")
    found = likeliest_shape(generated.values)
    shares = torch.bincount(found, minlength=len(options.shares)).double() / len(generated)
    return {
        "shape_share": MetricValue(
            shares,
            "share of samples that show the shape",
            n_real=len(real),
            minimum=0.0,
            maximum=1.0,
            per_extractor=False,
            error=error_of_share(shares, len(generated)),
        ),
        "shape_asked": MetricValue(
            options.shares,
            "share of the shape that was asked of the dataset",
            n_real=len(real),
            per_extractor=False,
            depends_on_data_only=True,
        ),
        "shape_error": MetricValue(
            total_variation(shares, options.shares),
            "error of the shares of the shapes (total variation)",
            n_real=len(real),
            better="lower",
            minimum=0.0,
            maximum=1.0,
            per_extractor=False,
        ),
        "shape_mass_outside": MetricValue(
            mass_outside(generated.values, found),
            "share of brightness outside the mask of the shape",
            n_real=len(real),
            better="lower",
            minimum=0.0,
            maximum=1.0,
            per_extractor=False,
        ),
    }
