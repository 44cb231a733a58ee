"""Published mean and covariance of real features, in a file of NumPy.

`.npz` files with the arrays `mu` (D,) and `sigma` (D, D) are what public FID programs write and
read. Nothing is unpickled.
"""

from __future__ import annotations

import zipfile
import zlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.atomic_files import sha256_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["RealStatistics", "read_statistics", "statistics_sha256"]

TOLERANCE = 1e-6
"""Maximum deviation from a symmetric matrix without negative eigenvalues, relative to its largest
entry: the rounding of float32."""


class RealStatistics(NamedTuple):
    """Mean and covariance of D features."""

    mu: npt.NDArray[np.float64]
    """Mean (D,)."""
    sigma: npt.NDArray[np.float64]
    """Covariance (D, D)."""


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
    """Read `mu` and `sigma` from an `.npz` file, and check them.

    Raises:
        ValueError: saying what is wrong with the file.
    """
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
    mu, sigma = (array.astype(np.float64) for array in arrays.values())
    if mu.ndim != 1 or sigma.shape != (len(mu), len(mu)) or not len(mu):
        raise ValueError(
            f"mu has shape {mu.shape} and sigma {sigma.shape}; expected (D,) and (D, D)"
        )
    if problem := _problem(mu, sigma):
        raise ValueError(problem)
    return RealStatistics(mu, sigma)


def _problem(mu: npt.NDArray[np.float64], sigma: npt.NDArray[np.float64]) -> str:
    """Return why `mu` or `sigma` is impossible; "" if they are not."""
    import numpy as np

    for name, array in (("mu", mu), ("sigma", sigma)):
        if count := int((~np.isfinite(array)).sum()):
            return f"{count} of the values of {name} are not finite"
    rounding = TOLERANCE * float(np.abs(sigma).max())
    if float(np.abs(sigma - sigma.T).max()) > rounding:
        return "sigma is not symmetric; expected a covariance"
    try:
        np.linalg.cholesky(sigma + (rounding + np.finfo(float).tiny) * np.eye(len(sigma)))
    except np.linalg.LinAlgError:
        return "sigma has negative eigenvalues; expected a covariance"
    return ""
