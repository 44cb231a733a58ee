"""The objective of a run, ready to be called."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.study.methods.objectives import Objective
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredObjective
from scoresweep.pipeline.study.plugins.plugin_failures import named_failures
from scoresweep.pipeline.system.random_state import random_state
from scoresweep.score import Score

__all__ = ["load_objective"]


def load_objective(component: Objective) -> Callable[..., Tensor]:
    """Import the function of an objective and return it with its options.

    That of a plugin raises `RunError` if it fails, draws random numbers of its own, or does not
    return a loss for each sample, with a gradient if gradients are enabled.
    """
    function: Callable[..., Tensor] = functools.partial(component.load(), **component.arguments())
    if isinstance(component, DeclaredObjective):
        return _Checked(component, function)
    return function


@dataclass
class _Checked:
    """The function of a plugin's objective, with a check of what it returns."""

    component: DeclaredObjective
    function: Callable[..., Tensor]
    is_known: bool = False
    """Whether it has been called before, and drew no random numbers."""

    def __call__(self, score: Score, x: Tensor, *given: Any, **named: Any) -> Tensor:
        origin = self.component.origin
        assert origin is not None
        state = b"" if self.is_known else random_state(x.device)
        with named_failures(origin):
            losses = self.function(score, x, *given, **named)
        if not self.is_known and random_state(x.device) != state:
            raise RunError(
                f"{origin}: draws random numbers, so that a run could not be resumed exactly, nor "
                f"shared by processes; expected no others than its arguments `z` and `v`"
            )
        self.is_known = True
        if not isinstance(losses, Tensor) or losses.shape != (len(x),):
            found = tuple(losses.shape) if isinstance(losses, Tensor) else type(losses).__name__
            raise RunError(
                f"{origin}: returned {found}; expected a tensor with one loss for each of the "
                f"{len(x)} samples, ({len(x)},)"
            )
        if torch.is_grad_enabled() and not losses.requires_grad:
            raise RunError(
                f"{origin}: its losses have no gradient for any parameter of the network; expected "
                f"losses that depend on score(x, sigma), without detach() or torch.no_grad()"
            )
        return losses
