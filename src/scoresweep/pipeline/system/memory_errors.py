"""Explain errors and killed processes that ran out of memory."""

from __future__ import annotations

import contextlib
import signal
import traceback
from collections.abc import Callable, Iterator

from scoresweep.pipeline.errors import RunError

__all__ = ["MEMORY_REMEDIES", "describe_exit", "explain_out_of_memory"]

MEMORY_REMEDIES = {
    "train": "raise train.gradient_accumulation (trains the same network) or give the job more "
    "memory: --set-resources train:mem_mb=MB (by hand: --memory)",
    "sample": "lower sample.chunk (draws different samples), use fewer processes, or give the job "
    "more memory: --set-resources sweep:mem_mb=MB",
    "report": "give the job more memory: --set-resources report:mem_mb=MB",
}
"""What to try if a rule runs out of memory."""


def describe_exit(rule: str, exit_code: int | None = -signal.SIGKILL) -> str:
    """Return how a process of `rule` that raised no error has ended, and what to try.

    The kernel sends SIGKILL to a process if the machine or its control group is out of memory.
    """
    if exit_code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return f"A process was killed, probably out of memory: {MEMORY_REMEDIES[rule]}."
    return f"A process ended with exit code {exit_code}."


@contextlib.contextmanager
def explain_out_of_memory(advice: Callable[[], str]) -> Iterator[None]:
    """Turn an out-of-memory error of the body into a `RunError` with `advice()`.

    The body's tensors are freed before `advice` is called, since it may try smaller sizes.
    """
    from scoresweep.out_of_memory import is_out_of_memory  # imports torch

    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        traceback.clear_frames(error.__traceback__)
        raise RunError(f"{advice()} The error was: {reason}") from None
