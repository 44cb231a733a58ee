"""The plugins that options come from."""

from __future__ import annotations

import glob
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from scoresweep.pipeline.study.config import Config, MethodConfig
from scoresweep.pipeline.study.origin import Origin, Plugin, identity
from scoresweep.pipeline.study.paths import StudyPaths

__all__ = ["EarlierContent", "earlier_contents", "own_methods", "used_plugins"]


def own_methods(configs: Iterable[Config]) -> Iterator[MethodConfig]:
    """Yield the options of plugins' methods among `configs` and the blocks inside them."""
    for config in configs:
        if isinstance(config, MethodConfig) and config.plugin:
            yield config
        values = [getattr(config, key) for key in type(config).model_fields]
        listed = [each for value in values if isinstance(value, list) for each in value]
        yield from own_methods(each for each in (*values, *listed) if isinstance(each, Config))


def used_plugins(*configs: Config) -> list[Plugin]:
    """Return the plugins that methods in `configs` come from, each once."""
    return list(dict.fromkeys(m.origin.plugin for m in own_methods(configs) if m.origin))


@dataclass(frozen=True)
class EarlierContent:
    """A content of a plugin that the study was run with."""

    sha256: str
    versions: Mapping[str, str] = field(default_factory=dict)
    """Declared versions by kind and name, such as "sampler heavy_ball"."""

    def identity(self, origin: Origin) -> str:
        """Return what stood for a method in ids."""
        declaration = origin.declaration
        version = self.versions.get(f"{declaration.kind} {declaration.name}")
        return identity(declaration.kind, self.sha256, version)


def earlier_contents(paths: StudyPaths, plugin: Plugin) -> list[EarlierContent]:
    """Return the other contents of a plugin that the study was run with, the latest last."""
    now = paths.plugin_copy(plugin.name, plugin.sha256)
    copies = now.parent.glob(f"{glob.escape(plugin.name)}-*.json")
    found = []
    for path in sorted(copies, key=lambda path: path.stat().st_mtime_ns):
        try:
            record = json.loads(path.read_bytes())
            if record["source"] == plugin.source and record["sha256"] != plugin.sha256:
                found.append(EarlierContent(record["sha256"], record.get("versions", {})))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found
