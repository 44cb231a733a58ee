"""The manifest beside a Zarr store, which tells whether the store is whole.

A missing shard reads as zeros, and a store does not state its own size. So the manifest
(`mnist.json` for `mnist.zarr`), which is written last, holds the size of every file, the SHA-256 of
the files that describe the arrays (`zarr.json`) and that of every array's content. The first two
are compared whenever a store is opened, the last when a whole split is read. Zarr is not imported:
`scoresweep status` looks at manifests alone.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.atomic_files import sha256_of

__all__ = ["AGAIN", "check_store", "describe_files", "manifest_path"]

AGAIN = "`scoresweep stage` makes a dataset again, `scoresweep sample` samples."
"""What to do about a damaged store."""


def manifest_path(store: Path) -> Path:
    """Return where the manifest of a store lies."""
    return store.with_suffix(".json")


def describe_files(store: Path) -> dict[str, Any]:
    """Return what tells whether the files of a store are whole, for its manifest."""
    files = {str(f.relative_to(store)): f for f in sorted(store.rglob("*")) if f.is_file()}
    return {
        "files": {name: file.stat().st_size for name, file in files.items()},
        "metadata": {name: sha256_of(f) for name, f in files.items() if f.name == "zarr.json"},
    }


def check_store(store: Path) -> dict[str, Any]:
    """Return the manifest of a store after comparing the size of every file with it.

    Raises `InputError` where the store or its manifest is missing or a file is not whole.
    """
    path = manifest_path(store)
    if not (store.is_dir() and path.is_file()):
        missing = path if store.is_dir() else store
        raise InputError(f"{missing}: there is no such file. {AGAIN}")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        files: dict[str, int] = manifest["files"]
        metadata: dict[str, str] = manifest["metadata"]
    except (ValueError, KeyError) as error:
        raise InputError(f"{path}: is damaged ({error}). {AGAIN}") from error
    for name, size in files.items():
        file = store / name
        found = file.stat().st_size if file.is_file() else None
        if found != size:
            problem = "is missing" if found is None else f"has {found:,} bytes, not {size:,}"
            raise InputError(f"{file}: {problem}; the store was cut short. {AGAIN}")
        if name in metadata and sha256_of(file) != metadata[name]:
            raise InputError(f"{file}: is damaged: its SHA-256 is not {metadata[name]}. {AGAIN}")
    return manifest
