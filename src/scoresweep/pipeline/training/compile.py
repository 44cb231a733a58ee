"""Compiled networks: `torch.compile` where it works, and the plain network where it does not."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from scoresweep.out_of_memory import is_out_of_memory
from scoresweep.pipeline.system.console import say

__all__ = ["compile_network"]


def compile_network(network: nn.Module, attempt: Callable[[], object]) -> bool:
    """Compile the forward pass of `network` in place; tell in one line where that cannot be.

    `attempt` is the work to come, once, with the shapes to come: compiling begins with the first
    call, and what a compiled network lacks (a second derivative, a compiler for C++) shows only
    there. Returns whether the network is compiled. Raises what says that memory is short.
    """
    network.forward = torch.compile(network.forward, dynamic=False)
    try:
        attempt()
    except Exception as error:  # of the compiler's many parts, each of which has its own
        del network.forward
        if is_out_of_memory(error):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        say(f"compile: true: torch.compile cannot be used here; going on without it: {reason}")
        return False
    return True
