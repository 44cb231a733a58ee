"""Import Python files from content that has been read already, so that it is what was hashed."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

__all__ = ["import_files"]


def import_files(name: str, path: Path, content: Mapping[Path, bytes]) -> ModuleType:
    """Import a file, or the folder of a package, as the module `name`.

    Its modules are compiled from `content`, by file, also those that it imports later. No cache
    is read or written.
    """
    finder = _Finder(name, path, content)
    spec = finder.find_spec(name, None)
    assert spec is not None
    assert spec.loader is not None
    with contextlib.ExitStack() as undo:
        if path.is_dir():
            sys.meta_path.insert(0, finder)
            undo.callback(sys.meta_path.remove, finder)
        undo.callback(_forget, name)
        module = sys.modules[name] = module_from_spec(spec)
        spec.loader.exec_module(module)
        undo.pop_all()
    return module


def _forget(name: str) -> None:
    """Remove a module and its parts from the modules of this process."""
    for loaded in [key for key in sys.modules if key == name or key.startswith(f"{name}.")]:
        del sys.modules[loaded]


class _Finder(MetaPathFinder):
    """Finds the modules of one plugin in `content`."""

    def __init__(self, name: str, path: Path, content: Mapping[Path, bytes]) -> None:
        self._name, self._path, self._content = name, path, content

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the signature of a finder
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname != self._name and not fullname.startswith(f"{self._name}."):
            return None
        inner = self._path.joinpath(*fullname.removeprefix(self._name).split("."))
        for file in (inner, inner / "__init__.py", inner.with_name(f"{inner.name}.py")):
            if file in self._content:
                folders = [str(file.parent)] if file.name == "__init__.py" else None
                loader = _Loader(str(file), self._content[file])
                return spec_from_file_location(
                    fullname, file, loader=loader, submodule_search_locations=folders
                )
        return None


class _Loader(SourceLoader):
    """Loads a module from the content of its file."""

    def __init__(self, file: str, data: bytes) -> None:
        self._file, self._data = file, data

    def get_filename(self, fullname: str) -> str:  # noqa: ARG002 - the signature of a loader
        return self._file

    def get_data(self, path: str) -> bytes:
        if path != self._file:  # a cache
            raise OSError(path)
        return self._data
