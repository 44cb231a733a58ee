"""User-facing exceptions."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "InputError",
    "RunError",
    "ScoresweepError",
    "StoppedError",
    "did_you_mean",
    "join_names",
]


class ScoresweepError(Exception):
    """An error whose message is shown to the user without a traceback."""

    exit_code = 1


class InputError(ScoresweepError):
    """The input (a study, a file, a dataset) is wrong and nothing was written: exit code 2."""

    exit_code = 2


class RunError(ScoresweepError):
    """The input is valid but the work failed: exit code 1."""


class StoppedError(RunError):
    """Training was asked to stop; it saved and can be resumed."""

    def __init__(self, message: str, requeue: bool) -> None:
        super().__init__(message)
        self.requeue = requeue
        """Whether to requeue the job: the signal was SIGUSR2 (time limit or preemption)."""


def did_you_mean(word: str, valid: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest valid word, or "" if none is close."""
    matches = difflib.get_close_matches(word, list(valid), n=1, cutoff=0.6)
    return f" Did you mean {matches[0]!r}?" if matches else ""


def join_names(names: Iterable[object], limit: int = 12) -> str:
    """Join names with commas; a long list is cut after `limit` and counted: "a, b and 3 more"."""
    texts = [str(name) for name in names]
    rest = len(texts) - limit
    return ", ".join(texts[:limit]) + (f" and {rest:,} more" if rest > 0 else "")
