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


def write_environment(folder):
    values = [os.environ.get(name, "") for name in NAMES]
    (folder / os.environ.get("RANK", "alone")).write_text(" ".join(values))


def write_accelerator(folder):
    from scoresweep.pipeline.training.setup import make_accelerator

    made = make_accelerator("no", 0)
    facts = (made.num_processes, made.mixed_precision, made.distributed_type.value)
    (folder / "accelerator").write_text(" ".join(map(str, facts)))


def refuse():
    raise InputError("the cat is on the keyboard")


def crash():
    raise ZeroDivisionError("a fault of the program")


def sleep(folder):
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(60)


def test_processes_get_their_rank_and_the_address_of_rank_0(tmp_path):
    launch(write_environment, tmp_path, resources=Resources(processes=2), logs=tmp_path / "logs")
    ranks = [(tmp_path / rank).read_text().split() for rank in ("0", "1")]
    assert [rank[:3] for rank in ranks] == [["0", "2", "0"], ["1", "2", "1"]]
    assert ranks[0][3:] == ranks[1][3:]
    assert ranks[0][3] == "127.0.0.1"
    assert 20000 <= int(ranks[0][4]) < 32768  # ephemeral ports begin above


def test_a_single_process_gets_its_threads_alone(tmp_path, monkeypatch):
    """It ignores results of earlier jobs with its id and modules in the working directory."""
    (tmp_path / "random.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "123_0_result.pkl").write_bytes(cloudpickle.dumps(("success", None)))
    launch(write_environment, tmp_path, resources=Resources(threads=2), logs=logs)
    assert (tmp_path / "alone").read_text().split() == ["2"]
    assert not (logs / "123_0_result.pkl").exists()


def test_variables_of_launchers_and_accelerates_defaults_are_ignored(tmp_path, monkeypatch):
    left = {"WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "3", "MASTER_ADDR": "192.0.2.1"}
    left |= {"MASTER_PORT": "1", "OMPI_COMM_WORLD_SIZE": "4", "PMI_SIZE": "4"}
    left |= {"ACCELERATE_MIXED_PRECISION": "fp16", "ACCELERATE_USE_FSDP": "true"}
    for name, value in (left | {"HF_HOME": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "accelerate").mkdir()
    defaults = "distributed_type: MULTI_CPU\nmixed_precision: fp16\nnum_processes: 4\n"
    (tmp_path / "accelerate/default_config.yaml").write_text(defaults)
    launch(write_accelerator, tmp_path, resources=Resources(), logs=tmp_path / "logs")
    assert (tmp_path / "accelerator").read_text() == "1 no NO"


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (refuse, InputError, "^the cat is on the keyboard$"),
        (crash, RunError, r"A process failed; its log .*a fault of the program"),
    ],
)
def test_a_failure_is_reported(tmp_path, function, error, message):
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


def test_slurm_must_be_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="cluster: slurm: this machine has no `srun`"):
        launch(crash, resources=Resources(cluster="slurm"), logs=tmp_path)


def die(folder, times):
    """Record this start; die in the first `times` of them."""
    starts = len(list(folder.glob("start-*")))
    (folder / f"start-{starts}").touch()
    if starts < times:
        os._exit(9)


def test_a_lost_job_is_started_again_while_it_makes_progress(tmp_path):
    def starts():
        return len(list(tmp_path.glob("start-*")))

    logs = tmp_path / "logs"
    launch(die, tmp_path, 3, resources=Resources(), logs=logs, progress=starts)
    assert starts() == 4


def record_and_kill(folder):
    """Record this start; end as if killed by the kernel."""
    (folder / f"start-{len(list(folder.glob('start-*')))}").touch()
    os.kill(os.getpid(), signal.SIGKILL)


def abort(folder):
    os.abort()


@pytest.mark.parametrize(("function", "killed"), [(record_and_kill, True), (abort, False)])
def test_a_lost_job_without_progress_is_given_up(tmp_path, function, killed):
    """A killed process is reported as probably out of memory, a segmentation fault is not."""
    with pytest.raises(RunError, match="failed 3 times without progress") as raised:
        launch(function, tmp_path, resources=Resources(), logs=tmp_path / "logs")
    assert len(list(tmp_path.glob("start-*"))) == 3 * killed
    for words in ("probably out of memory", "train.gradient_accumulation", "train:mem_mb"):
        assert (words in str(raised.value)) == killed


def crash_once(folder):
    starts = len(list(folder.glob("start-*")))
    (folder / f"start-{starts}").touch()
    if starts < 1:
        raise OSError(5, "Input/output error")


def test_a_crash_after_progress_is_retried(tmp_path):
    def starts():
        return len(list(tmp_path.glob("start-*")))

    launch(crash_once, tmp_path, resources=Resources(), logs=tmp_path / "logs", progress=starts)
    assert starts() == 2


@pytest.mark.parametrize("listed", [["3", "1"], ["GPU-8f", "GPU-3a", "1"], None])
def test_the_allocated_gpus_are_used(tmp_path, monkeypatch, listed):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if listed:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(listed))
    launch(write_gpus, tmp_path, resources=Resources(gpus=2), logs=tmp_path / "logs")
    assert (tmp_path / "gpus").read_text() == ",".join((listed or ["0", "1"])[:2])


def write_gpus(folder):
    (folder / "gpus").write_text(os.environ["CUDA_VISIBLE_DEVICES"])


def test_more_gpus_than_allocated_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    with pytest.raises(InputError, match=r"gpus: 2: .* expected 1 or fewer"):
        launch(write_gpus, tmp_path, resources=Resources(gpus=2), logs=tmp_path / "logs")
