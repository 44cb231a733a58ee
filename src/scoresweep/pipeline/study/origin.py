"""Where a method comes from that a decorator of `scoresweep.plugins` declares."""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass
from pathlib import Path

from scoresweep.plugins import Declaration, Kind

__all__ = ["Origin", "Plugin", "identity", "shown_path"]

SHARED = ("dataset", "extractor")
"""Kinds of methods whose results are in `data/`, where all studies find them."""


@dataclass(frozen=True)
class Plugin:
    """A file, folder or installed module with methods."""

    source: str
    """What the study names: a path or a module."""
    path: Path
    """The file, or the folder of a package; absolute."""
    sha256: str
    """Hash of its content; "" for a part of this package, whose methods are built-in ones."""
    module: str
    """Name of the module in this process."""

    @property
    def name(self) -> str:
        """Its name in names of files."""
        return self.source if self.source == self.module else self.path.stem

    def __str__(self) -> str:
        return shown_path(self.path)


@dataclass(frozen=True)
class Origin:
    """The place of one method."""

    plugin: Plugin
    attribute: str
    """Name of the function or class in the module of the plugin."""
    declaration: Declaration

    @property
    def identity(self) -> str:
        """What stands for its content in the ids of results; "" for built-in methods."""
        return identity(self.declaration.kind, self.plugin.sha256, self.declaration.version)

    def __str__(self) -> str:
        return f"{self.place}: the {self.declaration.kind} {self.declaration.name!r}"

    @property
    def place(self) -> str:
        """File and line, as in "my_methods.py:12"."""
        target = inspect.unwrap(self.declaration.target)
        try:
            file = inspect.getsourcefile(target) or str(self.plugin.path)
            return f"{shown_path(Path(file))}:{inspect.getsourcelines(target)[1]}"
        except (OSError, TypeError):
            return str(self.plugin)


def identity(kind: Kind, sha256: str, version: str | None) -> str:
    """Return what stands for the content of a method in the ids of results.

    Studies share staged datasets and their features, so the version of a dataset or an extractor
    does not replace the hash.
    """
    if version is None:
        return sha256
    return f"{sha256} version {version}" if sha256 and kind in SHARED else f"version {version}"


def shown_path(path: Path) -> str:
    """Return a path as messages show it: relative if it is below the working directory."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
