"""Turn pydantic's validation errors into lines "file: dotted.path: value: what was expected"."""

from __future__ import annotations

import json
import re
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from scoresweep.pipeline.errors import did_you_mean
from scoresweep.pipeline.study.config import description_of

__all__ = ["describe_errors", "field_names", "shorten"]

EXPECTED = {
    "bool_type": "true or false",
    "dict_type": "a mapping {key: value}",
    "finite_number": "a finite number",
    "float_type": "a number",
    "int_from_float": "an integer",
    "int_type": "an integer",
    "list_type": "a list",
    "model_attributes_type": "a mapping {key: value}",
    "model_type": "a mapping {key: value}",
    "string_pattern_mismatch": "letters, digits, '.', '_' and '-', starting with a letter or digit",
    "string_type": "a string",
    "tuple_type": "a list",
}
"""What was expected, by pydantic's type of error."""


def describe_errors(
    error: ValidationError, content: Any, where: str, model: type[BaseModel]
) -> str:
    """Return one line for each wrong value of `content`, which `model` refused.

    Args:
        error: what pydantic raised.
        content: the values that were validated.
        where: what the lines begin with: the file, or the file and a block.
        model: the type of `content`.
    """
    lines: dict[str, list[str]] = {}
    for detail in error.errors(include_url=False):
        path, value, found = _locate(detail, content)
        key = f"{where}: {path}" if path else where
        if found:
            key += f": {shorten(value)}"
        lines.setdefault(key, []).append(_describe(detail, model, _is_swept(content, path)))
    return "\n".join(f"{key}: {_join(expected)}" for key, expected in lines.items())


def _join(expected: list[str]) -> str:
    """Join alternatives: "expected a valid integer or 'auto'"."""
    first, *others = dict.fromkeys(expected)
    return " or ".join([first, *(other.removeprefix("expected ") for other in others)])


def _locate(detail: ErrorDetails, content: Any) -> tuple[str, Any, bool]:
    """Return the dotted path in the file, the value there and whether there is one.

    Pydantic's location also names the branches of unions, which are not in the file.
    """
    path = ""
    value = content
    for part in detail["loc"]:
        if isinstance(value, dict) and part in value:
            path, value = f"{path}.{part}" if path else str(part), value[part]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            path, value = f"{path}[{part}]", value[part]
        elif detail["type"] == "missing" and part == detail["loc"][-1]:
            return f"{path}.{part}" if path else str(part), None, False
    if detail["type"].startswith("union_tag"):
        has_name = isinstance(value, dict) and "name" in value
        return f"{path}.name", value["name"] if has_name else None, has_name
    return path, value, not isinstance(value, dict)


def _describe(detail: ErrorDetails, model: type[BaseModel], is_swept: bool) -> str:
    """Return what is wrong with one value, which may be swept too, and what was expected."""
    *parents, last = detail["loc"] or ("",)
    match detail["type"]:
        case "extra_forbidden":
            names = field_names(model, parents)
            hint = did_you_mean(str(last), names)
            return f"is not a known key.{hint} Expected one of {', '.join(names)}."
        case "missing":
            kinds = [kind for kind in _models(model, parents) if last in kind.model_fields]
            text = (description_of(kinds[-1], str(last)) if kinds else None) or ""
            meaning = re.split("[;.]", " ".join(text.split()))[0]
            swept = ", even if it is swept: write one of its values here"
            return (
                "is missing; this key is required"
                + (f" ({meaning})" if meaning else "")
                + (swept if is_swept else "")
            )
        case "union_tag_invalid":
            tags = [tag.strip().strip("'") for tag in detail["ctx"]["expected_tags"].split(",")]
            hint = did_you_mean(str(detail["ctx"]["tag"]), tags)
            return f"expected one of {', '.join(tags)}.{hint}"
        case "union_tag_not_found":
            return "is missing; expected the name of the method"
        case "value_error":
            return f"expected {detail['ctx']['error']}"
        case "too_short":
            return "expected at least one value" if not detail["input"] else detail["msg"]
        case "literal_error":
            return f"expected {detail['ctx']['expected']}"
    if detail["type"] in EXPECTED:
        names = field_names(model, parents)
        hint = "" if last in names else did_you_mean(str(last).lower(), names)
        return f"expected {EXPECTED[detail['type']]}" + (hint and f".{hint}")
    message = detail["msg"].replace("Input should be a valid ", "expected a valid ")
    return message.replace("Input should be ", "expected a value ")


def _is_swept(content: Any, path: str) -> bool:
    """Return whether a block of the study `content` sweeps the dotted `path`."""
    block, _, key = path.partition(".")
    swept = content.get(block) if isinstance(content, dict) else None
    if not isinstance(swept, dict):
        return False
    groups = swept.get("zip")
    lists = [swept.get("grid"), *(groups if isinstance(groups, list) else [])]
    return any(isinstance(each, dict) and key in each for each in lists)


def field_names(model: type[BaseModel], location: Sequence[int | str]) -> list[str]:
    """Return the keys allowed at `location`, following union branches by their tag."""
    return list(dict.fromkeys(n for each in _models(model, location) for n in each.model_fields))


def _models(model: type[BaseModel], location: Sequence[int | str]) -> list[type[BaseModel]]:
    """Return the classes whose fields are allowed at `location`."""
    annotation: Any = model
    for part in location:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            field = annotation.model_fields.get(str(part))
            annotation = field.annotation if field else annotation
            continue
        for member in _members(annotation):
            if getattr(member, "model_fields", {}).get("name") is not None and part in (
                typing.get_args(member.model_fields["name"].annotation)
            ):
                annotation = member
    return [m for m in _members(annotation) if isinstance(m, type) and issubclass(m, BaseModel)]


def _members(annotation: Any) -> list[Any]:
    """Return the classes inside a union, a list or an annotated type."""
    arguments = typing.get_args(annotation)
    return [m for a in arguments for m in _members(a)] if arguments else [annotation]


def shorten(value: Any) -> str:
    """Return a value as a study file writes it, on at most 60 characters."""
    text = repr(value)
    if value is None or isinstance(value, bool | dict | list):
        text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
