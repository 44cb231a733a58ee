"""The methods that the plugins of a study declare."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.plugins.declared import methods_in
from scoresweep.pipeline.study.plugins.plugin_files import find_plugin
from scoresweep.pipeline.study.plugins.study_models import Methods, members

__all__ = ["find_methods"]


def find_methods(content: Mapping[str, Any], folder: Path, where: str) -> Methods:
    """Load the plugins that the content of a study file names; return their methods.

    Args:
        content: the study file.
        folder: its folder.
        where: its name in error messages.

    Raises:
        InputError: if a plugin cannot be found or loaded, or the name of a method is taken.
    """
    sources = content.get("plugins")
    if not isinstance(sources, list) or not all(isinstance(source, str) for source in sources):
        return ()  # the schema says what is wrong
    found = [find_plugin(source, folder, f"{where}: plugins") for source in sources]
    plugins = {plugin.path: plugin for plugin in reversed(found)}  # each file once
    methods = tuple(m for plugin in reversed(plugins.values()) for m in methods_in(plugin))
    _check_names(methods)
    return methods


def _check_names(methods: Iterable[Any]) -> None:
    """Raise `InputError` if two methods of a kind have one name."""
    found: dict[tuple[str, str], Any] = {}
    for method in methods:
        origin = method.origin
        key = origin.declaration.kind, origin.declaration.name
        built_in: list[Any] = [m.model_fields["name"].annotation for m in members(key[0])]
        if key[1] in {name for literal in built_in for name in typing.get_args(literal)}:
            raise InputError(
                f"{origin}: is the name of a built-in {key[0]}; expected another name, such as "
                f"@{key[0]}(name='my_{key[1]}')"
            )
        if key in found:
            raise InputError(f"{origin}: has the name of {found[key]}; expected two names")
        found[key] = origin
