"""Work that takes too much is stopped in a process of its own, and this one lives on."""

from __future__ import annotations

import functools
import os
import signal
from multiprocessing import active_children

import pytest
import torch

from scoresweep.pipeline import trial
from scoresweep.pipeline.trial import fits

MIB = 2**20


def take(mib: int) -> None:
    """Fill so much memory, piece by piece: some of it is there before all is."""
    _held = [torch.ones(16 * MIB, dtype=torch.uint8) for _ in range(mib // 16)]


def ask_for_too_much() -> None:
    torch.empty(2**55)


def fail() -> None:
    raise ValueError("not for want of memory")


def be_killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def available(monkeypatch):
    """Pretend that so many MiB are available."""
    return lambda mib: monkeypatch.setattr(trial, "memory_available", lambda: mib * MIB)


@pytest.mark.parametrize(
    ("mib", "processes", "enough"), [(700, 1, True), (600, 1, False), (1200, 2, False)]
)
def test_a_fifth_of_what_is_available_to_a_process_has_to_be_left(
    available, mib, processes, enough
):
    available(mib)
    assert fits(functools.partial(take, 512), processes) == enough


def test_work_is_stopped_where_the_machine_runs_out_whoever_takes_it(available, monkeypatch):
    given = iter([10_000 * MIB])
    monkeypatch.setattr(trial, "memory_available", lambda: next(given, trial.FLOOR - 1))
    assert not fits(functools.partial(take, 512), 1)


@pytest.mark.parametrize(
    ("work", "enough"), [(ask_for_too_much, False), (be_killed, False), (fail, True)]
)
def test_only_a_want_of_memory_counts_as_such(work, enough):
    assert fits(work, 1) == enough
    assert active_children() == []
