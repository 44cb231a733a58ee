"""Read a study file and say clearly what is wrong with it."""

from __future__ import annotations

import re
import typing
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from scoresweep.pipeline.errors import InputError, did_you_mean
from scoresweep.pipeline.study.schema import Study

__all__ = ["describe_errors", "field_names", "load_study", "parse_study", "parse_yaml", "read_yaml"]


class _Loader(yaml.SafeLoader):
    """YAML 1.2's booleans and numbers: `no` is a word, `2e-5` a number; no key stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        written = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        keys = [self.construct_object(key, deep=True) for key in written]
        for key_node, key in zip(written, keys, strict=True):
            if keys.count(key) > 1:
                line = key_node.start_mark.line + 1
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key!r} stands twice (line {line})"
                )
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":float"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


def read_yaml(path: Path) -> Any:
    """Read a YAML file; raise `InputError` where it cannot be read or is not YAML."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not a text file; expected a study in YAML") from None
    return parse_yaml(text, path)


def parse_yaml(text: str, path: Path | str) -> Any:
    """Return the plain values that `text` describes; `path` is what error messages call it."""
    try:
        return yaml.load(text, Loader=_Loader)  # a SafeLoader: builds plain values alone
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"{path}{where}: is not valid YAML: {problem}") from None


def load_study(path: Path) -> Study:
    """Read and check the study file at `path`; raise `InputError` naming every mistake in it."""
    return parse_study(read_yaml(path), path)


def parse_study(content: Any, path: Path | str) -> Study:
    """Check the content of a study file; `path` is what error messages call it."""
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"a {type(content).__name__}"
        raise InputError(
            f"{path}: holds {found}; expected the keys study, dataset, train, sample and evaluate"
        )
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        raise InputError(describe_errors(error, content, str(path), Study)) from None


def describe_errors(
    error: ValidationError, content: Any, where: str, model: type[BaseModel]
) -> str:
    """Turn pydantic's errors into lines "file: dotted.path: value: what was expected"."""
    lines: dict[str, list[str]] = {}
    for detail in error.errors(include_url=False):
        path, value, found = _locate(detail, content)
        key = f"{where}: {path}" if path else where
        if found:
            key += f": {_short(value)}"
        lines.setdefault(key, []).append(_expected(detail, model))
    return "\n".join(f"{key}: {_either(wanted)}" for key, wanted in lines.items())


def _either(wanted: list[str]) -> str:
    """Join what would have been right: "expected a valid integer or 'auto'"."""
    first, *others = dict.fromkeys(wanted)
    return " or ".join([first, *(other.removeprefix("expected ") for other in others)])


def _locate(detail: ErrorDetails, content: Any) -> tuple[str, Any, bool]:
    """Return the dotted path as the person wrote it, the value there and whether there is one.

    Pydantic's location also names the branches of unions; those are not in the file.
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
        named = isinstance(value, dict) and "name" in value
        return f"{path}.name", value["name"] if named else None, named
    return path, value, not isinstance(value, dict)


def _expected(detail: ErrorDetails, model: type[BaseModel]) -> str:
    """Say what was expected."""
    match detail["type"]:
        case "extra_forbidden":
            *parents, key = detail["loc"]
            names = field_names(model, parents)
            return f"is not a known key.{did_you_mean(str(key), names)} Known: {', '.join(names)}."
        case "missing":
            return "is missing"
        case "union_tag_invalid":
            tags = [tag.strip().strip("'") for tag in detail["ctx"]["expected_tags"].split(",")]
            hint = did_you_mean(str(detail["ctx"]["tag"]), tags)
            return f"expected one of {', '.join(tags)}.{hint}"
        case "union_tag_not_found":
            return "is missing: it says which one is meant"
        case "value_error":
            return f"expected {detail['ctx']['error']}"
        case "string_pattern_mismatch":
            return "expected letters, digits, '.', '_' and '-', beginning with a letter or a digit"
        case "too_short":
            return "expected at least one value" if not detail["input"] else detail["msg"]
        case "literal_error":
            return f"expected {detail['ctx']['expected']}"
    message = detail["msg"]
    for before, after in (
        ("Input should be a valid ", "expected a valid "),
        ("Input should be ", "expected a value "),
        ("Input should ", "expected to "),
    ):
        message = message.replace(before, after)
    return message


def field_names(model: type[BaseModel], location: list[int | str]) -> list[str]:
    """Return the names that may stand at `location`, following union branches by their tag."""
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
    members = [m for m in _members(annotation) if isinstance(m, type) and issubclass(m, BaseModel)]
    return [name for member in members for name in member.model_fields]


def _members(annotation: Any) -> list[Any]:
    """Return the classes inside a union, a list or an annotated type."""
    arguments = typing.get_args(annotation)
    return [m for a in arguments for m in _members(a)] if arguments else [annotation]


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
