"""The manifest of a Zarr store, which shows whether the store is complete.

Zarr reads a missing shard as zeros, and a store does not record its own size. So a manifest
(`mnist.json` for `mnist.zarr`) is written last. It holds the size of every file, and the SHA-256 of
the metadata (`zarr.json`) and of every array's content. The first two are checked when a store is
opened, the last when a whole split is read. This module does not import zarr, so that
`scoresweep status` starts quickly.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.atomic_files import sha256_of

__all__ = ["REPAIR_HINT", "check_store", "describe_files", "manifest_path", "num_held"]

REPAIR_HINT = "Run `scoresweep stage` (a dataset) or `scoresweep sample` (samples) again."
"""How to repair a damaged store."""


def manifest_path(store: Path) -> Path:
    """Return the path of a store's manifest."""
    return store.with_suffix(".json")


def num_held(manifest: Mapping[str, Any], default: int) -> int:
    """Return the number of samples that the manifest of a sample store states.

    It is `default` in a manifest of an early version.
    """
    return int(manifest.get("count", default))


def describe_files(store: Path) -> dict[str, Any]:
    """Return sizes and hashes of a store's files, for its manifest."""
    files = {str(f.relative_to(store)): f for f in sorted(store.rglob("*")) if f.is_file()}
    return {
        "files": {name: file.stat().st_size for name, file in files.items()},
        "metadata": {name: sha256_of(f) for name, f in files.items() if f.name == "zarr.json"},
    }


def check_store(store: Path) -> dict[str, Any]:
    """Return a store's manifest after checking file sizes and metadata.

    Raises `InputError` if the store, its manifest or one of its files is missing or damaged.
    """
    path = manifest_path(store)
    if not (store.is_dir() and path.is_file()):
        missing = path if store.is_dir() else store
        raise InputError(f"{missing}: no such file or folder. {REPAIR_HINT}")
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        files: dict[str, int] = manifest["files"]
        metadata: dict[str, str] = manifest["metadata"]
    except (ValueError, KeyError) as error:
        raise InputError(f"{path}: is damaged ({error!r}). {REPAIR_HINT}") from error
    for name, size in files.items():
        file = store / name
        found = file.stat().st_size if file.is_file() else None
        if found != size:
            problem = "is missing" if found is None else f"has {found:,} bytes, expected {size:,}"
            raise InputError(f"{file}: {problem}. {REPAIR_HINT}")
        if name in metadata and sha256_of(file) != metadata[name]:
            raise InputError(
                f"{file}: is damaged; expected SHA-256 {metadata[name]}. {REPAIR_HINT}"
            )
    return manifest
