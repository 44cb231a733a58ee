"""Requests to save or stop: signals are recorded and acted on between two steps."""

from __future__ import annotations

import signal
import time
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import FrameType

from accelerate import Accelerator

from scoresweep.pipeline.training.all_reduce import all_reduce_sum

__all__ = ["SIGNALS", "RequestPoll", "StopRequests", "record_signals"]

SIGNALS = (signal.SIGTERM, signal.SIGUSR2)
"""Stop; stop and requeue, as schedulers ask before a time limit or a preemption."""

POLL_SECONDS = 5.0
"""Approximate seconds between two polls of several processes."""


@dataclass(frozen=True)
class StopRequests:
    """What all processes agreed to do before the next step."""

    save: bool = False
    stop: bool = False
    requeue: bool = False


def record_signals() -> set[int]:
    """Record `SIGNALS` instead of terminating; return the set that they are added to.

    Unblocks signals that the launcher blocked.
    """
    received: set[int] = set()

    def record(number: int, _frame: FrameType | None) -> None:
        received.add(number)

    for number in SIGNALS:
        signal.signal(number, record)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    return received


class RequestPoll:
    """Agrees with the other processes on requests, at the same step in all of them.

    Polling at every step would synchronise the processes. The main process measures the seconds
    per step, and each poll tells all processes at which step to poll next.
    """

    def __init__(
        self, accelerator: Accelerator, signals: AbstractSet[int], max_steps: int, step: int
    ) -> None:
        """Poll from `step` on, at least every `max_steps` steps; `signals` fills as they arrive."""
        self.accelerator = accelerator
        self.signals = signals
        self.max_steps = max_steps
        self.next_step = self.last_step = step
        self.last_time = time.monotonic()

    def poll(self, step: int, save_due: bool) -> StopRequests:
        """Return what all processes do before the next step, after `step` steps.

        `save_due` counts in the main process only.
        """
        if self.accelerator.num_processes > 1 and step < self.next_step:
            return StopRequests()
        now, steps = time.monotonic(), step - self.last_step
        is_main = self.accelerator.is_main_process
        pace = (now - self.last_time) / steps if steps and is_main else 0.0
        stop, requeue, save, seconds = all_reduce_sum(
            self.accelerator,
            signal.SIGTERM in self.signals,
            signal.SIGUSR2 in self.signals,
            save_due and is_main,
            pace,
        )
        interval = int(POLL_SECONDS / seconds) if seconds else 1
        self.next_step = step + max(1, min(interval, self.max_steps))
        self.last_time, self.last_step = now, step
        return StopRequests(save > 0, stop + requeue > 0, requeue > 0)
