"""Open the arrays of an `.npy` or `.npz` file, without unpickling."""

from __future__ import annotations

import contextlib
import functools
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from scoresweep.pipeline.data.array_files.variables import Array, FileVariable
from scoresweep.pipeline.errors import InputError

__all__ = ["open_npy", "open_npz"]

DAMAGED = (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error, NotImplementedError)
"""Exceptions for files that are damaged or not NumPy files."""

Open = Callable[[], IO[bytes]]


@contextlib.contextmanager
def open_npy(path: Path) -> Iterator[list[FileVariable]]:
    """Yield the array of an `.npy` file, named `x`."""
    yield [_variable(path, "x", lambda: path.open("rb"))]


@contextlib.contextmanager
def open_npz(path: Path) -> Iterator[list[FileVariable]]:
    """Yield the arrays of an `.npz` file; other members of the archive are ignored."""
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGED as error:
        raise _damaged(path, "", error) from error
    with archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise InputError(f"{path}: contains {twice[0]} twice. Save the arrays again.")
        yield [
            _variable(path, name.removesuffix(".npy"), functools.partial(archive.open, name))
            for name in names
        ]


def _variable(path: Path, name: str, opened: Open) -> FileVariable:
    """Describe an array by its header."""

    def read() -> Array:
        if dtype.hasobject:
            raise InputError(
                f"{path}: {name} contains Python objects, which are never unpickled; expected "
                f"numbers or text. Convert it, for example with array.astype(str)."
            )
        try:
            with opened() as file:
                values: Array = np.lib.format.read_array(file, allow_pickle=False)
                more = file.read(1)
        except DAMAGED as error:
            raise _damaged(path, name, error) from error
        if more:
            raise InputError(
                f"{path}: has more data after the array {name}, such as a second array; expected "
                f"one array per file. Save the arrays with np.savez."
            )
        return values

    try:
        with opened() as file:
            shape, dtype = _header(file)
    except DAMAGED as error:
        raise _damaged(path, name, error) from error
    return FileVariable(name, shape, dtype, read)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type from the header of an `.npy` file."""
    version = np.lib.format.read_magic(file)
    formats = np.lib.format
    read = formats.read_array_header_1_0 if version == (1, 0) else formats.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype


def _damaged(path: Path, name: str, error: Exception) -> InputError:
    # Do not repeat numpy's advice to allow pickles.
    why = "" if "pickle" in str(error) else f" ({error})"
    return InputError(f"{path}: cannot be read{f' at {name}' if name else ''}{why}. Save it again.")
