"""Copies of the plugins that results were computed with."""

from __future__ import annotations

import functools
import json
from typing import Any

from scoresweep.pipeline.study import StudyPaths
from scoresweep.pipeline.study.config import Config
from scoresweep.pipeline.study.origin import Plugin
from scoresweep.pipeline.study.plugins.declared import methods_in
from scoresweep.pipeline.study.plugins.plugin_files import plugin_text
from scoresweep.pipeline.study.plugins.used_plugins import used_plugins
from scoresweep.pipeline.system.atomic_files import write_json

__all__ = ["describe_plugin", "keep_copies", "record_plugins"]


def describe_plugin(plugin: Plugin) -> dict[str, Any]:
    """Return what the study calls a plugin, its SHA-256, the text of its files, and versions."""
    found = [method.origin.declaration for method in methods_in(plugin) if method.origin]
    versions = {f"{d.kind} {d.name}": d.version for d in found if d.version is not None}
    about = {"source": plugin.source, "sha256": plugin.sha256, "files": plugin_text(plugin)}
    return about | ({"versions": versions} if versions else {})


@functools.cache
def keep_copies(paths: StudyPaths, *plugins: Plugin) -> None:
    """Write the text of each plugin below the study's results, unless it is there."""
    for plugin in plugins:
        path = paths.plugin_copy(plugin.name, plugin.sha256)
        if not path.exists():
            write_json(path, describe_plugin(plugin))


def record_plugins(paths: StudyPaths, *blocks: Config) -> dict[str, str]:
    """Keep copies of the plugins that `blocks` use; return a NetCDF attribute that names them."""
    plugins = used_plugins(*blocks)
    keep_copies(paths, *plugins)
    names = {plugin.source: plugin.sha256 for plugin in plugins}
    return {"plugins": json.dumps(names)} if names else {}
