"""PyYAML's safe loader with the scalars of YAML 1.2, and without repeated keys."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

__all__ = ["Loader"]


class Loader(yaml.SafeLoader):
    """Load plain values only: `no` is a string, `2e-5` a number, a repeated key an error.

    Dates are strings, as are `010` and `1:30`: YAML 1.1 reads these as 8 and 90.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a dictionary; raise `ConstructorError` if a key is repeated."""
        keys: list[Any] = []
        for key_node, _ in node.value:
            if key_node.tag != "tag:yaml.org,2002:merge":
                keys.append(self.construct_object(key_node, deep=True))
                if keys[-1] in keys[:-1]:
                    raise yaml.constructor.ConstructorError(
                        problem=f"the key {keys[-1]!r} is repeated; expected each key once",
                        problem_mark=key_node.start_mark,
                    )
        return super().construct_mapping(node, deep)


REPLACED = (":bool", ":float", ":int", ":timestamp")

Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(REPLACED)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)$"),
    list("-+0123456789"),
)
Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)
