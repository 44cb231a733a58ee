"""Compile a network with `torch.compile`, if that works."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from scoresweep.out_of_memory import is_out_of_memory
from scoresweep.pipeline.system.console import say

__all__ = ["compile_network"]


def compile_network(network: nn.Module, attempt: Callable[[], object]) -> bool:
    """Compile the forward pass of `network` in place, or fall back with a message.

    `attempt` runs the network once with the shapes of later calls, because compilation starts at
    the first call and errors appear only then (no second derivative, no C++ compiler). Returns
    whether the network is compiled. Out-of-memory errors are raised.
    """
    network.forward = torch.compile(network.forward, dynamic=False)
    try:
        attempt()
    except Exception as error:  # torch.compile raises many unrelated types
        del network.forward
        if is_out_of_memory(error):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        say(f"compile: true: torch.compile cannot be used here; continuing without it: {reason}")
        return False
    return True
