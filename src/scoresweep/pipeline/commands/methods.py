"""Command `methods`: every method that a study can name, with its options."""

from __future__ import annotations

import inspect
import json
import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.config import MethodConfig, is_runtime_only
from scoresweep.pipeline.study.load import read_yaml
from scoresweep.pipeline.study.methods.metrics import EXTRACTORS, METRICS, NETWORK_METRICS
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredMetric
from scoresweep.pipeline.study.plugins.find_methods import (
    find_methods,
    included_methods,
    installed_methods,
)
from scoresweep.pipeline.study.plugins.options import summary
from scoresweep.pipeline.study.plugins.study_models import BUILT_IN, Methods, members
from scoresweep.plugins import KINDS

__all__ = ["describe_methods", "study_methods"]

TARGETS = {
    "metric": NETWORK_METRICS | {name: metric.target for name, metric in METRICS.items()},
    "extractor": {name: extractor.target for name, extractor in EXTRACTORS.items()},
}
"""Where built-in methods without options of their own are, by kind and name."""

LIMITS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
"""Keys of a JSON schema, and their signs."""


def study_methods(study: Path | None = None) -> Methods:
    """Return the methods of this package that decorators declare, and those that `study` adds.

    Raises `InputError` if the file is not a study or a plugin of it cannot be loaded.
    """
    methods = dict.fromkeys(included_methods())
    if study is not None:
        content = read_yaml(study)
        if not isinstance(content, dict):
            raise InputError(f"{study}: expected a study, found {type(content).__name__}")
        methods |= dict.fromkeys(find_methods(content, study.parent, str(study)))
    return tuple(methods)


def describe_methods(study: Path | None = None) -> Iterator[str]:
    """Yield lines that list every method by kind: its text, where it comes from, its options.

    Methods of installed packages are among them, which are loaded for that.
    """
    known = study_methods(study)
    installed, problems = installed_methods(known)
    others = (*known, *installed)
    for kind in KINDS:
        yield f"{kind}s".replace("_", " ")
        for name, target in TARGETS.get(kind, {}).items():
            yield f"  {name} [built-in]: {summary(pkgutil.resolve_name(target))}"
        more = [
            method for method in others if method.origin and method.origin.declaration.kind == kind
        ]
        for method in (*(members(kind) if kind in BUILT_IN else ()), *more):
            yield from _describe(method)
        yield ""
    for problem in problems:
        yield f"not loaded: {problem}"


def _describe(method: type[MethodConfig]) -> Iterator[str]:
    schema = method.model_json_schema()
    if is_runtime_only(method, "label"):  # every block may have one
        schema["properties"].pop("label", None)
    (name,) = _values(schema["properties"].pop("name"))
    where = method.origin.place if method.origin else "built-in"
    text = " ".join(inspect.cleandoc(method.__doc__ or "").partition("\n\n")[0].split())
    facts = f" ({_facts(method)})" if issubclass(method, DeclaredMetric) else ""
    about = f"{text}{facts}".strip()
    yield f"  {name} [{where}]: {about}" if about else f"  {name} [{where}]"
    required = schema.get("required", ())
    for option, field in schema["properties"].items():
        default = "required" if option in required else f"default {json.dumps(field['default'])}"
        about = f": {' '.join(field['description'].split())}" if "description" in field else ""
        yield f"      {option} ({_type(field, schema.get('$defs', {}))}, {default}){about}"


def _facts(method: type[DeclaredMetric]) -> str:
    """Describe the values of a metric of a plugin: "on samples; lower is better; unit m"."""
    better = method.hooks["better"]
    if isinstance(better, Mapping):
        directions = [f"{key}: {direction} is better" for key, direction in better.items()]
    else:
        directions = [f"{better} is better"] if better else ["does not rank settings"]
    unit = method.hooks["unit"]
    return "; ".join(
        [
            f"on {method.hooks['on']}",
            *directions,
            *([f"unit {unit}"] if unit not in ("", "1") else []),
            *(["needs images"] if method.needs_images else []),
        ]
    )


def _values(field: Mapping[str, Any]) -> list[Any]:
    return [field["const"]] if "const" in field else list(field.get("enum", ()))


def _type(field: Mapping[str, Any], parts: Mapping[str, Any]) -> str:
    """Describe the values of an option: "number > 0", or the values themselves."""
    if "$ref" in field:
        field = parts[field["$ref"].rpartition("/")[2]]
    if "anyOf" in field:
        return " or ".join(_type(kind, parts) for kind in field["anyOf"])
    if values := _values(field):
        return ", ".join(map(json.dumps, values))
    name = str(field.get("type", "any value"))
    if name == "array":
        return f"list of {_type(field.get('items', {}), parts)}"
    limits = [f"{sign} {field[key]}" for key, sign in LIMITS.items() if key in field]
    return " ".join([name, " and ".join(limits)]).strip()
