"""The wish to stop: signals are noted when they come and granted when a step is done."""

from __future__ import annotations

import signal
from types import FrameType

__all__ = ["record_signals"]

SIGNALS = (signal.SIGTERM, signal.SIGUSR2)
"""End; end and be started again (what schedulers send before a time limit or a preemption)."""


def record_signals() -> set[int]:
    """Have `SIGNALS` noted instead of obeyed; return the set in which they are noted.

    Those that a launcher has blocked until now are let through.
    """
    noted: set[int] = set()

    def note(number: int, _frame: FrameType | None) -> None:
        noted.add(number)

    for number in SIGNALS:
        signal.signal(number, note)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    return noted
