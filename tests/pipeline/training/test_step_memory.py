"""A training step that runs out of memory ends with advice that can be followed."""

from types import SimpleNamespace

import pytest
import torch
from faults.in_process import train_run
from torch.nn.parallel import DistributedDataParallel

from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.system.job_state import JobState
from scoresweep.pipeline.training import step_memory
from scoresweep.pipeline.training.setup import make_trainer
from scoresweep.pipeline.training.step_memory import step_memory_advice
from scoresweep.pipeline.training.training_step import TrainingStep

pytestmark = pytest.mark.usefixtures("fresh_process")


def test_a_failed_allocation_on_a_cpu_names_what_to_try(make_plan, monkeypatch):
    plan = make_plan()
    monkeypatch.setattr(TrainingStep, "losses", lambda *_: torch.empty(2**55))
    with pytest.raises(RunError) as raised:
        train_run(plan)
    message = str(raised.value)
    for key in ("train.batch_size: 64", "train.gradient_accumulation", "train:mem_mb"):
        assert key in message
    state = JobState.read(plan.paths.progress(plan.runs[0].id))
    assert (state.state, state.message) == ("failed", message)


def test_on_a_gpu_a_size_that_fits_is_named(make_plan, monkeypatch):
    plan = make_plan(gradient_accumulation=2)
    step = make_trainer(plan.runs[0], plan.paths, gpus=0).training_step
    gpu = SimpleNamespace(device=torch.device("cuda"), num_processes=1)
    monkeypatch.setattr(step, "accelerator", gpu)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "H200")
    monkeypatch.setattr(step_memory, "fits_on_gpu", lambda work: work.args[-1] <= 12)
    message = step_memory_advice(step)
    for fact in ("32 samples", "H200", "8 at once", "gradient_accumulation: 8", "batch_size: 16"):
        assert fact in message
    monkeypatch.setattr(step_memory, "fits_on_gpu", lambda _: False)
    assert "smaller network" in step_memory_advice(step)


def test_trying_sizes_does_not_disturb_shared_gradients(make_plan, tmp_path):
    """A failed backward pass has marked some gradients; a second one would be an error."""
    plan = make_plan()
    step = make_trainer(plan.runs[0], plan.paths, gpus=0).training_step
    store = f"file://{tmp_path / 'store'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    try:
        model = DistributedDataParallel(step.network)
        _, losses = step.losses(model, 0, 0, 4)
        first = next(step.network.parameters())
        handle = first.register_hook(lambda _: torch.empty(2**55))
        with pytest.raises(RuntimeError, match="allocate"):
            losses.mean().backward()
        handle.remove()
        step_memory._take_gradient(step, 4)
    finally:
        torch.distributed.destroy_process_group()
