"""The text below each field of a block of the study file.

Pydantic reads these texts as each class is made (`use_attribute_docstrings`), which took a third of
the import of `scoresweep.pipeline.study`, at the start of every command. Only the JSON schema, help
and errors show them, so they are read on demand.
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import sys

from pydantic import BaseModel

__all__ = ["field_docstrings"]


@functools.cache
def field_docstrings(kind: type[BaseModel]) -> dict[str, str]:
    """Return the text below each field of `kind` and of its base classes, by name.

    A field without a text, or whose source file cannot be read, is missing.
    """
    texts: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if issubclass(base, BaseModel) and base is not BaseModel:
            texts |= _of_module(base.__module__).get(base.__name__, {})
    return texts


@functools.cache
def _of_module(name: str) -> dict[str, dict[str, str]]:
    """Return the text below each annotated name, by class of the module `name`."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[name]))
    except (KeyError, OSError, TypeError):
        return {}
    return {node.name: _of_class(node) for node in tree.body if isinstance(node, ast.ClassDef)}


def _of_class(node: ast.ClassDef) -> dict[str, str]:
    texts: dict[str, str] = {}
    for field, below in itertools.pairwise(node.body):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                texts[name] = inspect.cleandoc(text)
    return texts
