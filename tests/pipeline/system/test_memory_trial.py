"""Work that takes too much is stopped in a process of its own, and this one lives on."""

from __future__ import annotations

import functools
import os
import signal
from multiprocessing import active_children

import pytest
import torch

from scoresweep.pipeline.system import memory_trial
from scoresweep.pipeline.system.memory_trial import fits

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


def be_stopped() -> None:
    for number in memory_trial.SIGNALS:
        os.kill(os.getpid(), number)
    os._exit(3)


@pytest.fixture
def available(monkeypatch):
    """Pretend that so many MiB are available."""
    return lambda mib: monkeypatch.setattr(memory_trial, "memory_available", lambda: mib * MIB)


@pytest.mark.parametrize(("mib", "enough"), [(700, True), (600, False), (400, False)])
def test_a_fifth_of_the_room_has_to_be_left(mib, enough):
    assert fits(functools.partial(take, 512), mib * MIB) == enough


def test_work_is_stopped_where_the_machine_runs_out_whoever_takes_it(available, monkeypatch):
    given = iter([10_000 * MIB])  # before it begins
    monkeypatch.setattr(
        memory_trial, "memory_available", lambda: next(given, memory_trial.FLOOR - 1)
    )
    assert not fits(functools.partial(take, 512), 10_000 * MIB)


@pytest.mark.parametrize(
    ("work", "enough"),
    [(ask_for_too_much, False), (be_killed, False), (be_stopped, True), (fail, True)],
)
def test_only_a_want_of_memory_counts_as_such(available, work, enough):
    available(10_000)
    assert fits(work, 2**40) == enough
    assert active_children() == []


def test_nothing_is_tried_where_a_process_could_not_begin(available):
    available(500)
    assert not memory_trial.can_try()
    assert fits(be_killed, 2**40)
