"""Published values of what a study measures, which its report sets beside its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, TypeAlias

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from scoresweep.pipeline.study.config import Config, content_hash
from scoresweep.pipeline.study.point import value_at

__all__ = ["ABSENT", "BLOCKS", "Published", "agrees", "conditions", "published_hash"]

BLOCKS = ("dataset", "train", "sample", "evaluate")
"""Blocks of a study that `at` may name."""

ABSENT = object()
"""Sentinel: there is no such option."""


Text: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Published(Config):
    """Values from a source, by the name of the measure, such as `fid: 10.87`."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float] = Field(init=False)

    source: Text
    """Where the values are published: text, table, link."""
    protocol: Text | None = None
    """How the source measured them: numbers of generated and real samples, features, choice of the
    training step; null: not stated."""
    at: dict[str, Any] = Field(default_factory=dict)
    """What they are values of: options by dotted path, such as `sample.sampler.denoise: true`;
    default: everything in the study."""

    @model_validator(mode="after")
    def _has_values(self) -> Published:
        if not self.values:
            raise ValueError("the value of at least one measure, such as fid: 10.87")
        return self

    @property
    def values(self) -> dict[str, float]:
        """The values by the name of the measure."""
        return dict(self.__pydantic_extra__ or {})

    def is_of(self, **blocks: Config) -> bool:
        """Return whether the values are of these blocks: they have the options that `at` names."""
        return all(
            agrees(value_at(blocks[block].model_dump(mode="json"), path, ABSENT), value)
            for block, path, value in conditions(self.at)
            if block in blocks
        )


def conditions(at: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    """Return block, path within the block, and value of each entry of `at`."""
    parts = ((*path.partition("."), value) for path, value in at.items())
    return [(block, path, value) for block, _, path, value in parts]


def agrees(found: Any, wanted: Any) -> bool:
    """Return whether an option has a value; a block agrees if it has all options of `wanted`."""
    if isinstance(wanted, dict):
        return isinstance(found, dict) and all(
            agrees(found.get(key, ABSENT), value) for key, value in wanted.items()
        )
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)


def published_hash(published: Iterable[Published]) -> str | None:
    """Return a hash of published values, for the report that shows them; None without any."""
    content = [entry.model_dump(mode="json") for entry in published]
    return content_hash(content) if content else None
