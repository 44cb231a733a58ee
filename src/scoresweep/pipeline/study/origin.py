"""Where a method comes from that a decorator of `scoresweep.plugins` declares."""

from __future__ import annotations

import inspect
import os
from dataclasses import dataclass
from pathlib import Path

from scoresweep.plugins import Declaration

__all__ = ["Origin", "Plugin", "shown_path"]


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
        """What stands for its content in the ids of results; "" for built-in methods.

        Studies share staged datasets, so the version of a dataset does not replace the hash.
        """
        version = self.declaration.version
        if version is None or not self.plugin.sha256:
            return self.plugin.sha256 if version is None else f"version {version}"
        hashed = f"{self.plugin.sha256} " if self.declaration.kind == "dataset" else ""
        return f"{hashed}version {version}"

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


def shown_path(path: Path) -> str:
    """Return a path as messages show it: relative if it is below the working directory."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
