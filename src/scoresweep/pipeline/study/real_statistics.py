"""Published mean and covariance of real features, in a file of NumPy.

`.npz` files with the arrays `mu` (D,) and `sigma` (D, D) are what public FID programs write and
read. Nothing is unpickled.
"""

from __future__ import annotations

import zipfile
import zlib
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.atomic_files import sha256_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["RealStatistics", "read_statistics", "statistics_sha256"]


class RealStatistics(NamedTuple):
    """Mean and covariance of D features."""

    mu: npt.NDArray[np.float64]
    """Mean (D,)."""
    sigma: npt.NDArray[np.float64]
    """Covariance (D, D), symmetric; its eigenvalues are not checked."""
    rounding: float
    """Absolute value that rounding can give an eigenvalue of 0: that of the type of the numbers, or
    of float32 (in which float64 numbers may have been computed), relative to the trace."""


def statistics_sha256(path: Path) -> str:
    """Return the SHA-256 of a file; it is computed again only if the file has changed.

    Raises:
        InputError: if it cannot be read.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(
            f"evaluate.real_statistics: {path}: cannot be read ({error.strerror}). Restore the "
            f"file, or change the study."
        ) from error
    return _sha256(path.absolute(), status.st_ino, status.st_size, status.st_mtime_ns)


@cache
def _sha256(path: Path, *_: int) -> str:
    return sha256_of(path)


def read_statistics(path: Path) -> RealStatistics:
    """Read `mu` and `sigma` from an `.npz` file, and check all but the eigenvalues.

    A file is read again only if it has changed.

    Raises:
        ValueError: saying what is wrong with the file.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror or error})") from error
    return _read(path.absolute(), status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=2)
def _read(path: Path, *_: int) -> RealStatistics:
    import numpy as np  # takes longer than planning a study

    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in ("mu", "sigma")}
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror or error})") from error
    except KeyError as error:
        raise ValueError(f"expected arrays mu and sigma, found {', '.join(file.files)}") from error
    except (AttributeError, EOFError, TypeError, ValueError, zipfile.BadZipFile, zlib.error):
        raise ValueError("is not an .npz file of numbers, or is damaged") from None
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise ValueError(f"{name} has type {array.dtype}; expected floating-point numbers")
    epsilon = max(np.finfo(kind).eps for kind in (np.float32, arrays["sigma"].dtype))
    mu, sigma = (array.astype(np.float64) for array in arrays.values())
    if mu.ndim != 1 or sigma.shape != (len(mu), len(mu)) or not len(mu):
        raise ValueError(
            f"mu has shape {mu.shape} and sigma {sigma.shape}; expected (D,) and (D, D)"
        )
    for name, array in (("mu", mu), ("sigma", sigma)):
        if count := int((~np.isfinite(array)).sum()):
            raise ValueError(f"{count} of the values of {name} are not finite")
    if np.abs(sigma - sigma.T).max() > 8 * epsilon * np.abs(sigma).max():
        raise ValueError("sigma is not symmetric; expected a covariance")
    return RealStatistics(mu, sigma, float(epsilon * sigma.trace()))
