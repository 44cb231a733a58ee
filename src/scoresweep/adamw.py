"""AdamW for programs that do not compile their optimizer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer

__all__ = ["AdamW"]

_plain_step: Callable[..., Any] = inspect.unwrap(torch.optim.AdamW.step)


class AdamW(torch.optim.AdamW):
    """`torch.optim.AdamW` that does not import PyTorch's compiler.

    The original imports it to wrap these methods, which takes nearly as long as importing PyTorch.
    The wrappers matter only if the optimizer itself is compiled.
    """

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Take a step; see `torch.optim.AdamW.step`."""
        return _plain_step(self, closure)
