"""How much memory is available, by the files of Linux's control groups and by the system."""

from __future__ import annotations

import psutil
import pytest

from scoresweep.pipeline.system import memory_available as module
from scoresweep.pipeline.system.memory_available import memory_available

MIB = 2**20

V1 = {
    "memory.limit_in_bytes": 900 * MIB,
    "memory.usage_in_bytes": 500 * MIB,
    "memory.stat": f"cache 7\ntotal_active_file {60 * MIB}\ntotal_inactive_file {40 * MIB}",
}
V2 = {
    "memory.max": 900 * MIB,
    "memory.current": 500 * MIB,
    "memory.stat": f"anon 7\nactive_file {60 * MIB}\ninactive_file {30 * MIB}\n"
    f"slab_reclaimable {10 * MIB}",
}


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Stand in for the control groups of a process: files by the folder of each."""
    monkeypatch.setattr(module, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(module, "ALL_GROUPS", tmp_path)

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
        ("4:hugetlb,memory:/job/step\n1:cpu:/\n", "memory/job", V1),
        ("4:memory:/not/seen/from/here\n", "memory", V1),
        ("0::/job/step\n", "job", V2),
        ("0::/job/step\n", "job/step", V2),
    ],
)
def test_a_control_group_has_less_than_the_machine(groups, own, folder, files):
    groups(own, {folder: files})
    assert memory_available() == (900 - 500 + 100) * MIB


def test_the_narrowest_group_counts_for_each(groups):
    wide = V2 | {"memory.max": 950 * MIB, "memory.current": 900 * MIB}
    groups("0::/job/step\n", {"job": wide, "job/step": V2})
    assert memory_available() == 150 * MIB


@pytest.mark.parametrize("own", ["0::/job\n", "", "1:cpu:/job\n"], ids=repr)
def test_without_a_limit_the_machine_counts(groups, own):
    groups(own, {"job": V2 | {"memory.max": "max"}})
    assert abs(memory_available() / psutil.virtual_memory().available - 1) < 0.2


def test_where_a_system_makes_room_on_the_disk_all_its_memory_counts(groups, monkeypatch):
    groups("0::/job\n", {"job": V2})
    monkeypatch.setattr("sys.platform", "darwin")
    assert memory_available() == psutil.virtual_memory().total
