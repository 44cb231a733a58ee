import os
import signal
import sys
import time

import cloudpickle
import psutil
import pytest

from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.cluster.launch import launch
from scoresweep.pipeline.errors import InputError, RunError

# The processes that are started cannot import this file.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")


def note(folder):
    import torch

    rank = os.environ.get("RANK", "alone")
    found = [os.environ.get(name, "") for name in NAMES]
    (folder / rank).write_text(" ".join([*found, str(torch.get_num_threads())]))


def note_accelerator(folder):
    from scoresweep.pipeline.training.setup import make_accelerator

    found = make_accelerator("no", 0)
    facts = (found.num_processes, found.mixed_precision, found.distributed_type.value)
    (folder / "accelerator").write_text(" ".join(map(str, facts)))


def refuse():
    raise InputError("the cat is on the keyboard")


def crash():
    raise ZeroDivisionError("a fault of the program")


def vanish():
    os._exit(9)


def sleep(folder):
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(60)


def test_a_file_named_like_a_module_of_python_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "random.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    launch(note, tmp_path, resources=Resources(), logs=tmp_path / "logs")
    assert (tmp_path / "alone").exists()


def test_processes_learn_their_rank_and_where_they_meet(tmp_path):
    launch(note, tmp_path, resources=Resources(processes=2), logs=tmp_path / "logs")
    ranks = [(tmp_path / rank).read_text().split() for rank in ("0", "1")]
    assert [rank[:3] for rank in ranks] == [["0", "2", "0"], ["1", "2", "1"]]
    assert ranks[0][3:] == ranks[1][3:]
    assert ranks[0][3] == "127.0.0.1"
    assert 20000 <= int(ranks[0][4]) < 32768  # above, the system hands ports out by itself


def test_one_process_is_not_told_of_others_and_gets_its_threads(tmp_path):
    launch(note, tmp_path, resources=Resources(threads=2), logs=tmp_path / "logs")
    assert (tmp_path / "alone").read_text().split() == ["2", "2"]


def test_only_this_program_says_that_a_process_is_one_of_several(tmp_path, monkeypatch):
    """Not a launcher whose variables are left in the shell, nor a user's Accelerate defaults."""
    left = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "3", "MASTER_ADDR": "192.0.2.1"}
    left |= {"MASTER_PORT": "1", "OMPI_COMM_WORLD_SIZE": "4", "PMI_SIZE": "4"}
    left |= {"ACCELERATE_MIXED_PRECISION": "fp16", "ACCELERATE_USE_FSDP": "true"}
    for name, value in (left | {"HF_HOME": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "accelerate").mkdir()
    defaults = "distributed_type: MULTI_CPU\nmixed_precision: fp16\nnum_processes: 4\n"
    (tmp_path / "accelerate/default_config.yaml").write_text(defaults)
    launch(note_accelerator, tmp_path, resources=Resources(), logs=tmp_path / "logs")
    assert (tmp_path / "accelerator").read_text() == "1 no NO"


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (refuse, InputError, "^the cat is on the keyboard$"),
        (crash, RunError, r"A process failed; its log .*a fault of the program"),
        (vanish, RunError, "A process ended without a result"),
    ],
)
def test_a_failure_comes_back(tmp_path, function, error, message):
    import re

    with pytest.raises(error) as raised:
        launch(function, resources=Resources(), logs=tmp_path)
    assert re.search(message, str(raised.value), re.DOTALL)


def test_an_interrupted_launch_stops_what_it_started(tmp_path):
    def interrupt():
        if (tmp_path / "pid").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launch(sleep, tmp_path, resources=Resources(), logs=tmp_path / "logs", watch=interrupt)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_this_machine_is_one_node(tmp_path):
    with pytest.raises(InputError, match="nodes: 2"):
        launch(crash, resources=Resources(nodes=2), logs=tmp_path / "logs")
    assert not (tmp_path / "logs").exists()


def test_slurm_must_be_there(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="cluster: slurm: this machine has no `srun`"):
        launch(crash, resources=Resources(cluster="slurm"), logs=tmp_path)


def count(folder, lives):
    """Note this start; die in it unless enough came before."""
    starts = len(list(folder.glob("start-*")))
    (folder / f"start-{starts}").touch()
    if starts < lives:
        os._exit(9)


def test_lost_work_is_started_again_as_long_as_it_gets_further(tmp_path):
    def starts():
        return len(list(tmp_path.glob("start-*")))

    logs = tmp_path / "logs"
    launch(count, tmp_path, 4, resources=Resources(), logs=logs, progress=starts)
    assert starts() == 5


def test_lost_work_that_gets_no_further_is_given_up(tmp_path):
    with pytest.raises(RunError, match="was lost 3 times at one point"):
        launch(count, tmp_path, 9, resources=Resources(), logs=tmp_path / "logs")
    assert len(list(tmp_path.glob("start-*"))) == 3


def kill_itself():
    """End as a process does that the kernel kills."""
    os.kill(os.getpid(), signal.SIGKILL)


def abort():
    os.abort()


@pytest.mark.parametrize(("function", "killed"), [(kill_itself, True), (abort, False)])
def test_a_killed_process_is_reported_as_probably_out_of_memory(tmp_path, function, killed):
    with pytest.raises(RunError) as raised:
        launch(function, resources=Resources(), logs=tmp_path)
    message = str(raised.value)
    for words in ("probably out of memory", "train.gradient_accumulation", "train:mem_mb"):
        assert (words in message) == killed


def crash_twice(folder):
    """Note this start; crash in the first two."""
    starts = len(list(folder.glob("start-*")))
    (folder / f"start-{starts}").touch()
    if starts < 2:
        raise OSError(5, "Input/output error")


def test_a_crash_after_progress_may_be_a_passing_fault(tmp_path):
    def starts():
        return len(list(tmp_path.glob("start-*")))

    launch(crash_twice, tmp_path, resources=Resources(), logs=tmp_path / "logs", progress=starts)
    assert starts() == 3


def test_results_of_an_earlier_job_of_the_same_number_are_gone(tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "123_0_result.pkl").write_bytes(cloudpickle.dumps(("success", None)))
    launch(note, tmp_path, resources=Resources(), logs=logs)
    assert not (logs / "123_0_result.pkl").exists()


@pytest.mark.parametrize(("mask", "seen"), [("3,1", "3,1"), ("", "0,1"), ("GPU-8f", "0,1")])
def test_the_gpus_that_a_scheduler_has_given_are_used(tmp_path, monkeypatch, mask, seen):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
    launch(note_gpus, tmp_path, resources=Resources(gpus=2), logs=tmp_path / "logs")
    assert (tmp_path / "gpus").read_text() == seen


def note_gpus(folder):
    (folder / "gpus").write_text(os.environ["CUDA_VISIBLE_DEVICES"])


def test_no_more_gpus_than_were_given(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(InputError, match=r"gpus: 2: .* expected 1 or fewer"):
        launch(note_gpus, tmp_path, resources=Resources(gpus=2), logs=tmp_path / "logs")
