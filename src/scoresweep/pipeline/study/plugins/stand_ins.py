"""Stand-ins for methods of plugins, to read a report without running the code of its plugins."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NoReturn

from pydantic import Field, create_model

from scoresweep.pipeline.study.config import MethodConfig, is_runtime_only
from scoresweep.pipeline.study.methods.datasets import Dataset
from scoresweep.pipeline.study.methods.metrics import ExtractorMethod, MetricMethod
from scoresweep.pipeline.study.methods.networks import Network
from scoresweep.pipeline.study.methods.noise import NoiseLadder
from scoresweep.pipeline.study.methods.objectives import Objective
from scoresweep.pipeline.study.methods.samplers import Sampler
from scoresweep.pipeline.study.origin import Origin, Plugin
from scoresweep.plugins import Declaration, Kind

__all__ = ["describe_methods", "stand_ins"]

BASES: dict[Kind, type[MethodConfig]] = {
    "sampler": Sampler,
    "network": Network,
    "noise_ladder": NoiseLadder,
    "objective": Objective,
    "dataset": Dataset,
    "metric": MetricMethod,
    "extractor": ExtractorMethod,
}

FACTS: dict[Kind, tuple[str, ...]] = {"metric": ("on_samples", "ranking")}
"""Class attributes that are needed to plan a study again."""


def describe_methods(methods: Iterable[type[MethodConfig]]) -> list[dict[str, Any]]:
    """Return what `stand_ins` needs of the methods of plugins, as plain values."""
    described = []
    for method in methods:
        assert method.origin is not None
        kind = method.origin.declaration.kind
        fields = {
            key: field
            for key, field in method.model_fields.items()
            if key != "name" and not is_runtime_only(method, key)
        }
        described.append(
            {
                "kind": kind,
                "name": method.origin.declaration.name,
                "source": method.origin.plugin.source,
                "plugin": method.plugin,
                "facts": {k: getattr(method, k) for k in FACTS.get(kind, ())},
                "options": list(fields),
                "defaults": {k: v.default for k, v in fields.items() if not v.is_required()},
            }
        )
    return described


def stand_ins(described: Iterable[Mapping[str, Any]]) -> tuple[type[MethodConfig], ...]:
    """Return options classes with the options and ids of methods, but without checks and code."""
    return tuple(map(_stand_in, described))


def _stand_in(about: Mapping[str, Any]) -> type[MethodConfig]:
    fields: dict[str, Any] = {"name": (Literal[about["name"]], ...)}
    for option in about["options"]:
        fields[option] = (Any, Field(about["defaults"].get(option, ...)))
    create: Any = create_model
    kind: type[MethodConfig] = create(about["name"], __base__=BASES[about["kind"]], **fields)
    plugin = Plugin(about["source"], Path(about["source"]), about["plugin"], "")
    declaration = Declaration(about["kind"], about["name"], _no_code, about["plugin"])
    kind.origin, kind.plugin = Origin(plugin, "", declaration), about["plugin"]
    kind.target = f"{__name__}:{_no_code.__name__}"
    for name, value in about.get("facts", {}).items():
        setattr(kind, name, value)
    return kind


def _no_code() -> NoReturn:
    raise NotImplementedError("only the options of this method are known")
