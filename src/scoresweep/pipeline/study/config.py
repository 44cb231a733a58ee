"""What every part of a study file has in common."""

from __future__ import annotations

import hashlib
import importlib
import json
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

__all__ = [
    "NO_EFFECT",
    "Config",
    "MethodConfig",
    "content_hash",
    "hashed_fields",
    "is_runtime_only",
]

NO_EFFECT: JsonDict = {"affects_result": False}
"""Marks a field (`json_schema_extra`) that changes how a result is made, never the result."""


class Config(BaseModel):
    """A block of the study file: unknown keys and wrong types are refused, values do not change."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        validate_default=True,
    )


class MethodConfig(Config):
    """A part chosen by `name`: the typed options of one class or function, and where it lives.

    `target` is "module:attribute". It is imported by `load` alone, so that a study can be read
    without importing torch. The fields other than `name` are the target's keyword arguments.
    """

    target: ClassVar[str]

    def load(self) -> Any:
        """Import and return the class or function that these options are for."""
        module, attribute = self.target.split(":")
        return getattr(importlib.import_module(module), attribute)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for the target."""
        return {key: getattr(self, key) for key in type(self).model_fields if key != "name"}


def is_runtime_only(kind: type[Config], key: str) -> bool:
    """Tell whether a field of `kind` changes how a result is made, never the result."""
    extra = kind.model_fields[key].json_schema_extra if key in kind.model_fields else None
    return isinstance(extra, dict) and extra.get("affects_result") is False


def hashed_fields(config: Config, *, defaults: bool = True) -> dict[str, Any]:
    """Return the fields of `config` that affect a result, nested blocks included.

    Without `defaults`, those that have their default value are left out.
    """
    kept: dict[str, Any] = {}
    for key, field in type(config).model_fields.items():
        if is_runtime_only(type(config), key):
            continue
        value = getattr(config, key)
        if defaults or value != field.get_default(call_default_factory=True):
            nested = isinstance(value, Config)
            kept[key] = hashed_fields(value, defaults=defaults) if nested else value
    return kept


def content_hash(*parts: Any) -> str:
    """Return eight hexadecimal digits that stand for `parts`; equal contents give equal digits.

    Options at their default value do not count: a later version may add options without giving
    every finished result another name. So a default must never change (a test holds them).
    """

    def jsonable(value: Any) -> Any:
        return hashed_fields(value, defaults=False) if isinstance(value, Config) else str(value)

    text = json.dumps(parts, sort_keys=True, default=jsonable, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]
