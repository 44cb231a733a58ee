"""What a machine says of its memory, and a bound on it, asked of the system itself."""

from __future__ import annotations

import resource
import subprocess
import sys

import psutil
import pytest

from scoresweep.pipeline import machine
from scoresweep.pipeline.machine import bounded_memory, memory_available, memory_limit

MIB = 2**20

V1 = {
    "memory.limit_in_bytes": 900 * MIB,
    "memory.usage_in_bytes": 500 * MIB,
    "memory.stat": f"cache 7\ntotal_active_file {60 * MIB}\ntotal_inactive_file {40 * MIB}",
}
V2 = {
    "memory.max": 900 * MIB,
    "memory.current": 500 * MIB,
    "memory.stat": f"anon 7\nactive_file {60 * MIB}\ninactive_file {40 * MIB}",
}


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Stand in for the control groups of a process: files by the folder of each."""
    monkeypatch.setattr(machine, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(machine, "ALL_GROUPS", tmp_path)

    def make(own, folders):
        (tmp_path / "own").write_text(own)
        for folder, files in folders.items():
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                (tmp_path / folder / name).write_text(f"{content}\n")

    return make


@pytest.mark.parametrize(
    ("own", "folder", "files"),
    [
        ("4:memory:/job/step\n1:cpu:/\n", "memory/job", V1),
        ("4:memory:/not/seen/from/here\n", "memory", V1),
        ("0::/job/step\n", "job", V2),
        ("0::/job/step\n", "job/step", V2),
    ],
)
def test_a_control_group_has_less_than_the_machine(groups, own, folder, files):
    groups(own, {folder: files})
    assert memory_limit() == 900 * MIB
    assert memory_available() == (900 - 500 + 100) * MIB


def test_the_narrowest_group_counts_for_each(groups):
    wide = V2 | {"memory.max": 950 * MIB, "memory.current": 900 * MIB}
    groups("0::/job/step\n", {"job": wide, "job/step": V2})
    assert (memory_limit(), memory_available()) == (900 * MIB, 150 * MIB)


@pytest.mark.parametrize("own", ["0::/job\n", "", "1:cpu:/job\n"], ids=repr)
def test_without_a_limit_the_machine_counts(groups, own):
    groups(own, {"job": V2 | {"memory.max": "max"}})
    assert memory_limit() == psutil.virtual_memory().total
    assert abs(memory_available() / psutil.virtual_memory().available - 1) < 0.2


linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a bound that holds")


@linux
def test_memory_beyond_an_equal_part_is_refused_here_and_in_processes_that_are_started():
    """Of 600 MiB a process of two has 300; a child that is one begins with less taken."""
    code = """
import subprocess, sys
from scoresweep.pipeline import machine
MIB = 2**20
machine.memory_available = lambda: 600 * MIB

def can_take(mib):
    try:
        return bool(bytearray(mib * MIB))
    except MemoryError:
        return False

child = "try: bytearray({} * 2**20); print(True)\\nexcept MemoryError: print(False)"
with machine.bounded_memory(2):
    print(can_take(280), can_take(320))
    for mib in (280, 1000):
        subprocess.run([sys.executable, "-c", child.format(mib)], check=True)
    with machine.bounded_memory(1):
        print(can_take(320), can_take(620))
    print(can_take(320))
print(can_take(1000))
"""
    done = subprocess.run([sys.executable, "-uc", code], capture_output=True, text=True, check=True)
    words = ["True False", "True", "False", "True False", "False", "True"]
    assert done.stdout.splitlines() == words


@linux
def test_a_limit_that_cannot_be_raised_is_not_asked_for():
    before, hard = resource.getrlimit(resource.RLIMIT_DATA)
    code = """
import resource
from scoresweep.pipeline.machine import bounded_memory
resource.setrlimit(resource.RLIMIT_DATA, (2**29, 2**30))
with bounded_memory(1):
    print(resource.getrlimit(resource.RLIMIT_DATA))
print(resource.getrlimit(resource.RLIMIT_DATA))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [str((2**30, 2**30)), str((2**29, 2**30))]
    with bounded_memory(1):
        assert resource.getrlimit(resource.RLIMIT_DATA) != (before, hard)
    assert resource.getrlimit(resource.RLIMIT_DATA) == (before, hard)
