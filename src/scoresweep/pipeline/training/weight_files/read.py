"""Read tensors and plain values from a weight file, and nothing else."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.file_kinds import (
    READABLE,
    FileKind,
    abbreviate_names,
    describe,
)
from scoresweep.pipeline.system.pickle_globals import pickled_globals
from scoresweep.pipeline.training.weight_files.numpy_scalars import numpy_scalars_as_numbers

__all__ = ["Content", "read_content"]

DOWNLOAD_AGAIN = "download or copy it again"
DAMAGE_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""Reading a damaged archive or pickle can raise nearly any error."""
SAVE_STATE = "in the program that wrote it, save `network.state_dict()` with torch.save"
TENSOR_OBJECTS = re.compile(
    r"collections\.OrderedDict|torch\._utils\._rebuild|torch\.\w*Storage|torch\.(Size|device|storage)"
    r"|torch\.serialization|torch\.nn\.parameter|(__builtin__|builtins)\.set"
)
"""Objects that PyTorch needs to rebuild tensors."""
LEGACY_PICKLES = 4
"""Pickles before the end of the content in a file of PyTorch before 1.6."""


@dataclass(frozen=True)
class Content:
    """The content of a weight file."""

    value: Any
    kind: FileKind
    has_checksums: bool
    """Whether the file has checksums, which were verified."""


def read_content(path: Path, expected: str) -> Content:
    """Return the tensors and plain values of a file; nothing in it is executed.

    Errors about a file of another kind end with `expected`: "expected ...".

    Raises:
        InputError: if the file is not a PyTorch or safetensors file, is damaged, or contains other
            Python objects.
    """
    try:
        kind = describe(path)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None
    if kind.name not in READABLE:
        raise InputError(f"{path}: is {kind.description}; {kind.remedy or expected}")
    if kind.name == "safetensors":
        return Content(_load_safetensors(path), kind, has_checksums=False)
    has_checksums = kind.name == "torch_zip" and _verify_checksums(path)
    return Content(_load_torch(path, kind), kind, has_checksums)


def _verify_checksums(path: Path) -> bool:
    """Verify the archive's checksums; return whether it has any (PyTorch may omit them)."""
    try:
        with zipfile.ZipFile(path) as archive:
            if not any(member.CRC for member in archive.infolist()):
                return False
            damaged = archive.testzip()
    except DAMAGE_ERRORS as error:
        raise InputError(f"{path}: is damaged ({error}); {DOWNLOAD_AGAIN}") from None
    if damaged is not None:
        raise InputError(
            f"{path}: is damaged: the checksum of {damaged} in it is wrong; {DOWNLOAD_AGAIN}"
        )
    return True


def _load_torch(path: Path, kind: FileKind) -> Any:
    try:
        with warnings.catch_warnings(), numpy_scalars_as_numbers():
            warnings.simplefilter("ignore")  # unusual tensors are refused later
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        # PyTorch's own message advises to load the file with its objects.
        objects = [name for name in _objects(path, kind) if not TENSOR_OBJECTS.match(name)]
    except DAMAGE_ERRORS as error:
        reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
        raise InputError(f"{path}: is damaged ({reason}); {DOWNLOAD_AGAIN}") from None
    if not objects:
        raise InputError(f"{path}: is damaged (its pickle is incomplete); {DOWNLOAD_AGAIN}")
    if any(re.match(r"torch_utils\.persistence|dnnlib", name) for name in objects):
        what = "is a checkpoint of EDM (or of another of NVIDIA's programs) with Python objects"
    else:
        what = "holds Python objects"
    raise InputError(
        f"{path}: {what} ({', '.join(abbreviate_names(objects))}), and only tensors and plain "
        f"values are ever loaded; {SAVE_STATE}"
    )


def _objects(path: Path, kind: FileKind) -> list[str]:
    """Return the names of the Python objects in the file's pickle."""
    if kind.name == "torch_legacy":
        with path.open("rb") as file:
            return pickled_globals(file, LEGACY_PICKLES)
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if re.fullmatch(r"[^/]+/data\.pkl", name))
        with archive.open(name) as file:
            return pickled_globals(file)


def _load_safetensors(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, ValueError, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(f"{path}: is damaged ({reason}); {DOWNLOAD_AGAIN}") from None
