"""Names of the Python objects in a pickle, read without executing it."""

from __future__ import annotations

import pickletools
from collections.abc import Iterator
from typing import IO, Any

__all__ = ["pickled_globals"]

MAX_BYTES = 1 << 20
"""Bytes of a pickle that are searched; the names come early."""


def pickled_globals(file: IO[bytes], pickles: int = 1) -> list[str]:
    """Return the "module.name" of every object that the last of `pickles` pickles imports.

    Nothing is imported or executed. A truncated pickle gives the names before its end.
    """
    names: list[str] = []
    for _ in range(pickles):
        names, end = [], file.tell() + MAX_BYTES
        try:
            for name in _iter_globals(file):
                names.append(name)
                if file.tell() > end:
                    break
        except (ValueError, OverflowError, MemoryError):
            break
    return list(dict.fromkeys(names))


def _iter_globals(file: IO[bytes]) -> Iterator[str]:
    """Yield the names of objects in one pickle, resolving strings through its memo."""
    memo: dict[Any, str] = {}
    strings = ["", ""]
    last = ""
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL":
            yield str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(strings)
        elif opcode.name == "MEMOIZE":
            memo[len(memo)] = last
        elif opcode.name.endswith("PUT"):
            memo[argument] = last
        else:
            last = argument if isinstance(argument, str) else ""
            if opcode.name.endswith("GET"):
                last = memo.get(argument, "")
            strings = [strings[1], last] if last else strings
