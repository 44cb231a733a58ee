"""The arrays of an `.npy` or `.npz` file; nothing is unpickled."""

from __future__ import annotations

import contextlib
import functools
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from scoresweep.pipeline.data.array_files.variables import Array, Variable
from scoresweep.pipeline.errors import InputError

__all__ = ["open_npy", "open_npz"]

DAMAGED = (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError)
"""What is raised on a file that is not an array file, or not a whole one."""

Open = Callable[[], IO[bytes]]


@contextlib.contextmanager
def open_npy(path: Path) -> Iterator[list[Variable]]:
    """Yield the one array of an `.npy` file."""
    yield [_variable(path, "x", lambda: path.open("rb"))]


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[list[Variable]]:
    """Yield the arrays of an `.npz` file; other members of the archive are left out."""
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGED as error:
        raise _damaged(path, "", error) from error
    with archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"{path}: holds {twice[0]} twice. Save the arrays again.")
        yield [
            _variable(path, name.removesuffix(".npy"), functools.partial(archive.open, name))
            for name in names
        ]


def _variable(path: Path, name: str, opened: Open) -> Variable:
    """Return an array after reading its head."""

    def read() -> Array:
        if dtype.hasobject:
            raise InputError(
                f"{path}: {name} holds Python objects, which are never unpickled. Save plain "
                f"numbers or text, for example array.astype(str)."
            )
        try:
            with opened() as file:
                values: Array = np.lib.format.read_array(file, allow_pickle=False)
                more = file.read(1)
        except DAMAGED as error:
            raise _damaged(path, name, error) from error
        if more:
            raise InputError(
                f"{path}: has more behind the array {name}, such as further arrays of np.save, "
                f"which numpy would leave out. Save one array to a file, or use np.savez."
            )
        return values

    try:
        with opened() as file:
            shape, dtype = _head(file)
    except DAMAGED as error:
        raise _damaged(path, name, error) from error
    return Variable(name, shape, dtype, read)


def _head(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type from the head of an `.npy` file."""
    version = np.lib.format.read_magic(file)
    one = np.lib.format.read_array_header_1_0
    shape, _, dtype = (one if version == (1, 0) else np.lib.format.read_array_header_2_0)(file)
    return shape, dtype


def _damaged(path: Path, name: str, error: Exception) -> InputError:
    # numpy's advice to allow pickles is not passed on.
    why = "" if "pickle" in str(error) else f" ({error})"
    return InputError(f"{path}: cannot be read{f' at {name}' if name else ''}{why}. Save it again.")
