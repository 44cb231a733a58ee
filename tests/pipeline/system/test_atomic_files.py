import contextlib
import errno
import functools
import hashlib
import itertools
import json
import os
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.system import atomic_files
from scoresweep.pipeline.system.atomic_files import (
    DISK_FULL_ERRORS,
    atomic_write,
    remove,
    sha256_of,
    write_json,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_only_when_complete_and_its_folder_is_created(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent  # a rename needs the same file system
        assert list(path.parent.glob("file*")) == []
    assert path.read_text() == "half"
    assert names(path.parent) == ["file.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, PermissionError(13, "no")])
def test_the_old_file_stays_if_the_body_raises(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(type(error) if isinstance(error, Exception) else error):  # noqa: PT012, SIM117
        with atomic_write(path) as temporary:
            temporary.write_text("new")
            raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "store"
    for name in ("first", "second"):
        with atomic_write(folder) as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert names(folder) == ["second"]
    assert names(tmp_path) == ["store"]


def test_leftovers_under_the_temporary_name_are_removed_first(tmp_path):
    stale = tmp_path / f".store.{socket.gethostname()}.{os.getpid()}.part"
    stale.mkdir()
    (stale / "stray").touch()
    with atomic_write(tmp_path / "store") as temporary:
        temporary.mkdir()
    assert names(tmp_path / "store") == []


@pytest.mark.parametrize("code", sorted(DISK_FULL_ERRORS))
def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, code):
    with pytest.raises(RunError, match=r"file.txt: could not be written \(.*Free some space"):  # noqa: PT012, SIM117
        with atomic_write(tmp_path / "file.txt") as temporary:
            temporary.write_text("half")
            raise OSError(code, os.strerror(code))
    assert names(tmp_path) == []


def test_disk_full_errors_include_quotas_and_file_size_limits():
    assert {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} == DISK_FULL_ERRORS


def test_remove_deletes_files_folders_and_links_but_no_link_targets(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").touch()
    (tmp_path / "link").symlink_to(folder)
    remove(tmp_path / "link")
    assert names(folder) == ["file"]
    remove(folder / "file")
    assert names(folder) == []
    (folder / "file").touch()
    remove(folder)
    remove(folder)  # a missing path is no error
    assert names(tmp_path) == []


def test_json_is_indented(tmp_path):
    write_json(tmp_path / "a.json", {"path": tmp_path, "list": [1, 2.5, None]})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"path": str(tmp_path), "list": [1, 2.5, None]}
    assert text.startswith('{\n  "path"')
    assert text.endswith("}\n")


@pytest.fixture
def calls(monkeypatch):
    """Names that were synced and renamed, in order."""
    calls, fsync, replace = [], atomic_files._fsync, Path.replace

    def spy_fsync(path):
        calls.append(("sync", path.name))
        fsync(path)

    def spy_replace(self, target):
        calls.append(("rename", target.name))
        return replace(self, target)

    monkeypatch.setattr(atomic_files, "_fsync", spy_fsync)
    monkeypatch.setattr(Path, "replace", spy_replace)
    return calls


def part(name):
    return f".{name}.{socket.gethostname()}.{os.getpid()}.part"


def test_a_file_is_synced_before_the_rename_and_its_folder_after(tmp_path, calls):
    write_json(tmp_path / "a.json", [1])
    assert calls == [("sync", part("a.json")), ("rename", "a.json"), ("sync", tmp_path.name)]
    calls.clear()
    write_json(tmp_path / "a.json", [2], durable=False)
    assert calls == [("rename", "a.json")]


def test_everything_in_a_folder_is_synced_before_the_rename(tmp_path, calls):
    with atomic_write(tmp_path / "store") as temporary:
        (temporary / "array" / "c").mkdir(parents=True)
        for file in ("zarr.json", "array/zarr.json", "array/c/0"):
            (temporary / file).touch()
    first = sorted(name for _, name in calls[:-2])
    assert first == sorted([part("store"), "array", "c", "0", "zarr.json", "zarr.json"])
    assert calls[-2:] == [("rename", "store"), ("sync", tmp_path.name)]


def test_a_file_system_without_fsync_is_supported(tmp_path, monkeypatch):
    for code in (errno.EINVAL, errno.EIO):
        monkeypatch.setattr("os.fsync", functools.partial(fail, code))
        expected = pytest.raises(OSError, match="Input/output")
        with expected if code == errno.EIO else contextlib.nullcontext():
            write_json(tmp_path / "a.json", code)
    assert json.loads((tmp_path / "a.json").read_text()) == errno.EINVAL


def test_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_a_folder_is_removed_while_a_thread_adds_files_to_it(tmp_path):
    folder, stop = tmp_path / "folder", time.monotonic() + 0.5
    folder.mkdir()

    def add() -> None:
        for number in itertools.count():
            if time.monotonic() > stop:
                break
            with contextlib.suppress(FileNotFoundError):
                (folder / str(number)).touch()

    with ThreadPoolExecutor(4) as threads:
        running = [threads.submit(add) for _ in range(4)]
        remove(folder)
        for thread in running:
            thread.result()
    assert not folder.exists()


def test_temporary_files_of_ended_processes_are_removed(tmp_path):
    process = subprocess.Popen(["sleep", "0"])
    process.wait()  # its id is free now
    host = socket.gethostname()
    stale, others = tmp_path / f".file.{host}.{process.pid}.part", []
    stale.mkdir()
    (stale / "half").touch()
    for name in (
        f"file.{host}.1",
        f"file.elsewhere.{process.pid}",
        f"another.{host}.{process.pid}",
    ):
        others.append(f".{name}.part")
        (tmp_path / others[-1]).touch()
    old = tmp_path / ".file.another.node.7.part"
    old.touch()
    os.utime(old, (time.time() - 90_000,) * 2)
    with atomic_write(tmp_path / "file") as temporary:
        temporary.touch()
    assert names(tmp_path) == sorted([*others, "file"])


def fail(number, *_):
    raise OSError(number, os.strerror(number))
