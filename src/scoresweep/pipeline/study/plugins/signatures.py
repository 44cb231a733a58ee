"""Check that the functions and classes of plugins take what scoresweep passes to them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.origin import Origin

__all__ = ["check_forward", "check_positional"]

POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def check_positional(origin: Origin, expected: Sequence[str]) -> None:
    """Raise `InputError` if a function does not take the arguments `expected` by position.

    They may have other names, but not each other's.
    """
    target = origin.declaration.target
    if not expected:
        return
    if inspect.isclass(target):
        raise InputError(f"{origin}: is a class; expected a function")
    parameters = list(_signature(target, origin).parameters.values())
    first, names = parameters[: len(expected)], [p.name for p in parameters]
    fits = len(first) == len(expected) and all(p.kind in POSITIONAL for p in first)
    further = (p.kind for p in parameters[len(expected) :])
    fits = fits and not {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.VAR_POSITIONAL} & {
        *further
    }
    in_order = all(name not in names or names.index(name) == i for i, name in enumerate(expected))
    if not fits or not in_order:
        raise InputError(
            f"{origin}: has the arguments {_signature(target, origin)}; expected "
            f"({', '.join(expected)}, *, ...): these by position and in this order, then options "
            f"by name"
        )


def check_forward(origin: Origin, *arguments: str) -> None:
    """Raise `InputError` if the class of a module has no method `forward(self, *arguments)`.

    What a function returns is known only when it is called.
    """
    target = origin.declaration.target
    if not inspect.isclass(target):
        return
    forward, expected = getattr(target, "forward", None), f"forward(self, {', '.join(arguments)})"
    if not callable(forward) or forward.__name__ == "_forward_unimplemented":
        raise InputError(f"{origin}: has no method {expected}; expected a torch.nn.Module with it")
    signature = _signature(forward, origin)
    try:
        signature.bind(None, *arguments)
    except TypeError:
        raise InputError(
            f"{origin}: has the method forward{signature}; expected {expected}, which is called "
            f"with its arguments by position"
        ) from None


def _signature(function: Callable[..., Any], origin: Origin) -> inspect.Signature:
    """Return the arguments of a function without their types."""
    try:
        found = inspect.signature(function)
    except (ValueError, TypeError) as error:
        raise InputError(f"{origin}: its arguments are not known: {error}") from None
    plain = [p.replace(annotation=p.empty) for p in found.parameters.values()]
    return found.replace(parameters=plain, return_annotation=found.empty)
