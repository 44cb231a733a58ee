"""Removal of results, and files that killed processes left behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from scoresweep.pipeline.system.locks import file_lock, lock_if_free
from scoresweep.pipeline.system.removal import bytes_of, is_left_behind, remove_at_once


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize(
    ("name", "hours", "expected"),
    [
        (".a.zarr.{host}.{ended}.part", 0, True),
        (".a.zarr.{host}.{running}.part", 48, False),
        (".a.zarr.other.example.org.{ended}.part", 23, False),
        (".a.zarr.other.example.org.{running}.part", 25, True),
        (".a.{host}.x.part", 1, False),
        ("a.zarr.{host}.{ended}.part", 48, False),
        (".a.zarr.{host}.{ended}.json", 48, False),
    ],
)
def test_a_temporary_file_is_left_behind_if_its_process_has_ended(
    tmp_path: Path, name: str, hours: float, expected: bool
) -> None:
    parts = {"host": socket.gethostname(), "ended": ended_process(), "running": os.getpid()}
    path = tmp_path / name.format(**parts)
    path.touch()
    modified = path.stat().st_mtime - hours * 3600
    os.utime(path, (modified, modified))
    assert is_left_behind(path) is expected


def test_a_missing_file_is_not_left_behind(tmp_path: Path) -> None:
    assert not is_left_behind(tmp_path / ".a.zarr.other.1.part")


def test_a_link_is_removed_and_not_what_it_points_to(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "file").write_bytes(b"x" * 500)
    link = tmp_path / "link"
    link.symlink_to(target)
    assert bytes_of(target) == 500
    assert bytes_of(link) < 500
    remove_at_once(link)
    assert bytes_of(target) == 500
    remove_at_once(target)
    assert list(tmp_path.iterdir()) == []
    assert bytes_of(target) == 0


def test_a_lock_is_taken_only_if_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "folder" / ".lock"
    with lock_if_free(path) as is_held:
        assert is_held
    assert not path.parent.exists()
    with file_lock(path), lock_if_free(path) as is_held:
        assert not is_held
    with lock_if_free(path) as is_held:
        assert is_held
        with lock_if_free(path) as again:
            assert not again
