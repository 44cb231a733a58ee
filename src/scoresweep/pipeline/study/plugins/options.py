"""Options of a plugin's method: the arguments of its function or class as pydantic fields."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.origin import Origin

__all__ = ["option_fields", "parameters_of", "summary"]

PLAIN = (bool, int, float, str, type(None), Any, Path)
"""Types of single values that YAML can hold."""

OPTION_TYPES = (bool, int, float, str, "bool", "int", "float", "str")
"""Types of options; no argument that the pipeline passes has one of them."""

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def parameters_of(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a function or class by name, without *args and **kwargs."""
    parameters = inspect.signature(target).parameters
    return {name: p for name, p in parameters.items() if p.kind not in VARIADIC}


def option_fields(
    origin: Origin, given: frozenset[str], positional: int, taken: frozenset[str]
) -> dict[str, tuple[Any, FieldInfo]]:
    """Return the type and the field of every option, by name.

    Args:
        origin: the method.
        given: names of arguments that the pipeline passes.
        positional: number of leading arguments that the pipeline passes by position.
        taken: names that no option may have.

    Raises:
        InputError: if an option has no type, one that YAML cannot hold, or a default that does not
            fit its type.
    """
    target = origin.declaration.target
    texts = _argument_texts(target)
    fields = {}
    for name, parameter in list(parameters_of(target).items())[positional:]:
        where = f"{origin}: option {name!r}"
        if name in given:
            if parameter.annotation in OPTION_TYPES:
                raise InputError(
                    f"{where}: is an argument that scoresweep passes itself "
                    f"({', '.join(sorted(given))}); expected an option of another name"
                )
            continue
        if name in taken:
            raise InputError(
                f"{where}: cannot be an option, since scoresweep uses this name itself; expected "
                f"an argument of another name"
            )
        if name.startswith("_") or parameter.kind is parameter.POSITIONAL_ONLY:
            raise InputError(
                f"{where}: cannot be an option; expected an argument that is passed by name, "
                f"without '_' at its start"
            )
        annotation = _annotation(target, parameter, where)
        _check_field(annotation, where)
        default = ... if parameter.default is parameter.empty else parameter.default
        if isinstance(default, FieldInfo):
            raise InputError(f"{where}: {_misplaced_field(parameter)}")
        if default is not ...:
            _check_default(annotation, default, where)
        has_text = name in texts  # otherwise that of `Annotated[..., Field(description=...)]` stays
        field = Field(default, description=texts[name]) if has_text else Field(default)
        fields[name] = (annotation, field)
    return fields


def _annotation(target: Callable[..., Any], parameter: inspect.Parameter, where: str) -> Any:
    """Return the type of an option, with `tuple` also taking lists."""
    name = parameter.name
    if parameter.annotation is parameter.empty:
        raise InputError(
            f"{where}: has no type; expected one that a study file can hold, as in "
            f"`{name}: float = 1.0`"
        )
    function = target.__init__ if inspect.isclass(target) else target
    scope = getattr(inspect.unwrap(function), "__globals__", {})
    holder = types.SimpleNamespace(__annotations__={name: parameter.annotation})
    try:
        found = typing.get_type_hints(holder, globalns=scope, include_extras=True)[name]
    except Exception as error:  # noqa: BLE001 - evaluates an expression of the user
        raise InputError(f"{where}: {parameter.annotation}: {error}") from None
    return _yaml_type(found, where)


def _yaml_type(annotation: Any, where: str) -> Any:
    """Return a type that YAML can hold; raise `InputError` for others."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in PLAIN or origin is typing.Literal:
        return annotation
    if origin is Annotated:
        return Annotated[(_yaml_type(arguments[0], where), *arguments[1:])]
    if origin in (typing.Union, types.UnionType):
        return typing.Union[tuple(_yaml_type(a, where) for a in arguments)]  # noqa: UP007
    inner = tuple(a if a is ... else _yaml_type(a, where) for a in arguments)
    if origin is list or annotation is list:
        return types.GenericAlias(list, inner or (Any,))
    if origin is tuple or annotation is tuple:
        return Annotated[types.GenericAlias(tuple, inner or (Any, ...)), Field(strict=False)]
    if (origin is dict or annotation is dict) and (not arguments or arguments[0] is str):
        return types.GenericAlias(dict, inner or (str, Any))
    shown = getattr(annotation, "__name__", annotation)
    raise InputError(
        f"{where}: {shown}: a study file cannot hold such a value; expected bool, int, float, str, "
        f"a Literal, or lists, tuples and dictionaries of them"
    )


def _check_field(annotation: Any, where: str) -> None:
    """Raise `InputError` if a Field in the type renames or hides the option, or has its default."""
    fields = [part for part in typing.get_args(annotation) if isinstance(part, FieldInfo)]
    for field in fields if typing.get_origin(annotation) is Annotated else ():
        if field.alias or field.validation_alias or field.serialization_alias or field.exclude:
            raise InputError(
                f"{where}: has a Field with an alias or `exclude`; expected neither, because an "
                f"option has the name of its argument, and counts for ids"
            )
        if not field.is_required():
            raise InputError(
                f"{where}: has its default in a Field; expected it after the type, as in "
                f"`name: Annotated[float, Field(gt=0)] = 1.0`"
            )


def _misplaced_field(parameter: inspect.Parameter) -> str:
    """Return what is wrong with `name: float = Field(1.0, gt=0)`."""
    kind, field = parameter.annotation, parameter.default
    shown = kind if isinstance(kind, str) else inspect.formatannotation(kind)
    default = "" if field.is_required() else f" = {field.default!r}"
    return (
        f"has a Field as its default value, which the function itself would receive; expected it "
        f"in the type, as in `{parameter.name}: Annotated[{shown}, Field(...)]{default}`, with "
        f"the bounds inside Field(...), such as gt=0"
    )


def _check_default(annotation: Any, default: Any, where: str) -> None:
    try:
        adapter = TypeAdapter(annotation, config=ConfigDict(strict=True, allow_inf_nan=False))
        adapter.validate_python(default)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise InputError(
            f"{where}: the default {default!r} does not fit its type: {reason}"
        ) from None


def summary(target: Callable[..., Any]) -> str:
    """Return the first paragraph of the docstring of a function or class, on one line."""
    text = inspect.cleandoc(target.__doc__ or "").split("\n\n")[0]
    return " ".join(text.split())


def _argument_texts(target: Callable[..., Any]) -> dict[str, str]:
    """Return what the section "Args:" of the docstring says about each argument."""
    docs = [target.__doc__, target.__init__.__doc__ if inspect.isclass(target) else None]
    texts: dict[str, str] = {}
    for doc in filter(None, docs):
        _, found, section = inspect.cleandoc(doc).partition("Args:\n")
        body = re.split(r"\n(?=\S)", section)[0] if found else ""
        indent = re.match(r" *", body)
        entries = re.split(rf"^{indent[0] if indent else ''}(?=\S)", body, flags=re.MULTILINE)
        for entry in entries:
            if match := re.match(r"(\w+)\s*(?:\([^)]*\))?:\s*(.*)", entry, re.DOTALL):
                texts[match[1]] = " ".join(match[2].split())
    return texts
