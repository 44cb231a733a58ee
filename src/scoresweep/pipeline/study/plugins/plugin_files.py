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


def find_plugin(
    source: str, folder: Path, where: str, relative_to: str = "the study file"
) -> Plugin:
    """Return the plugin that a study names.

    Args:
        source: a Python file or the folder of a package, relative to `folder`, or the name of an
            installed module.
        folder: folder of the study file.
        where: what errors begin with: the study file and the key.
        relative_to: what errors call `folder`.

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
    if path.is_dir():
        raise InputError(
            f"{where}: {source}: the folder {path.resolve()} has no file __init__.py; expected one "
            f"that imports its methods, as in `from .my_file import my_method`"
        )
    if source.endswith(".py") or "/" in source:
        near = [str(Path(source).with_name(file.name)) for file in path.parent.glob("*.py")]
        raise InputError(
            f"{where}: {source}: no such file: {path.resolve()}; expected the path of a Python "
            f"file with methods, absolute or relative to {relative_to}."
            f"{did_you_mean(source, near)}"
        )
    return find_module(source, where)


def find_module(name: str, where: str) -> Plugin:
    """Return an installed module as a plugin: the whole package that it is part of."""
    try:
        spec = importlib.util.find_spec(name)
        package = _outermost_package(name)
    except Exception as error:  # noqa: BLE001 - importing its parents runs their code
        raise InputError(f"{where}: {name}: {describe_exception(error)}") from None
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise InputError(
            f"{where}: {name}: is neither a file nor an installed Python module; expected a path "
            f"such as {name}.py, or a module that `python -c 'import {name}'` finds"
        )
    is_built_in = name.partition(".")[0] == __name__.partition(".")[0]
    path = Path(spec.origin).resolve()
    path = path if is_built_in else package or path
    return Plugin(name, path, "" if is_built_in else plugin_sha256(path), name)


def _outermost_package(name: str) -> Path | None:
    """Return the folder of the outermost package with an `__init__.py` around a module.

    The module may import all of it. None: it is in no package.
    """
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        spec = importlib.util.find_spec(".".join(parts[:length]))
        if spec and spec.origin and spec.submodule_search_locations:
            return Path(spec.origin).resolve().parent
    return None


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
        reason = describe_exception(error) + _import_advice(error, plugin)
        raise InputError(f"{where}: {reason}") from None
    if plugin.sha256 and plugin.module == plugin.source:
        now = find_module(plugin.module, str(plugin)).sha256  # of the file that was imported
        _check_content(plugin, now, "where this process finds it, or after it was loaded")
    LOADED[plugin.module], LOADED_FILES[plugin.module] = found, content
    return module


def _import_advice(error: BaseException, plugin: Plugin) -> str:
    """Return what to do if a plugin imports a file beside it as if that were installed."""
    name = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    is_file = plugin.path.is_file()
    folder = plugin.path.parent if is_file else plugin.path
    found = [path for path in (folder / name, folder / f"{name}.py") if name and path.exists()]
    if not found:
        return ""
    relative = f"`from . import {name}`"
    if not is_file:
        return f"; expected {relative}, because {shown_path(found[0])} is part of the plugin"
    return (
        f"; {shown_path(found[0])} is not part of the plugin: move both into a folder with a file "
        f"__init__.py, import by {relative}, and name the folder under plugins"
    )


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


def describe_failure(error: BaseException, origin: Origin, hook: str = "") -> str:
    """Return an exception of a method, or of its `hook`, with the line of the plugin."""
    where = _line_of(error, origin.plugin) or origin.place
    method = f"the {origin.declaration.kind} {origin.declaration.name!r}"
    reason = describe_exception(error) + _import_advice(error, origin.plugin)
    return ": ".join(filter(None, [where, method, hook, reason]))


def describe_exception(error: BaseException) -> str:
    """Return the type and the message of an exception, on one line."""
    text = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
