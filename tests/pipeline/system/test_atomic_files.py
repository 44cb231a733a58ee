import contextlib
import errno
import functools
import hashlib
import json
import os
import socket
import subprocess
import time
from pathlib import Path

import pytest

from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.system.atomic_files import (
    NO_SPACE,
    atomic_write,
    remove,
    sha256_of,
    write_json,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_when_it_is_whole_in_a_folder_made_for_it(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.parent == path.parent  # a rename works within one file system alone
        assert list(path.parent.glob("file*")) == []
    assert path.read_text() == "half"
    assert names(path.parent) == ["file.txt"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, PermissionError(13, "no")])
def test_what_was_there_stays_when_the_body_raises(tmp_path, error):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(type(error) if isinstance(error, Exception) else error):  # noqa: PT012, SIM117
        with atomic_write(path) as temporary:
            temporary.write_text("new")
            raise error
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file.txt"]


def test_a_folder_is_replaced_as_one(tmp_path):
    folder = tmp_path / "store"
    for name in ("first", "second"):
        with atomic_write(folder) as temporary:
            temporary.mkdir()
            (temporary / name).touch()
    assert names(folder) == ["second"]
    assert names(tmp_path) == ["store"]


def test_what_an_earlier_try_left_under_the_temporary_name_is_not_mixed_in(tmp_path):
    left = tmp_path / f".store.{socket.gethostname()}.{os.getpid()}.part"
    left.mkdir()
    (left / "stray").touch()
    with atomic_write(tmp_path / "store") as temporary:
        temporary.mkdir()
    assert names(tmp_path / "store") == []


@pytest.mark.parametrize("code", sorted(NO_SPACE))
def test_a_full_disk_is_told_with_the_file_and_nothing_is_left(tmp_path, code):
    with pytest.raises(RunError, match=r"file.txt: could not be written \(.*free some space"):  # noqa: PT012, SIM117
        with atomic_write(tmp_path / "file.txt") as temporary:
            temporary.write_text("half")
            raise OSError(code, os.strerror(code))
    assert names(tmp_path) == []


def test_no_space_means_disk_quota_and_size_limit():
    assert {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} == NO_SPACE


def test_removing_takes_files_folders_and_links_never_what_they_point_to(tmp_path):
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
    remove(folder)  # what is not there is no error
    assert names(tmp_path) == []


def test_json_is_written_for_people(tmp_path):
    write_json(tmp_path / "a.json", {"path": tmp_path, "list": [1, 2.5, None]})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"path": str(tmp_path), "list": [1, 2.5, None]}
    assert text.startswith('{\n  "path"')
    assert text.endswith("}\n")


@pytest.fixture
def calls(monkeypatch):
    """What was flushed and renamed, in order; all of it is really done."""
    seen, fsync, replace = [], os.fsync, Path.replace

    def noting_fsync(descriptor):
        seen.append(("flush", Path(f"/proc/self/fd/{descriptor}").resolve().name))
        fsync(descriptor)

    def noting_replace(self, target):
        seen.append(("rename", target.name))
        return replace(self, target)

    monkeypatch.setattr("os.fsync", noting_fsync)
    monkeypatch.setattr(Path, "replace", noting_replace)
    return seen


def part(name):
    return f".{name}.{socket.gethostname()}.{os.getpid()}.part"


def test_a_file_is_on_the_disk_before_it_has_its_name_and_the_name_is_then(tmp_path, calls):
    write_json(tmp_path / "a.json", [1])
    assert calls == [("flush", part("a.json")), ("rename", "a.json"), ("flush", tmp_path.name)]
    calls.clear()
    write_json(tmp_path / "a.json", [2], durable=False)
    assert calls == [("rename", "a.json")]


def test_all_of_a_folder_is_on_the_disk_before_it_has_its_name(tmp_path, calls):
    with atomic_write(tmp_path / "store") as temporary:
        (temporary / "array" / "c").mkdir(parents=True)
        for file in ("zarr.json", "array/zarr.json", "array/c/0"):
            (temporary / file).touch()
    first = sorted(name for _, name in calls[:-2])
    assert first == sorted([part("store"), "array", "c", "0", "zarr.json", "zarr.json"])
    assert calls[-2:] == [("rename", "store"), ("flush", tmp_path.name)]


def test_a_file_system_that_cannot_flush_is_written_to_all_the_same(tmp_path, monkeypatch):
    for code in (errno.EINVAL, errno.EIO):
        monkeypatch.setattr("os.fsync", functools.partial(fail, code))
        expected = pytest.raises(OSError, match="Input/output")
        with expected if code == errno.EIO else contextlib.nullcontext():
            write_json(tmp_path / "a.json", code)
    assert json.loads((tmp_path / "a.json").read_text()) == errno.EINVAL


def test_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc" * 100_000)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"abc" * 100_000).hexdigest()


def test_what_a_killed_process_left_of_a_file_goes_and_the_rest_stays(tmp_path):
    left = subprocess.Popen(["sleep", "0"])
    left.wait()  # no process has this number now
    host = socket.gethostname()
    gone, others = tmp_path / f".file.{host}.{left.pid}.part", []
    gone.mkdir()
    (gone / "half").touch()
    for name in (f"file.{host}.1", f"file.elsewhere.{left.pid}", f"another.{host}.{left.pid}"):
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
