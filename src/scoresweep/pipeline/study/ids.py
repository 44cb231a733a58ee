"""Ids of runs, settings and sample stores.

An id is the swept values and a hash of everything that affects the result. If a folder has a result
with the same hash (from a grid with fewer axes, say), its name is kept, so that widening a grid
reruns nothing.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

from scoresweep.pipeline.study.config import content_hash
from scoresweep.pipeline.study.grid import Point
from scoresweep.pipeline.study.models import Sample

__all__ = ["ID", "IdFinder", "StoreFinder", "make_id", "names_by_hash", "store_hash"]

SUFFIXES = ("zarr", "json", "parts", "nc")
"""What may follow an id and a dot in the name of a file or folder of results."""

ID = re.compile(r"(?:.*_)?[0-9a-f]{8}")


class IdFinder:
    """Finds the ids of runs, or of settings."""

    def __init__(self, folders: Iterable[Path]) -> None:
        """Look for the names of earlier results in `folders`."""
        self._folders = list(folders)
        self._names = names_by_hash(self._folders)

    def find(self, axes: Point, digest: str) -> str:
        """Return the id of an earlier result with this hash, or a new one.

        If both exist, it is the new one: earlier versions did not find runs with fractions in
        their ids.
        """
        earlier, new = self._names.get(digest), make_id(axes, digest)
        if earlier in (None, new) or any((folder / new).is_dir() for folder in self._folders):
            return new
        return earlier


class StoreFinder:
    """Finds the names of sample stores, which do not depend on the number of samples.

    Before version 0.2 a store was named by all options of its setting, `count` included. Such a
    store is found and extended under its old name.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """Look for the names of stores in `folders`, one for each run."""
        self._folders = folders
        self._names = names_by_hash(folders)
        self._in_use = dict[str, str]()
        """Names found so far by today's hash."""

    def find(self, axes: Point, sample: Sample) -> str:
        """Return the name of the store of a setting that varies in `axes` (without `count`)."""
        digest = store_hash(sample)
        if name := self._names.get(content_hash(sample)) or self._names.get(digest):
            self._in_use[digest] = name
            return name
        name = self._named_by_count.get(digest) or self._in_use.get(digest)
        return name or make_id(axes, digest)

    @cached_property
    def _named_by_count(self) -> dict[str, str]:
        """Names of stores of an earlier version by today's hash; the largest store if several."""
        found: dict[str, tuple[int, str]] = {}
        in_use = set(self._in_use.values())
        for name in self._names.values():
            for folder in self._folders if name not in in_use else ():
                try:
                    manifest = json.loads((folder / f"{name}.json").read_bytes())
                    sample = Sample.model_validate_json(manifest["sample"])
                    count = int(manifest["count"])
                except (OSError, ValueError, KeyError, TypeError):
                    continue
                digest = store_hash(sample)
                found[digest] = max(found.get(digest, (0, "")), (count, name))
        return {digest: name for digest, (_, name) in found.items()}


def store_hash(sample: Sample) -> str:
    """Return the hash of everything that affects samples; `count` does not."""
    return content_hash(sample.model_copy(update={"count": Sample.model_fields["count"].default}))


def names_by_hash(folders: Iterable[Path]) -> dict[str, str]:
    """Return the ids of the results in `folders` by their hash."""
    names = {}
    for folder in folders:
        for entry in os.scandir(folder) if folder.is_dir() else ():
            stem, _, suffix = entry.name.rpartition(".")
            name = stem if suffix in SUFFIXES else entry.name  # "learning_rate=0.001_3f2a9c1b"
            if ID.fullmatch(name):
                names[name[-8:]] = name
    return names


def make_id(axes: Point, digest: str) -> str:
    """Build an id such as "levels=10_seed=0_3f2a9c1b"."""
    parts = [
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in axes.items()
    ]
    text = re.sub(r"[^A-Za-z0-9=._+-]+", "-", "_".join(parts))[:100].strip("-_")
    return f"{text}_{digest}" if text else digest
