"""The plugins that options come from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from scoresweep.pipeline.study.config import Config, MethodConfig
from scoresweep.pipeline.study.origin import Plugin

__all__ = ["own_methods", "used_plugins"]


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
