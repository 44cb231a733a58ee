"""Options classes of the methods that plugins declare, one for each method."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from scoresweep.metric_names import COMPANIONS
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.axis_names import RESERVED
from scoresweep.pipeline.study.config import MethodConfig, description_of
from scoresweep.pipeline.study.methods.objectives import Sliced
from scoresweep.pipeline.study.origin import Origin, Plugin
from scoresweep.pipeline.study.plugins.declared_kinds import (
    DeclaredDataset,
    DeclaredExtractor,
    DeclaredLadder,
    DeclaredMetric,
    DeclaredNetwork,
    DeclaredObjective,
    DeclaredSampler,
)
from scoresweep.pipeline.study.plugins.options import option_fields, parameters_of, summary
from scoresweep.pipeline.study.plugins.plugin_files import load_plugin
from scoresweep.pipeline.study.plugins.signatures import check_forward, check_positional
from scoresweep.plugins import Better, Kind, declaration_of

__all__ = ["method_class", "methods_in"]

OF_V = ("projections", "distribution")
"""Options of an objective that takes random directions `v`."""

DENOISE = "End with the step x + σ_L² s(x, σ_L), without noise."


class _Rules(NamedTuple):
    """What scoresweep passes to the methods of a kind."""

    base: type[MethodConfig]
    positional: tuple[str, ...]
    """Arguments that are passed by position."""
    given: frozenset[str]
    """Arguments that are passed by name, if the function or class takes them."""
    reserved: frozenset[str] = frozenset()
    """Names of options that the pipeline uses itself."""


RULES: dict[Kind, _Rules] = {
    "sampler": _Rules(
        DeclaredSampler,
        ("score", "x", "sigmas"),
        frozenset({"generator", "observe", "noise", "known", "mask"}),
    ),
    "network": _Rules(DeclaredNetwork, (), frozenset({"shape", "sigmas"})),
    "noise_ladder": _Rules(DeclaredLadder, (), frozenset({"points"})),
    "objective": _Rules(
        DeclaredObjective, ("score", "x", "sigma", "z"), frozenset({"v"}), frozenset(OF_V)
    ),
    "dataset": _Rules(DeclaredDataset, (), frozenset(), frozenset({"source", "title"})),
    "metric": _Rules(DeclaredMetric, ("real", "generated"), frozenset({"generator"})),
    "extractor": _Rules(DeclaredExtractor, ("x",), frozenset({"shape"})),
}


@functools.cache
def methods_in(plugin: Plugin) -> tuple[type[MethodConfig], ...]:
    """Load a plugin and return an options class for each of its methods.

    Raises `InputError` if it cannot be loaded, declares nothing, or an option is invalid.
    """
    found: dict[int, Origin] = {}
    for attribute, value in vars(load_plugin(plugin)).items():
        declaration = declaration_of(value)
        if declaration is not None:
            found.setdefault(id(value), Origin(plugin, attribute, declaration))
    if not found:
        raise InputError(
            f"{plugin}: declares no method; expected a function or class with a decorator of "
            f"scoresweep.plugins, such as @sampler"
        )
    return tuple(_options_class(origin) for origin in found.values())


def _options_class(origin: Origin) -> type[MethodConfig]:
    """Return the options class of one method."""
    declaration = origin.declaration
    _check_name(origin)
    accepted = _parameters(origin)
    create: Any = create_model  # without the pydantic plugin of mypy
    kind: type[MethodConfig] = create(
        declaration.name.title().replace("_", ""),
        __base__=RULES[declaration.kind].base,
        __doc__=summary(declaration.target) or None,
        __module__=origin.plugin.module,
        **_fields(origin, accepted),
    )
    for name, value in _facts(origin, accepted).items():
        setattr(kind, name, value)
    return kind


def _check_name(origin: Origin) -> None:
    """Raise `InputError` if the name of a method cannot be one in studies and results."""
    declaration = origin.declaration
    if not declaration.name.isidentifier():
        raise InputError(
            f"{origin}: cannot be a name in a study; expected letters, digits and '_', as in "
            f"@{declaration.kind}(name='my_method')"
        )
    if declaration.kind == "metric":
        _check_names_of_values(origin)


def _check_names_of_values(origin: Origin) -> None:
    """Raise `InputError` if the values of a metric cannot have their names in a report."""
    name = origin.declaration.name
    ranking = _ranking(name, origin.declaration.hooks["better"])
    if taken := next((each for each in (name, *ranking) if each in RESERVED), None):
        key = f": the key {taken.removeprefix(f'{name}_')!r}" if taken != name else ""
        raise InputError(
            f"{origin}{key}: {taken!r} is the name of something else in reports; expected "
            f"another name, such as @metric(name='my_metric')"
        )
    ending = name.rpartition("_")[2]
    if ending in COMPANIONS:
        raise InputError(
            f"{origin}: ends in '_{ending}', as the names of intervals and baselines do; expected "
            f"another name, such as @metric(name='my_metric')"
        )


def _fields(origin: Origin, accepted: frozenset[str]) -> dict[str, Any]:
    """Return the types and fields of the options of a method, after a check of its signature."""
    declaration, rules = origin.declaration, RULES[origin.declaration.kind]
    positional = rules.positional
    if declaration.kind == "network":
        check_forward(origin, "x", "sigma")
    elif declaration.kind == "extractor" and inspect.isclass(declaration.target):
        check_forward(origin, *positional)
        positional = ()
    check_positional(origin, positional)
    fields: dict[str, Any] = {"name": (Literal[declaration.name], ...)}
    if declaration.kind == "sampler" and declaration.hooks["denoise"] and "denoise" not in accepted:
        fields["denoise"] = (bool, Field(True, description=DENOISE))
    if declaration.kind == "objective" and "v" in accepted:
        fields |= {key: _field_of(Sliced, key) for key in Sliced.model_fields if key in OF_V}
    fields_of_base = rules.base.model_fields.keys() - {"label"}  # an option may have this name
    taken = frozenset(dir(rules.base)) | fields_of_base | rules.reserved
    return fields | option_fields(origin, rules.given, len(positional), taken)


def _field_of(kind: type[MethodConfig], key: str) -> tuple[Any, FieldInfo]:
    """Return type and field of an option of `kind`, for a class that is not derived from it."""
    field = copy.copy(kind.model_fields[key])
    field.description = description_of(kind, key)
    return field.annotation, field


def _facts(origin: Origin, accepted: frozenset[str]) -> dict[str, Any]:
    """Return the class attributes of the options of a method."""
    kind, hooks = origin.declaration.kind, origin.declaration.hooks
    facts: dict[str, Any] = {
        "target": f"{origin.plugin.module}:{origin.attribute}",
        "origin": origin,
        "plugin": origin.identity,
        "accepted": accepted,
        "hooks": hooks,
        "__reduce__": _reduce,
    }
    if kind == "sampler":
        facts["supports_tasks"] = {"known", "mask", "noise"} <= accepted
    elif kind == "network":
        names = ("needs_images", "continuous_sigma", "smallest_side")
        facts |= {name: hooks[name] for name in names}
    elif kind == "metric":
        facts |= {"on_samples": hooks["on"] == "samples", "needs_images": hooks["needs_images"]}
        facts["ranking"] = _ranking(origin.declaration.name, hooks["better"])
    elif kind == "extractor":
        facts |= {name: hooks[name] for name in ("needs_images", "smallest_side")}
    elif kind == "objective" and "v" not in accepted:
        facts |= {"projections": 0, "distribution": "rademacher"}
    return facts


def _ranking(name: str, better: Better | Mapping[str, Better] | None) -> dict[str, Better]:
    """Return the values of a metric that rank settings, and their direction."""
    if isinstance(better, Mapping):
        return {f"{name}_{key}": direction for key, direction in better.items()}
    return {name: better} if better else {}


def _parameters(origin: Origin) -> frozenset[str]:
    try:
        return frozenset(parameters_of(origin.declaration.target))
    except (ValueError, TypeError) as error:
        raise InputError(f"{origin}: its arguments are not known: {error}") from None


def _reduce(config: MethodConfig) -> tuple[Any, ...]:
    """Pickle the options by the place of their class, which exists only where it is loaded."""
    assert config.origin is not None
    place = config.origin.plugin, config.origin.attribute
    return _blank, place, config.__getstate__()


def _blank(plugin: Plugin, attribute: str) -> MethodConfig:
    """Return options without values, for pickle; load the plugin if this process has not."""
    kind = method_class(plugin, attribute)
    return kind.__new__(kind)


def method_class(plugin: Plugin, attribute: str) -> type[MethodConfig]:
    """Return the options class of the function or class `attribute` of a plugin.

    Raises `InputError` if it has no such method.
    """
    for kind in methods_in(plugin):
        if kind.origin is not None and kind.origin.attribute == attribute:
            return kind
    raise InputError(
        f"{plugin}: has no method {attribute!r}; expected a decorated function or class"
    )
