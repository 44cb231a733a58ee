"""Find the files of plugins and load them as modules."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from scoresweep.pipeline.errors import InputError, did_you_mean
from scoresweep.pipeline.study.origin import Origin, Plugin, shown_path
from scoresweep.pipeline.study.plugins.import_files import import_files

__all__ = [
    "describe_exception",
    "describe_failure",
    "find_module",
    "find_plugin",
    "load_plugin",
    "plugin_sha256",
    "plugin_text",
]


def find_plugin(source: str, folder: Path, where: str) -> Plugin:
    """Return the plugin that a study names.

    Args:
        source: a Python file or the folder of a package, relative to `folder`, or the name of an
            installed module.
        folder: folder of the study file.
        where: what errors begin with: the study file and the key.

    Raises:
        InputError: if there is no such file or module.
    """
    path = folder / source
    if path.is_file() or (path / "__init__.py").is_file():
        path = path.resolve()
        digest = plugin_sha256(path)
        key = hashlib.sha256(f"{path}\0{digest}".encode()).hexdigest()[:12]
        stem = "".join(c if c.isalnum() else "_" for c in path.stem)
        return Plugin(source, path, digest, f"scoresweep_plugin_{stem}_{key}")
    if source.endswith(".py") or "/" in source:
        near = [file.relative_to(folder).as_posix() for file in path.parent.glob("*.py")]
        raise InputError(
            f"{where}: {source}: no such file: {shown_path(path)}; expected a Python file with "
            f"methods, relative to the study file.{did_you_mean(source, near)}"
        )
    return find_module(source, where)


def find_module(name: str, where: str) -> Plugin:
    """Return an installed module as a plugin."""
    try:
        spec = importlib.util.find_spec(name)
    except Exception as error:  # noqa: BLE001 - importing its parents runs their code
        raise InputError(f"{where}: {name}: {describe_exception(error)}") from None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise InputError(
            f"{where}: {name}: neither a file beside the study nor an installed Python module; "
            f"expected a path such as {name}.py, or a module that `python -c 'import {name}'` finds"
        )
    path = Path(spec.origin).resolve()
    path = path.parent if spec.submodule_search_locations else path
    is_built_in = name.partition(".")[0] == __name__.partition(".")[0]
    return Plugin(name, path, "" if is_built_in else plugin_sha256(path), name)


def plugin_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of the Python files of a folder.

    Raises `InputError` if it cannot be read.
    """
    return _sha256(path, _read(path))


def _read(path: Path) -> dict[Path, bytes]:
    """Return the content of a file, or of each Python file of a folder."""
    try:
        files = [path] if path.is_file() else sorted(path.rglob("*.py"))
        return {file: file.read_bytes() for file in files}
    except OSError as error:
        raise InputError(f"{shown_path(path)}: cannot be read: {error.strerror}") from None


def _sha256(path: Path, content: Mapping[Path, bytes]) -> str:
    if path in content:
        return hashlib.sha256(content[path]).hexdigest()
    digest = hashlib.sha256()
    for file, data in content.items():
        digest.update(f"{file.relative_to(path).as_posix()}\0".encode())
        digest.update(hashlib.sha256(data).digest())
    return digest.hexdigest()


def plugin_text(plugin: Plugin) -> dict[str, str]:
    """Return the text of each Python file of a plugin by its name, as it was loaded."""
    base = plugin.path.parent if plugin.path.is_file() else plugin.path
    return {
        file.relative_to(base).as_posix(): data.decode(errors="replace")
        for file, data in (LOADED_FILES.get(plugin.module) or _read(plugin.path)).items()
    }


LOADED: dict[str, str] = {}
"""SHA-256 of each plugin that this process has loaded, by the name of its module."""

LOADED_FILES: dict[str, dict[Path, bytes]] = {}
"""Their files as they were loaded."""


def load_plugin(plugin: Plugin) -> ModuleType:
    """Import a plugin and return its module; the same one if it is imported already.

    Raises:
        InputError: if its content is not that of `plugin.sha256`, or it cannot be imported; the
            message names the line of the plugin.
    """
    if plugin.module in sys.modules and plugin.module in LOADED:
        _check_content(plugin, LOADED[plugin.module], "in this process, which loaded it before")
        return sys.modules[plugin.module]
    content = _read(plugin.path) if plugin.sha256 else {}
    found = _sha256(plugin.path, content) if plugin.sha256 else ""
    _check_content(plugin, found, "here")
    try:
        if plugin.module == plugin.source:
            module = importlib.import_module(plugin.module)
        else:
            module = import_files(plugin.module, plugin.path, content)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - code of the user
        sys.modules.pop(plugin.module, None)
        where = _line_of(error, plugin) or str(plugin)
        raise InputError(f"{where}: {describe_exception(error)}") from None
    if plugin.sha256 and plugin.module == plugin.source:
        _check_content(plugin, plugin_sha256(plugin.path), "now: it changed while it was loaded")
    LOADED[plugin.module], LOADED_FILES[plugin.module] = found, content
    return module


def _check_content(plugin: Plugin, found: str, where: str) -> None:
    """Raise `InputError` if `found` is not the SHA-256 of the plugin that was planned."""
    if found != plugin.sha256:
        raise InputError(
            f"{plugin}: has SHA-256 {found} {where}, but this work was planned with "
            f"{plugin.sha256}; run the command that plans it again, with the same file everywhere"
        )


def _line_of(error: BaseException, plugin: Plugin) -> str:
    """Return the last line of the plugin that an exception passed, as in "my_methods.py:12"."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{shown_path(Path(error.filename))}:{error.lineno}"
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = Path(frame.filename)
        if file == plugin.path or plugin.path in file.parents:
            return f"{shown_path(file)}:{frame.lineno}"
    return ""


def describe_failure(error: BaseException, origin: Origin) -> str:
    """Return an exception of a method with the line of the plugin that raised it."""
    where = _line_of(error, origin.plugin) or origin.place
    declaration = origin.declaration
    return f"{where}: the {declaration.kind} {declaration.name!r}: {describe_exception(error)}"


def describe_exception(error: BaseException) -> str:
    """Return the type and the message of an exception, on one line."""
    text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
