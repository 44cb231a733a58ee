"""Base classes of the blocks of a study file, and the hash of their content."""

from __future__ import annotations

import hashlib
import importlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    model_validator,
)
from pydantic.config import JsonDict
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from scoresweep.pipeline.study.field_docstrings import field_docstrings
from scoresweep.pipeline.study.origin import Origin

__all__ = [
    "NO_EFFECT",
    "Config",
    "Labelled",
    "MethodConfig",
    "content_hash",
    "description_of",
    "hashed_fields",
    "is_runtime_only",
    "label_of",
]

NO_EFFECT: JsonDict = {"affects_result": False}
"""`json_schema_extra` of a field that does not affect results."""


class Config(BaseModel):
    """A block of the study file: immutable, without unknown keys or type conversions."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the JSON schema, in which the text below a field is its description."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name in properties.keys() & cls.model_fields.keys():
            if text := description_of(cls, name):
                properties[name]["description"] = text
        return schema


def _one_line(text: str) -> str:
    if text != " ".join(text.split()) or not 0 < len(text) <= 60:
        raise ValueError(
            "1 to 60 characters on one line, without spaces at the ends or double spaces"
        )
    return text


class Labelled(Config):
    """A block that is shown under a label of its own; nothing computed depends on it."""

    label: Annotated[str, AfterValidator(_one_line)] | None = Field(
        None, exclude=True, repr=False, json_schema_extra=NO_EFFECT
    )
    """Name of this block on the page, in tables and figures; null: its `name` and options."""


class MethodConfig(Config):
    """A method selected by `name`: the typed options of one class or function.

    `target` is its "module:attribute". Only `load` imports it, so that a study can be read without
    importing torch. The fields other than `name` are the target's keyword arguments.
    """

    target: ClassVar[str]
    origin: ClassVar[Origin | None] = None
    """Where a decorator of `scoresweep.plugins` declares it; None: in this package, by a class."""
    plugin: ClassVar[str] = ""
    """What stands for the content of a plugin in ids: its SHA-256, or the version that it states;
    "" for methods of this package."""
    used_only_with: ClassVar[Mapping[str, tuple[str, Any]]] = {}
    """Options that have an effect only if another one has a value, by name: (OTHER, VALUE)."""

    @property
    def unused(self) -> list[str]:
        """Names of the options that have no effect."""
        conditions = self.used_only_with.items()
        return [key for key, (other, value) in conditions if getattr(self, other) != value]

    @model_validator(mode="after")
    def _uses_its_options(self) -> Self:
        for key in self.unused:
            other, value = self.used_only_with[key]
            if (found := getattr(self, key)) != type(self).model_fields[key].default:
                raise ValueError(
                    f"no {key} with {other}: {getattr(self, other)}, which does not use it, or "
                    f"{other}: {value}; found {key} {found:g}"
                )
        return self

    def load(self) -> Any:
        """Import and return the target."""
        module, attribute = self.target.split(":")
        return getattr(importlib.import_module(module), attribute)

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for the target."""
        kind = type(self)
        options = (key for key in kind.model_fields if not is_runtime_only(kind, key))
        return {key: getattr(self, key) for key in options if key != "name"}


def description_of(kind: type[BaseModel], key: str) -> str | None:
    """Return the description of a field of `kind`, or else the text below it; None without."""
    return kind.model_fields[key].description or field_docstrings(kind).get(key)


def is_runtime_only(kind: type[Config], key: str) -> bool:
    """Return whether a field of `kind` does not affect results."""
    extra = kind.model_fields[key].json_schema_extra if key in kind.model_fields else None
    return isinstance(extra, dict) and extra.get("affects_result") is False


def label_of(block: Any) -> str | None:
    """Return the label of a block; None without one, or if its method has an option `label`."""
    if isinstance(block, Labelled) and is_runtime_only(type(block), "label"):
        return block.label
    return None


def hashed_fields(config: Config, *, defaults: bool = True) -> dict[str, Any]:
    """Return the fields of `config` that affect results, including those of nested blocks.

    A method of a plugin also has the key `plugin`, what stands for the content of the plugin.
    Without `defaults`, fields at their default value are omitted.
    """
    fields: dict[str, Any] = {}
    for key, field in type(config).model_fields.items():
        if is_runtime_only(type(config), key):
            continue
        value = getattr(config, key)
        if defaults or value != field.get_default(call_default_factory=True):
            nested = isinstance(value, Config)
            fields[key] = hashed_fields(value, defaults=defaults) if nested else value
    if isinstance(config, MethodConfig) and config.plugin:
        fields["plugin"] = config.plugin
    return fields


def content_hash(*parts: Any) -> str:
    """Return a hash of `parts`: eight hexadecimal digits.

    Options at their default value are omitted, so that a later version can add options without
    changing the ids of finished results. Never change a default (tested).
    """

    def jsonable(value: Any) -> Any:
        return hashed_fields(value, defaults=False) if isinstance(value, Config) else str(value)

    text = json.dumps(parts, sort_keys=True, default=jsonable, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]
