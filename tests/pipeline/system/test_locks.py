import errno
import fcntl
import functools
import json
import os
import threading

import pytest

from scoresweep.pipeline.system import locks
from scoresweep.pipeline.system.locks import file_lock, lock_if_free

UNUSED_PID = 2**22 + 1
"""No process has this id."""


@pytest.fixture(autouse=True)
def _poll_often(monkeypatch):
    monkeypatch.setattr(locks, "POLL_SECONDS", 0.02)


@pytest.fixture
def held(tmp_path):
    """Return a function that records a holder in a lock that this test holds."""
    path = tmp_path / "lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def record(**holder):
            with file_lock(tmp_path / "example"):
                own = json.loads((tmp_path / "example").read_text())
            path.write_text(json.dumps(own | holder))
            return path

        yield record


def is_held(path):
    with lock_if_free(path) as free:
        return not free


@pytest.fixture
def enter():
    """Return a function that takes a lock in a thread and returns an event for success."""
    threads = []

    def start(path, **options):
        entered = threading.Event()

        def run():
            with file_lock(path, **options):
                entered.set()

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return entered

    yield start
    for thread in threads:
        thread.join(20)


def test_one_process_at_a_time_holds_the_lock(tmp_path, enter):
    path = tmp_path / "folder" / "lock"
    with file_lock(path):
        assert is_held(path)
        entered = enter(path)
        assert not entered.wait(0.2)
    assert entered.wait(10)


def test_the_lock_of_a_crashed_host_is_free_once_its_file_is_removed(
    held, enter, monkeypatch, capsys
):
    monkeypatch.setattr(locks, "SECONDS_UNTIL_RECORDED", 0.0)
    path = held(host="login1", pid=UNUSED_PID, boot="another")
    entered = enter(path, waiting="waiting for a run")
    assert not entered.wait(0.3)
    message = capsys.readouterr().err
    assert f"waiting for a run (process {UNUSED_PID} on login1, since 20" in message
    assert f"remove {path}" in message
    assert message.count("waiting for") == 1, "not in every poll"
    path.unlink()
    assert entered.wait(10)
    assert json.loads(path.read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("holder", [{"pid": UNUSED_PID}, {"boot": "an earlier one"}])
def test_the_lock_of_an_ended_process_of_this_host_is_ignored(
    held, enter, monkeypatch, capsys, holder
):
    monkeypatch.setattr(locks, "SECONDS_UNTIL_RECORDED", 0.1)
    path = held(**holder)
    assert enter(path).wait(10)
    assert f"{path}: its process has ended" in capsys.readouterr().err


def test_without_a_boot_id_the_process_id_decides(held, enter, tmp_path, monkeypatch):
    """As on macOS."""
    monkeypatch.setattr(locks, "BOOT_ID", tmp_path / "missing")
    monkeypatch.setattr(locks, "SECONDS_UNTIL_RECORDED", 0.1)
    path = held()
    assert json.loads(path.read_text())["boot"] == ""
    assert not enter(path, patience=1).wait(0.5)
    assert enter(held(pid=UNUSED_PID)).wait(10)


def test_the_holder_is_named_repeatedly_until_patience_runs_out(held, enter, monkeypatch, capsys):
    monkeypatch.setattr(locks, "SECONDS_BETWEEN_MESSAGES", 0.2)
    monkeypatch.setattr(locks, "SECONDS_UNTIL_RECORDED", 0.0)
    assert enter(held(), patience=1).wait(10)
    assert capsys.readouterr().err.count(f", 1 s at most (process {os.getpid()}") >= 2


def test_a_lock_file_that_is_removed_while_it_is_locked_is_locked_again(tmp_path, monkeypatch):
    path, flock, files = tmp_path / "lock", fcntl.flock, []

    def remove_first(file, operation):
        files.append(file)
        if len(files) == 1:
            path.unlink()
        flock(file, operation)

    monkeypatch.setattr("fcntl.flock", remove_first)
    with file_lock(path):
        assert is_held(path)
    assert not is_held(path)


def test_a_lock_with_an_unknown_holder_is_waited_for(tmp_path, enter, capsys):
    path = tmp_path / "lock"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        entered = enter(path)
        assert not entered.wait(0.2)
    assert entered.wait(10)
    message = capsys.readouterr().err
    assert f"remove {path}" in message
    assert "process {" not in message


def fail(number, *_):
    raise OSError(number, os.strerror(number))


def test_a_file_system_without_locks_never_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.flock", functools.partial(fail, errno.ENOTSUP))
    with file_lock(tmp_path / "lock"):
        assert not is_held(tmp_path / "lock")
    monkeypatch.setattr("fcntl.flock", functools.partial(fail, errno.EIO))
    with pytest.raises(OSError, match="Input/output"), file_lock(tmp_path / "lock"):
        pass
