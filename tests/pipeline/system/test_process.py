"""How a computing process is set up, and when it has ended."""

import ctypes
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from scoresweep.pipeline.system import process

FAULTS = """
import ctypes, resource, torch
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # no huge pages (PR_SET_THP_DISABLE)
from scoresweep.pipeline.system.process import set_up_process

def faults(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(16, 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.backends.cudnn.allow_tf32 = True
print(faults(1), faults(10))
set_up_process(3)
print(faults(50), faults(10), torch.get_num_threads(), int(torch.backends.cudnn.allow_tf32))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc")
def test_freed_memory_is_retained_threads_are_set_and_tf32_is_disabled():
    done = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True
    )
    one, ten, warm_up, after, threads, tf32 = (int(word) for word in done.stdout.split())
    # Page faults of 64 MiB, in pages of 4 to 64 KiB
    assert one >= 2**10
    assert ten > 9 * one
    # Small blocks in between make a few of the first buffers move.
    assert warm_up > 0.9 * one
    assert after < one / 10
    assert (threads, tf32) == (3, 0)


@pytest.fixture
def options(monkeypatch):
    """The options that are set by `mallopt`, which is replaced."""
    calls = []
    library = SimpleNamespace(mallopt=lambda *option: calls.append(option))
    monkeypatch.setattr(process.ctypes, "CDLL", lambda _: library)
    for name in process.MALLOC_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return calls


def test_user_settings_of_malloc_are_respected(options, monkeypatch):
    process.retain_freed_memory()
    assert options == [(process.MMAP_MAX, 0), (process.TRIM_THRESHOLD, -1)]
    options.clear()
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "1000000")
    process.retain_freed_memory()
    assert options == []


def test_another_c_library_is_left_alone(monkeypatch):
    """As on macOS."""
    monkeypatch.setattr(process.ctypes, "CDLL", lambda _: SimpleNamespace())
    process.retain_freed_memory()


def test_a_process_that_its_parent_has_not_collected_does_not_exist():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert process.process_exists(child.pid)
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # leaves a zombie
    assert not process.process_exists(child.pid)
    child.wait()
    assert not process.process_exists(child.pid)
