import errno
import fcntl
import functools
import json
import os
import threading

import pytest

from scoresweep.pipeline.system.locks import file_lock, is_locked

NOBODY = 2**22 + 1
"""No process has this number."""


def test_one_process_at_a_time_is_let_in(tmp_path):
    lock, entered = tmp_path / "folder" / "lock", threading.Event()

    def second():
        with file_lock(lock):
            entered.set()

    waiting = threading.Thread(target=second)
    with file_lock(lock):
        assert is_locked(lock)
        waiting.start()
        assert not entered.wait(0.3)
    assert entered.wait(10)
    waiting.join()
    assert not is_locked(lock)


@pytest.fixture
def held(tmp_path):
    """A lock as a file system may keep it for a dead machine; signs it for the given holder."""
    lock = tmp_path / "lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)

        def sign(**holder):
            with file_lock(tmp_path / "example"):
                ours = json.loads((tmp_path / "example").read_text())
            lock.write_text(json.dumps(ours | holder))
            return lock

        yield sign


@pytest.fixture
def entering():
    """Go into a lock in a thread; gives the event of being inside."""
    threads = []

    def enter(lock, **options):
        inside = threading.Event()

        def go():
            with file_lock(lock, **options):
                inside.set()

        threads.append(threading.Thread(target=go))
        threads[-1].start()
        return inside

    yield enter
    for thread in threads:
        thread.join(20)


def test_a_lock_that_was_kept_for_a_dead_machine_is_free_when_its_file_is_removed(
    held, entering, monkeypatch, capsys
):
    monkeypatch.setattr("scoresweep.pipeline.system.locks.SECONDS_TO_SIGN", 0.0)
    lock = held(host="login1", pid=NOBODY, boot="another")
    inside = entering(lock, waiting="waiting for a run")
    assert not inside.wait(1)
    said = capsys.readouterr().err
    assert f"waiting for a run (process {NOBODY} on login1, since 20" in said
    assert f"remove {lock}" in said
    assert said.count("waiting for") == 1  # not at each try
    lock.unlink()
    assert inside.wait(10)
    assert json.loads(lock.read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("who", [{"pid": NOBODY}, {"boot": "an earlier one"}])
def test_a_lock_that_was_kept_for_a_process_of_this_machine_is_passed(
    held, entering, monkeypatch, capsys, who
):
    monkeypatch.setattr("scoresweep.pipeline.system.locks.SECONDS_TO_SIGN", 0.3)
    lock = held(**who)
    assert entering(lock).wait(10)
    assert "is gone" in capsys.readouterr().err


def test_who_holds_a_lock_is_told_again_and_again(held, entering, monkeypatch, capsys):
    monkeypatch.setattr("scoresweep.pipeline.system.locks.SECONDS_BETWEEN_WORDS", 0.3)
    monkeypatch.setattr("scoresweep.pipeline.system.locks.SECONDS_TO_SIGN", 0.0)
    lock = held()  # signed by this very process, which is not gone
    assert entering(lock, patience=1.5).wait(10)
    assert capsys.readouterr().err.count(", 2 s at most (process") >= 2


def test_a_lock_whose_file_is_removed_while_it_is_taken_is_taken_anew(tmp_path, monkeypatch):
    lock, flock, files = tmp_path / "lock", fcntl.flock, []

    def removing(file, operation):
        files.append(file)
        if len(files) == 1:
            lock.unlink()
        flock(file, operation)

    monkeypatch.setattr("fcntl.flock", removing)
    with file_lock(lock):
        assert is_locked(lock)
    assert not is_locked(lock)


def test_a_lock_whose_holder_is_not_known_is_waited_for(tmp_path, entering, capsys):
    lock = tmp_path / "lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        inside = entering(lock)
        assert not inside.wait(0.5)
    assert inside.wait(10)
    assert "waiting for that one. If its machine" in capsys.readouterr().err


def test_a_file_system_without_locks_lets_everybody_in(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.flock", functools.partial(fail, errno.ENOTSUP))
    with file_lock(tmp_path / "lock"):
        assert not is_locked(tmp_path / "lock")
    monkeypatch.setattr("fcntl.flock", functools.partial(fail, errno.EIO))
    with pytest.raises(OSError, match="Input/output"), file_lock(tmp_path / "lock"):
        pass


def fail(number, *_):
    raise OSError(number, os.strerror(number))
