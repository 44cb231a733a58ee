"""The schema of study files with the methods of plugins added to the built-in ones."""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Discriminator, Field, Tag, create_model

from scoresweep.pipeline.study.config import Config, MethodConfig, description_of
from scoresweep.pipeline.study.methods.datasets import AnyDataset
from scoresweep.pipeline.study.methods.method_names import name_of
from scoresweep.pipeline.study.methods.metrics import EXTRACTORS, METRICS, NETWORK_METRICS
from scoresweep.pipeline.study.methods.networks import AnyNetwork
from scoresweep.pipeline.study.methods.noise import AnyNoise
from scoresweep.pipeline.study.methods.objectives import AnyObjective
from scoresweep.pipeline.study.methods.samplers import AnySampler
from scoresweep.pipeline.study.models import (
    Evaluate,
    EvaluateBlock,
    Sample,
    SampleBlock,
    Study,
    Train,
    TrainBlock,
    as_list,
)
from scoresweep.pipeline.study.origin import Plugin
from scoresweep.plugins import Kind

__all__ = ["BUILT_IN", "NAMES", "Methods", "built_in_names", "members", "study_model"]

C = TypeVar("C", bound=Config)

Methods = tuple[type[MethodConfig], ...]

BUILT_IN: dict[Kind, Any] = {
    "dataset": AnyDataset,
    "noise_ladder": AnyNoise,
    "network": AnyNetwork,
    "objective": AnyObjective,
    "sampler": AnySampler,
}
"""Unions of the options of built-in methods."""

NAMES: dict[Kind, tuple[str, ...]] = {
    "metric": (*NETWORK_METRICS, *METRICS),
    "extractor": tuple(EXTRACTORS),
}
"""Names of built-in methods without options of their own."""

NAME_ONLY = "a name"
"""Tag of entries of lists that are names; no name of a method has a space."""


def members(kind: Kind) -> Methods:
    """Return the options classes of the built-in methods of a kind."""
    found: Methods = typing.get_args(typing.get_args(BUILT_IN[kind])[0])
    return found


def built_in_names(kind: Kind) -> tuple[str, ...]:
    """Return the names of the built-in methods of a kind that no decorator declares."""
    if kind in NAMES:
        return NAMES[kind]
    fields = (member.model_fields["name"] for member in members(kind))
    return tuple(name for field in fields for name in typing.get_args(field.annotation))


@functools.cache
def study_model(methods: Methods) -> type[Study]:
    """Return the schema of study files that may also use `methods`; `Study` if there are none."""
    if not methods:
        return Study
    any_noise: Any = _union("noise_ladder", methods)
    any_dataset: Any = _union("dataset", methods)
    some_datasets: Any = types.GenericAlias(list, (any_dataset,))
    train = {
        "network": _union("network", methods),
        "objective": _union("objective", methods),
        "noise": any_noise,
    }
    sample = {"sampler": _union("sampler", methods), "noise": any_noise | None}
    datasets = Annotated[
        some_datasets,
        BeforeValidator(as_list, json_schema_input_type=any_dataset | some_datasets),
        Field(min_length=1),
    ]
    lists: dict[str, Kind] = {"metrics": "metric", "extractors": "extractor"}
    evaluate = {k: _list(kind, own) for k, kind in lists.items() if (own := _own(kind, methods))}
    blocks = {
        "train": _derive(TrainBlock, train),
        "sample": _derive(SampleBlock, sample),
        "evaluate": _derive(EvaluateBlock, evaluate),
    }
    derived = _derive(Study, {"dataset": datasets, **blocks})
    derived.methods = methods
    derived.train_model, derived.sample_model = _derive(Train, train), _derive(Sample, sample)
    derived.evaluate_model = _derive(Evaluate, evaluate)
    for each in _parts(derived):
        type.__setattr__(each, "__reduce__", functools.partialmethod(_reduce, methods))
    return derived


def _parts(study: type[Study]) -> list[type[Config]]:
    """Return the types of a study, of its blocks and of the points of their grids."""
    blocks: list[Any] = [study.model_fields[n].annotation for n in ("train", "sample", "evaluate")]
    return [study, *blocks, study.train_model, study.sample_model, study.evaluate_model]


def _own(kind: Kind, methods: Methods) -> Methods:
    return tuple(m for m in methods if m.origin and m.origin.declaration.kind == kind)


def _union(kind: Kind, methods: Methods) -> Any:
    """Return the union of the built-in methods of a kind and those of `methods`."""
    own = _own(kind, methods)
    return Annotated[typing.Union[(*members(kind), *own)], Field(discriminator="name")]


def _list(kind: Kind, methods: Methods) -> Any:
    """Return the type of a list of names of built-in methods of a kind, and options of `methods`.

    The name of one of `methods` is the same as a block with this name.
    """
    own = {method.origin.declaration.name: method for method in methods if method.origin}

    def in_full(value: Any) -> Any:
        return {"name": value} if isinstance(value, str) and value in own else value

    def branch(value: Any) -> str:
        name = value.get("name") if isinstance(value, dict) else getattr(value, "name", None)
        return name if isinstance(name, str) and name in own else NAME_ONLY

    plain: Any = Annotated[name_of(*built_in_names(kind), *own), Tag(NAME_ONLY)]
    blocks: list[Any] = [Annotated[method, Tag(name)] for name, method in own.items()]
    union: Any = typing.Union[(plain, *blocks)]
    entry: Any = Annotated[union, Discriminator(branch), BeforeValidator(in_full)]
    return Annotated[types.GenericAlias(list, (entry,)), Field(min_length=1)]


def _derive(base: type[C], annotations: dict[str, Any]) -> type[C]:
    """Return a block in which some fields have other types."""
    fields: dict[str, Any] = {}
    for name, annotation in annotations.items():
        info = base.model_fields[name]
        default = ... if info.is_required() else info.default
        if isinstance(default, EvaluateBlock):
            default = annotation()
        fields[name] = (annotation, Field(default, description=description_of(base, name)))
    return create_model(base.__name__, __base__=base, __doc__=base.__doc__, **fields)


def _reduce(config: Config, methods: Methods) -> tuple[Any, ...]:
    """Pickle a block by the places of the methods that its schema is made for."""
    places = tuple((m.origin.plugin, m.origin.attribute) for m in methods if m.origin)
    return _blank, (type(config).__name__, places), config.__getstate__()


def _blank(name: str, places: Iterable[tuple[Plugin, str]]) -> Config:
    """Return a block without values, for pickle."""
    from scoresweep.pipeline.study.plugins.declared import method_class

    study = study_model(tuple(method_class(*place) for place in places))
    kind = next(part for part in _parts(study) if part.__name__ == name)
    return kind.__new__(kind)
