"""Names of metrics, which state the extractor.

Outside `metrics/`, because parsing a study needs these names and must not import torch.

`fid`, `kid` and `inception_score` mean the features of the Inception network of 2015-12-05 with
TensorFlow 1's resize. Another resize is part of the name, and so is any other extractor.
"""

from __future__ import annotations

__all__ = ["COMPANIONS", "PUBLISHED", "metric_name", "metric_title"]

COMPANIONS = ("low", "high", "real", "noise")
"""`frechet_pixels_low` goes with `frechet_pixels`, and so on: interval and reference values."""

PUBLISHED = {
    "frechet": ("fid", "FID"),
    "frechet_infinity": ("fid_infinity", "FID extrapolated to infinitely many generated samples"),
    "kid": ("kid", "KID"),
    "inception_score": ("inception_score", "Inception Score"),
    "inception_score_std": (
        "inception_score_std",
        "standard deviation of the Inception Score over splits",
    ),
}
"""Name and long name of a metric on Inception features."""

RESIZES = {
    "inception": ("", ""),
    "inception_half_pixel": ("_half_pixel", ", half-pixel resize"),
    "inception_antialias": ("_antialias", ", antialiased resize"),
}
"""Suffixes of name and long name for the resize of each Inception extractor."""


def metric_name(metric: str, extractor: str) -> str:
    """Return the name of a metric on an extractor: `fid`, `kid_half_pixel`, `frechet_pixels`."""
    if metric in PUBLISHED and extractor in RESIZES:
        return PUBLISHED[metric][0] + RESIZES[extractor][0]
    return f"{metric}_{extractor}"


def metric_title(metric: str, extractor: str, long_name: str) -> str:
    """Return the long name of a metric on an extractor; `long_name` is the general one."""
    if metric in PUBLISHED and extractor in RESIZES:
        return PUBLISHED[metric][1] + RESIZES[extractor][1]
    return long_name
