import threading

from scoresweep.pipeline.train import _is_locked, _lock


def test_one_job_at_a_time_writes_to_a_run(tmp_path):
    folder, entered = tmp_path / "run", threading.Event()

    def second():
        with _lock(folder, first=True):
            entered.set()

    waiting = threading.Thread(target=second)
    with _lock(folder, first=True):
        assert _is_locked(folder)
        waiting.start()
        assert not entered.wait(0.3)
    assert entered.wait(10)
    waiting.join()
    assert not _is_locked(folder)


def test_the_other_processes_of_a_job_do_not_lock(tmp_path):
    with _lock(tmp_path, first=False):
        assert not _is_locked(tmp_path)
