"""The two ways a command can end badly, and how their messages are put together."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["InputError", "RunError", "ScoresweepError", "StoppedError", "did_you_mean"]


class ScoresweepError(Exception):
    """An error whose message is written for the person at the terminal."""

    exit_code = 1


class InputError(ScoresweepError):
    """What was given is wrong (a study, a file, a dataset): exit code 2, nothing was written."""

    exit_code = 2


class RunError(ScoresweepError):
    """The input was right and the work failed while it ran: exit code 1."""


class StoppedError(RunError):
    """Training was asked to stop; it saved and can be resumed."""

    def __init__(self, message: str, requeue: bool) -> None:
        super().__init__(message)
        self.requeue = requeue
        """Whether to requeue the job: the signal was SIGUSR2 (time limit or preemption)."""


def did_you_mean(word: str, valid: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest valid word, or "" when none is near."""
    near = difflib.get_close_matches(word, list(valid), n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""
