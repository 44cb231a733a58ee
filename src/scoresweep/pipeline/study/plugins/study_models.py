"""The schema of study files with the methods of plugins added to the built-in ones."""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, create_model

from scoresweep.pipeline.study.config import Config, MethodConfig
from scoresweep.pipeline.study.methods.datasets import AnyDataset
from scoresweep.pipeline.study.methods.networks import AnyNetwork
from scoresweep.pipeline.study.methods.noise import AnyNoise
from scoresweep.pipeline.study.methods.objectives import AnyObjective
from scoresweep.pipeline.study.methods.samplers import AnySampler
from scoresweep.pipeline.study.models import (
    Sample,
    SampleBlock,
    Study,
    Train,
    TrainBlock,
    as_list,
)
from scoresweep.pipeline.study.origin import Plugin
from scoresweep.plugins import Kind

__all__ = ["BUILT_IN", "Methods", "members", "study_model"]

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


def members(kind: Kind) -> Methods:
    """Return the options classes of the built-in methods of a kind."""
    found: Methods = typing.get_args(typing.get_args(BUILT_IN[kind])[0])
    return found


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
    blocks = {"train": _derive(TrainBlock, train), "sample": _derive(SampleBlock, sample)}
    derived = _derive(Study, {"dataset": datasets, **blocks})
    derived.methods = methods
    derived.train_model, derived.sample_model = _derive(Train, train), _derive(Sample, sample)
    for each in (derived, *blocks.values(), derived.train_model, derived.sample_model):
        type.__setattr__(each, "__reduce__", functools.partialmethod(_reduce, methods))
    return derived


def _union(kind: Kind, methods: Methods) -> Any:
    """Return the union of the built-in methods of a kind and those of `methods`."""
    own = [m for m in methods if m.origin is not None and m.origin.declaration.kind == kind]
    return Annotated[typing.Union[(*members(kind), *own)], Field(discriminator="name")]


def _derive(base: type[C], annotations: dict[str, Any]) -> type[C]:
    """Return a block in which some fields have other types."""
    fields: dict[str, Any] = {}
    for name, annotation in annotations.items():
        info = base.model_fields[name]
        default = ... if info.is_required() else info.default
        fields[name] = (annotation, Field(default, description=info.description))
    return create_model(base.__name__, __base__=base, __doc__=base.__doc__, **fields)


def _reduce(config: Config, methods: Methods) -> tuple[Any, ...]:
    """Pickle a block by the places of the methods that its schema is made for."""
    places = tuple((m.origin.plugin, m.origin.attribute) for m in methods if m.origin)
    return _blank, (type(config).__name__, places), config.__getstate__()


def _blank(name: str, places: Iterable[tuple[Plugin, str]]) -> Config:
    """Return a block without values, for pickle."""
    from scoresweep.pipeline.study.plugins.declared import method_class

    study = study_model(tuple(method_class(*place) for place in places))
    blocks = [study.model_fields[block].annotation for block in ("train", "sample")]
    models: list[Any] = [study, study.train_model, study.sample_model, *blocks]
    kind: type[Config] = next(model for model in models if model.__name__ == name)
    return kind.__new__(kind)
