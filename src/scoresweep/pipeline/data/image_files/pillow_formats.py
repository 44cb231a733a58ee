"""The formats of image files that are read."""

from __future__ import annotations

from PIL import Image

__all__ = ["READABLE", "SUFFIXES"]

UNSUITABLE = {
    *("BUFR", "GRIB", "HDF5", "IPTC", "MCIDAS", "MPEG"),  # recognised by Pillow, never decoded
    *("EPS", "WMF"),  # vector graphics, rendered by other programs
    *("CUR", "GBR", "ICNS", "ICO", "PCD", "PSD", "XVTHUMB"),  # icons in several sizes, layers
    *("FITS", "SPIDER"),  # measured values
}
Image.init()
COMMON = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP")
READABLE = [*COMMON, *sorted(Image.OPEN.keys() - UNSUITABLE - {*COMMON})]
"""Pillow's names of raster formats, in the order in which they are tried."""
SUFFIXES = {
    suffix for suffix, kind in Image.registered_extensions().items() if kind in {*READABLE, "MPO"}
}
"""File name suffixes of these formats."""
