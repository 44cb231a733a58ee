"""Processes find each other, and each its GPU."""

from types import SimpleNamespace

import pytest
import torch
from accelerate.state import AcceleratorState

from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.training import setup
from scoresweep.pipeline.training.setup import make_accelerator

pytestmark = pytest.mark.usefixtures("fresh_process")


@pytest.fixture
def process_1(monkeypatch):
    """The second of two processes of a node."""
    ranks = {"RANK": 1, "LOCAL_RANK": 1, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    for name, value in (ranks | {"MASTER_PORT": 20000}).items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def started(monkeypatch):
    """Simulate GPUs; return how torch.distributed was started and which GPUs were selected."""
    calls = []
    answers = {"is_available": True, "device_count": 2, "get_device_name": "simulated GPU"}
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, answer=answer: answer)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: calls.append(str(device)))
    distributed = {"get_world_size": lambda *_: 2, "get_rank": lambda *_: 1}
    distributed["init_process_group"] = lambda **options: calls.append(options)
    for name, function in distributed.items():
        monkeypatch.setattr(torch.distributed, name, function)
    return calls


def test_processes_that_do_not_find_each_other_are_stopped(process_1, monkeypatch):
    monkeypatch.setattr(setup, "Accelerator", lambda **_: SimpleNamespace(num_processes=1))
    with pytest.raises(RunError, match="1 processes found each other, not 2"):
        make_accelerator("no", gpus=0)


def test_gpus_and_cpus_differ_in_the_backend_only(process_1, started):
    on_cpu = make_accelerator("no", gpus=0)
    (with_gloo,) = started
    assert (on_cpu.device.type, on_cpu.num_processes, on_cpu.process_index) == ("cpu", 2, 1)
    started.clear()
    AcceleratorState._reset_state(reset_partial_state=True)
    on_gpu = make_accelerator("no", gpus=2)
    with_nccl, selected = started
    assert (str(on_gpu.device), on_gpu.num_processes, on_gpu.process_index) == ("cuda:1", 2, 1)
    assert selected == "cuda:1"
    assert (with_gloo.pop("backend"), with_nccl.pop("backend")) == ("gloo", "nccl")
    ranks = {"rank": 1, "world_size": 2}  # NCCL's are read from the environment
    assert with_gloo == with_nccl | ranks


def test_a_process_that_sees_its_own_gpu_only_uses_it(process_1, started, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(InputError, match="the job has 2, and 1 are visible"):
        make_accelerator("no", gpus=2)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    accelerator = make_accelerator("no", gpus=2)
    assert str(accelerator.device) == "cuda:0"
    assert accelerator.local_process_index == 0  # DistributedDataParallel takes it as the GPU


def test_tasks_that_see_a_slice_each_are_refused(process_1, started, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-3a41b0c2-9d5e-5a4f-8c7e-0123456789ab")
    with pytest.raises(InputError, match=r"gpus: 2: .*MIG.* expected 1$"):
        make_accelerator("no", gpus=2)


@pytest.mark.parametrize("rank", ["0", None])
def test_a_gpu_that_is_missing_is_refused(monkeypatch, rank):
    if rank:
        monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match="gpus: 1: no GPU is available"):
        make_accelerator("no", gpus=1)
