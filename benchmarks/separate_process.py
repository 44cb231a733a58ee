"""Variants in separate processes, sharing no memory, caches or settings."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import torch
from harness import Run

from scoresweep.pipeline.system.process import retain_freed_memory

__all__ = ["SeparateProcess"]


class SeparateProcess:
    """Runs the work that `make` returns in its own process, once per call.

    Args:
        make: a module-level function that returns the work.
        arguments: arguments of `make`; they must be picklable.
        keep_memory: retain freed memory, as the processes of `scoresweep` do.
    """

    def __init__(
        self, make: Callable[..., Run], *arguments: Any, keep_memory: bool = False
    ) -> None:
        context = get_context("spawn")
        self.connection, child = context.Pipe()
        work = (child, torch.get_num_threads(), keep_memory, make, arguments)
        self.process = context.Process(target=_serve, args=work, daemon=True)
        self.process.start()
        child.close()
        self.name = make.__name__

    def __call__(self) -> None:
        """Do the work once; raise `SystemExit` if the process fails."""
        try:
            self.connection.send("go")
            self.connection.recv()
        except (EOFError, OSError):
            raise SystemExit(f"{self.name}: its process failed") from None


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
    with contextlib.suppress(EOFError):  # the parent has ended
        while connection.recv():
            work()
            if torch.cuda.is_initialized():
                torch.cuda.synchronize()
            connection.send("done")
