"""What a process does with memory it has freed, told by the pages that the system had to give."""

import ctypes
import subprocess
import sys

import pytest

FAULTS = """
import ctypes, resource, sys, torch
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # no huge pages (PR_SET_THP_DISABLE)
from scoresweep.pipeline.system.process import set_up_process

def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(16, 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
"""

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library than glibc"
)


def numbers(code):
    done = subprocess.run(
        [sys.executable, "-c", FAULTS + code], capture_output=True, text=True, check=True
    )
    return [int(word) for word in done.stdout.split()]


def test_freed_memory_is_kept_for_the_next_step():
    one, ten, settled, then = numbers(
        "print(faults(1), faults(10)); set_up_process(1); print(faults(50), faults(10))"
    )
    # Of 64 MiB, in pages of 4 to 64 KiB.
    assert one >= 2**10
    assert ten > 9 * one
    # Small pieces among them make a few of the first buffers take a new place.
    assert settled > 0.9 * one
    assert then < one / 10


def test_what_a_person_has_chosen_is_left(monkeypatch):
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "1000000")
    _, ten = numbers("set_up_process(1); print(faults(50), faults(10))")
    assert ten >= 10 * 2**10


def test_threads_are_those_asked_for_and_float32_is_not_rounded():
    code = """
cudnn = torch.backends.cudnn
cudnn.allow_tf32 = True
set_up_process(3)
print(torch.get_num_threads(), int(cudnn.allow_tf32))
"""
    assert numbers(code) == [3, 0]
