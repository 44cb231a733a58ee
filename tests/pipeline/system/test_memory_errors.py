"""Running out of memory is explained, whether an error is raised or a process is killed."""

import signal
import subprocess
import sys

import pytest
import torch

from scoresweep.out_of_memory import is_out_of_memory
from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.system.memory_errors import describe_exit, explain_out_of_memory


@pytest.mark.parametrize(
    ("rule", "remedies"),
    [
        ("train", ["train.gradient_accumulation", "train:mem_mb"]),
        ("sample", ["sample.chunk", "sweep:mem_mb"]),
    ],
)
def test_a_killed_process_is_probably_out_of_memory(rule, remedies):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    process.kill()
    for code in (process.wait(), 137):
        message = describe_exit(rule, code)
        assert "probably out of memory" in message
        assert all(remedy in message for remedy in remedies)


def test_another_exit_code_is_named():
    message = describe_exit("train", -signal.SIGSEGV)
    assert "memory" not in message
    assert "-11" in message


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_out_of_memory_errors_are_explained(error):
    with pytest.raises(RunError, match="advice"), explain_out_of_memory(lambda: "advice"):
        raise error


def test_a_failed_allocation_on_a_cpu_is_explained():
    with (
        pytest.raises(RunError, match=r"advice.*allocate"),
        explain_out_of_memory(lambda: "advice"),
    ):
        torch.empty(2**55)
    with pytest.raises(RuntimeError, match="shape"), explain_out_of_memory(lambda: "advice"):
        torch.ones(2).reshape(3)


def test_out_of_memory_errors_are_recognised():
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"))
    assert not is_out_of_memory(ValueError("out of memory"))
