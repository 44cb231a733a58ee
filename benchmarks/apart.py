"""Variants in processes of their own: none inherits memory, caches or settings from another."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import torch
from harness import Run

from scoresweep.pipeline.system.process import retain_freed_memory

__all__ = ["Apart"]


class Apart:
    """Does in a process of its own, each time it is called, the work that `make` makes there.

    Args:
        make: a function of a module, which returns the work.
        arguments: what it is given; they must be picklable.
        keep_memory: keep memory that is freed, as the processes of `scoresweep` do.
    """

    def __init__(
        self, make: Callable[..., Run], *arguments: Any, keep_memory: bool = False
    ) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        work = (theirs, torch.get_num_threads(), keep_memory, make, arguments)
        self.process = context.Process(target=_serve, args=work, daemon=True)
        self.process.start()
        theirs.close()
        self.name = make.__name__

    def __call__(self) -> None:
        """Let the process do the work once; raise `SystemExit` where it fails."""
        try:
            self.connection.send("go")
            self.connection.recv()
        except (EOFError, OSError):
            raise SystemExit(f"{self.name}: its process has failed") from None


def _serve(
    connection: Connection,
    threads: int,
    keep_memory: bool,
    make: Callable[..., Run],
    arguments: tuple[Any, ...],
) -> None:
    torch.set_num_threads(threads)
    if keep_memory:
        retain_freed_memory()
    torch.manual_seed(0)
    work = make(*arguments)
    with contextlib.suppress(EOFError):  # when nobody asks any more
        while connection.recv():
            work()
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()
            connection.send("done")
