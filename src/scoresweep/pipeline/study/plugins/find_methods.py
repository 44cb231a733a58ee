"""The methods that a study uses beside those with an options class of their own."""

from __future__ import annotations

import functools
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.config import MethodConfig
from scoresweep.pipeline.study.methods.included import INCLUDED
from scoresweep.pipeline.study.methods.tasks import AnyTask
from scoresweep.pipeline.study.origin import Plugin
from scoresweep.pipeline.study.plugins.plugin_files import find_module, find_plugin
from scoresweep.pipeline.study.plugins.study_models import (
    BUILT_IN,
    NAMES,
    Methods,
    built_in_names,
)

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["ENTRY_POINTS", "find_methods", "included_methods", "installed_methods"]

ENTRY_POINTS = "scoresweep.methods"
"""Group of entry points by which installed packages offer methods: NAME = "module:attribute"."""

KEYS = ("name", "metrics", "extractors")
"""Last parts of the paths that name methods."""


def find_methods(content: Mapping[str, Any], folder: Path | None, where: str) -> Methods:
    """Load what a study uses beside built-in classes: its plugins, included and installed methods.

    Args:
        content: the study file.
        folder: its folder, relative to which it names plugins; None: load no code of others.
        where: its name in error messages.

    Raises:
        InputError: if a plugin cannot be found or loaded, or the name of a method is taken.
    """
    names = set(_names(content))
    found = [*included_methods(names)]
    if folder is not None:
        sources = content.get("plugins")
        if isinstance(sources, list) and all(isinstance(source, str) for source in sources):
            named = [find_plugin(source, folder, f"{where}: plugins") for source in sources]
            plugins = {plugin.module: plugin for plugin in reversed(named)}  # each once
            found += [m for plugin in reversed(plugins.values()) for m in _methods_in(plugin)]
        found += _installed(names - _built_in_names() - {_name(method) for method in found}, where)
    _check_names(found)
    return tuple(found)


def included_methods(names: set[str] | None = None) -> Iterator[type[MethodConfig]]:
    """Yield the methods of this package that a decorator declares: those with `names`, or all."""
    for table in INCLUDED.values():
        for name, target in table.items():
            if names is None or name in names:
                yield _load(target, "scoresweep")


def _methods_in(plugin: Plugin) -> Methods:
    """Return the methods of a plugin; what that takes is imported only for studies with plugins."""
    from scoresweep.pipeline.study.plugins.declared import methods_in

    return methods_in(plugin)


def _installed(names: set[str], where: str) -> Iterator[type[MethodConfig]]:
    """Yield the methods that installed packages offer under names that are not known otherwise."""
    if not names:
        return
    from importlib.metadata import entry_points  # takes time, and is seldom needed

    for point in entry_points(group=ENTRY_POINTS):
        if point.name in names:
            yield _offered(point, f"{where}: {point.name}")


def _offered(point: EntryPoint, where: str) -> type[MethodConfig]:
    """Return the options class of a method that an installed package offers."""
    method = _load(point.value, where)
    if _name(method) != point.name:
        raise InputError(
            f"{method.origin}: is offered as {point.name!r} by an installed package; expected "
            f"the same name in its entry point of the group {ENTRY_POINTS}"
        )
    return method


def installed_methods(known: Iterable[type[MethodConfig]]) -> tuple[Methods, list[str]]:
    """Load all methods that installed packages offer under names that are not known otherwise.

    Args:
        known: methods beside those with an options class of their own.

    Returns:
        The methods, and what is wrong with those that cannot be loaded.
    """
    from importlib.metadata import entry_points

    names = _built_in_names() | {*map(_name, known)}
    found, problems = [], []
    for point in sorted(entry_points(group=ENTRY_POINTS)):
        if point.name in names:
            continue
        try:
            found.append(_offered(point, f"{point.name} = {point.value}"))
        except InputError as error:
            problems.append(str(error))
    return tuple(found), problems


def _load(target: str, where: str) -> type[MethodConfig]:
    """Return the options class of "module:attribute"."""
    from scoresweep.pipeline.study.plugins.declared import method_class

    module, _, attribute = target.partition(":")
    return method_class(find_module(module, where), attribute)


def _names(value: Any, key: str = "") -> Iterator[str]:
    """Yield the names of methods in the content of a study file, also those that are swept."""
    if isinstance(value, dict):
        for inner, each in value.items():
            yield from _names(each, str(inner))
    elif isinstance(value, list):
        for each in value:
            yield from _names(each, key)
    elif isinstance(value, str) and key.rpartition(".")[2] in KEYS:
        yield value


@functools.cache
def _built_in_names() -> frozenset[str]:
    """Return the names of all methods that no decorator declares, and of tasks."""
    tasks = typing.get_args(typing.get_args(AnyTask)[0])
    names = [name for kind in (*BUILT_IN, *NAMES) for name in built_in_names(kind)]
    names += [name for t in tasks for name in typing.get_args(t.model_fields["name"].annotation)]
    return frozenset(names)


def _name(method: type[MethodConfig]) -> str:
    assert method.origin is not None
    return method.origin.declaration.name


def _check_names(methods: list[type[MethodConfig]]) -> None:
    """Raise `InputError` if two methods of a kind have one name."""
    found: dict[tuple[str, str], Any] = {}
    for method in methods:
        origin = method.origin
        assert origin is not None
        kind, name = origin.declaration.kind, origin.declaration.name
        included = INCLUDED[kind] if origin.plugin.sha256 else {}
        if name in built_in_names(kind) or name in included:
            raise InputError(
                f"{origin}: is the name of a built-in {kind}; expected another name, such as "
                f"@{kind}(name='my_{name}')"
            )
        if (kind, name) in found:
            raise InputError(f"{origin}: has the name of {found[kind, name]}; expected two names")
        found[kind, name] = origin
