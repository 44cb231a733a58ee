"""The objective of a run, ready to be called."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from torch import Tensor

from scoresweep.out_of_memory import is_out_of_memory
from scoresweep.pipeline.errors import RunError, ScoresweepError
from scoresweep.pipeline.study.methods.objectives import Objective
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredObjective
from scoresweep.pipeline.study.plugins.plugin_files import describe_failure

__all__ = ["load_objective"]


def load_objective(component: Objective) -> Callable[..., Tensor]:
    """Import the function of an objective and return it with its options.

    That of a plugin raises `RunError` if it fails, or does not return a loss for each sample.
    """
    function: Callable[..., Tensor] = functools.partial(component.load(), **component.arguments())
    if isinstance(component, DeclaredObjective):
        return functools.partial(_checked, component, function)
    return function


def _checked(
    component: DeclaredObjective, function: Callable[..., Tensor], *given: Any, **named: Any
) -> Tensor:
    origin = component.origin
    assert origin is not None
    try:
        losses = function(*given, **named)
    except ScoresweepError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise RunError(describe_failure(error, origin)) from None
    count = len(given[1])
    if not isinstance(losses, Tensor) or losses.shape != (count,):
        found = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
        raise RunError(
            f"{origin}: returned {found}; expected a tensor with one loss for each of the {count} "
            f"samples, ({count},)"
        )
    return losses
