"""What a measure is called, which says what it was computed on.

`fid` means the features of the Inception network of 2015-12-05 and images that were resized as
published values were; the same on another resize says so, and on any other extractor the measure is
called after the extractor.
"""

from __future__ import annotations

__all__ = ["metric_name", "metric_title"]

PUBLISHED = {
    "frechet": ("fid", "FID"),
    "frechet_infinity": ("fid_infinity", "FID extrapolated to infinitely many generated samples"),
    "kid": ("kid", "KID"),
}
"""Name and long name that a measure has on Inception features."""

RESIZES = {
    "inception": ("", ""),
    "inception_half_pixel": ("_half_pixel", ", half-pixel resize"),
    "inception_antialias": ("_antialias", ", antialiased resize"),
}
"""Extractors of Inception features, and what their resize adds to name and long name."""


def metric_name(measure: str, extractor: str) -> str:
    """Return the name of a measure on an extractor: `fid`, `kid_half_pixel`, `frechet_pixels`."""
    if measure in PUBLISHED and extractor in RESIZES:
        return PUBLISHED[measure][0] + RESIZES[extractor][0]
    return f"{measure}_{extractor}"


def metric_title(measure: str, extractor: str, long_name: str) -> str:
    """Return the long name of a measure, which has `long_name` on any extractor, on this one."""
    if measure in PUBLISHED and extractor in RESIZES:
        return PUBLISHED[measure][1] + RESIZES[extractor][1]
    return long_name
