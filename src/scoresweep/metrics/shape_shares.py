"""Shapes in images, and the brightness outside the mask of the shape.

The mean image of a class with mask m is m/2 (`metrics/shape_masks.py`). An image x is assigned to
the class with the nearest mean image, which minimises ‖x − m/2‖² and maximises x·m − |m|/4.
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
    """Return the class of each image of `x` (N, 784) in [0, 1], (N,)."""
    masked = masks().flatten(1).double()
    return (x.double() @ masked.T - masked.sum(dim=1) / 4).argmax(dim=1)


def mass_outside(x: Tensor, shape: Tensor) -> float:
    """Return the share of the brightness of `x` (N, 784) outside the masks of `shape` (N,)."""
    outside = x.double() * ~masks().flatten(1)[shape]
    return float(outside.sum() / x.sum(dtype=torch.float64).clamp(min=1e-12))


def shapes(real: Features, generated: Features, options: Options) -> dict[str, MetricValue]:
    """Measure `shape_share` (K,), `shape_asked` (K,), `shape_error` and `shape_mass_outside`.

    It uses the samples themselves.

    Raises:
        ValueError: if the data are not shapes.
    """
    if options.shares is None:
        raise ValueError("the data are not images of shapes")
    shown = likeliest_shape(generated.values)
    shares = torch.bincount(shown, minlength=len(options.shares)).double() / len(generated)
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
            "share of the shape requested in the dataset",
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
            mass_outside(generated.values, shown),
            "share of brightness outside the mask of the shape",
            n_real=len(real),
            better="lower",
            minimum=0.0,
            maximum=1.0,
            per_extractor=False,
        ),
    }
