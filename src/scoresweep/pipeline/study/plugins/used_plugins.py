"""The plugins that options come from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from scoresweep.pipeline.study.config import Config, MethodConfig
from scoresweep.pipeline.study.origin import Plugin
from scoresweep.pipeline.study.paths import StudyPaths

__all__ = ["earlier_contents", "own_methods", "used_plugins"]


def own_methods(configs: Iterable[Config]) -> Iterator[MethodConfig]:
    """Yield the options of plugins' methods among `configs` and the blocks inside them."""
    for config in configs:
        if isinstance(config, MethodConfig) and config.plugin:
            yield config
        values = [getattr(config, key) for key in type(config).model_fields]
        yield from own_methods(value for value in values if isinstance(value, Config))


def used_plugins(*configs: Config) -> list[Plugin]:
    """Return the plugins that methods in `configs` come from, each once."""
    return list(dict.fromkeys(m.origin.plugin for m in own_methods(configs) if m.origin))


def earlier_contents(paths: StudyPaths, plugin: Plugin) -> list[str]:
    """Return the other SHA-256s of a plugin that the study was run with, the latest last."""
    now = paths.plugin_copy(plugin.path.stem, plugin.sha256)
    copies = now.parent.glob(f"{plugin.path.stem}-*.json")
    found = []
    for path in sorted(copies, key=lambda path: path.stat().st_mtime_ns):
        try:
            record = json.loads(path.read_bytes())
            if record["source"] == plugin.source and record["sha256"] != plugin.sha256:
                found.append(record["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found
