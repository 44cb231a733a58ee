"""Every network, objective and option of training takes its steps on the GPU."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from faults.in_process import crash_at, train_run
from faults.run_comparison import assert_same_run

from scoresweep.noise import geometric
from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.data import dataset_store
from scoresweep.pipeline.data.dataset_store import write_store
from scoresweep.pipeline.data.memory_loader import InMemoryLoader
from scoresweep.pipeline.data.shard_loader import open_loader
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.study.models import Train
from scoresweep.pipeline.training.checkpoint import (
    checkpoint_path,
    load_checkpoint,
    optimizer_tensors,
)
from scoresweep.pipeline.training.setup import make_accelerator
from scoresweep.pipeline.training.training_step import TrainingStep

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("fresh_process")]

ON_GPU = Resources(gpus=1)
STEPS = 2
NCSNPP = {"name": "ncsnpp", "channels": 8, "multipliers": [1, 2], "blocks": 1}
NETWORKS = {
    "mlp": ({"name": "mlp", "width": 16, "blocks": 1}, 8),
    "plain_mlp": ({"name": "plain_mlp", "hidden": [8]}, 8),
    "ncsn": ({"name": "ncsn", "channels": 8}, 8),
    "ncsnv2": ({"name": "ncsnv2", "channels": 8}, 8),
    "ncsnv2_deeper": ({"name": "ncsnv2_deeper", "channels": 8}, 16),
    "ncsnv2_deepest": ({"name": "ncsnv2_deepest", "channels": 8}, 16),
    "ncsnpp": (NCSNPP | {"attention": [8], "dropout": 0.1}, 8),
    "ncsnpp of skips": (
        NCSNPP
        | {"embedding": "positional", "progressive_input": "input_skip"}
        | {"progressive_output": "output_skip", "attention": []},
        8,
    ),
    "unet": ({"name": "unet", "channels": 8, "multipliers": [1, 2], "attention": [8]}, 8),
}
OPTIONS = {
    "dsm with control variate": {"objective": {"name": "dsm", "control_variate": True}},
    "ism": {"objective": {"name": "ism"}},
    "ssm": {"objective": {"name": "ssm", "projections": 2, "distribution": "normal"}},
    "ssm_vr": {"objective": {"name": "ssm_vr", "projections": 2}},
    "log_uniform": {"noise_sampling": {"name": "log_uniform"}},
    "log_normal": {"noise_sampling": {"name": "log_normal", "mean": -1.0, "std": 1.0}},
    "parts of a batch": {"gradient_accumulation": 2, "gradient_clip": 0.1},
    "two averages": {"ema": [0.9, 0.99], "flip": True},
    "bf16": {"precision": "bf16"},
    "ism in bf16": {"objective": {"name": "ism"}, "precision": "bf16"},
    "ssm in bf16": {"objective": {"name": "ssm"}, "precision": "bf16"},
    "fp16": {"precision": "fp16"},
}


def images(count, side):
    values = np.random.default_rng(0).integers(0, 256, (count, side, side, 1), dtype=np.uint8)
    return Split(values, pixel_range=(0.0, 255.0))


def make_step(gpus, network, side, store=None, **options):
    """Make the first step on images in memory, or read block by block from `store`."""
    train = Train.model_validate(
        {"network": network, "batch_size": 4, "steps": STEPS, "log": {"scalars": STEPS}}
        | {"noise": {"name": "geometric", "sigma_max": 2.0, "sigma_min": 0.1, "levels": 5}}
        | options
    )
    accelerator = make_accelerator(train.precision, gpus)
    given = train.batch_size, 0, accelerator.device, train.flip
    loader = InMemoryLoader(images(12, side), *given)
    if store is not None:
        loader = open_loader(store, "train", *given, memory_limit=1)
    step = TrainingStep(train, loader, geometric(2.0, 0.1, 5), accelerator)
    step.prepare(0)
    return step


def weights(step):
    networks = [step.network, *step.averages.values()]
    return [p.detach().cpu() for network in networks for p in network.parameters()]


def check_steps(gpu, network, side, **options):
    """Take steps without waiting for the GPU; return the weights and their averages."""
    step = make_step(1, network, side, **options)
    before = weights(step)
    step.loader.batch(0)  # copies the order of the first epoch
    with gpu.watch() as waits:
        norms = [step.update(i) for i in range(STEPS)]
    assert waits == {}
    assert {p.device.type for p in step.network.parameters()} == {"cuda"}
    assert norms[-1].device.type == "cuda"
    after = weights(step)
    assert all(bool(torch.isfinite(p).all()) for p in after)
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    return after


def are_of_float32(found, **options):
    """Return whether the weights `found` are those of the CPU in float32."""
    AcceleratorState._reset_state(reset_partial_state=True)
    step = make_step(0, *NETWORKS["plain_mlp"], **options | {"precision": "no"})
    for i in range(STEPS):
        step.update(i)
    return all(torch.equal(a, b) for a, b in zip(found, weights(step), strict=True))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_trains_on_a_gpu(gpu, name):
    check_steps(gpu, *NETWORKS[name], precision="bf16")


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_of_training_works_on_a_gpu(gpu, name):
    found = check_steps(gpu, *NETWORKS["plain_mlp"], **OPTIONS[name])
    if not gpu.is_real:
        assert are_of_float32(found, **OPTIONS[name]) == ("precision" not in OPTIONS[name])


def test_batches_read_block_by_block_go_to_the_gpu_without_waiting(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_store, "SHARD", 3)  # a batch takes samples of two shards
    store = tmp_path / "images.zarr"
    write_store(store, {"train": images(12, 8)}, {})
    options = {"store": store, "flip": True}
    found = check_steps(gpu, *NETWORKS["plain_mlp"], **options)
    if not gpu.is_real:
        assert are_of_float32(found, **options)


RUN = {"steps": 8, "checkpoint": {"steps": 4}, "ema": [0.9, 0.99], "batch_size": 32}
RUN |= {"log": {"scalars": 4, "images": 8, "image_count": 4}, "grid": {}}


def test_a_run_waits_as_often_however_many_steps_it_has(gpu, make_plan):
    counts = []
    for factor in (1, 2):
        log = {"scalars": 4 * factor, "images": 8 * factor, "image_count": 4}
        more = {"steps": 8 * factor, "checkpoint": {"steps": 4 * factor}, "log": log}
        plan = make_plan(str(factor), **RUN | more)
        with gpu.watch() as waits:
            train_run(plan, ON_GPU)
        counts.append(waits)
    assert counts[0] == counts[1]


def test_a_crashed_run_resumes_on_a_gpu_to_the_same_weights(gpu, make_plan, overflow):
    """In fp16, with steps that overflow before and after the checkpoint."""
    overflow.update({2, 5})
    whole, broken = (make_plan(name, **RUN, precision="fp16") for name in ("whole", "broken"))
    undisturbed = train_run(whole, ON_GPU)
    folder = crash_at(broken, 6, ON_GPU)
    saved = load_checkpoint(checkpoint_path(folder, 4)).values["scaler"]
    assert_same_run(train_run(broken, ON_GPU), undisturbed)
    last = load_checkpoint(checkpoint_path(folder, 8)).values["scaler"]
    assert last["scale"] < saved["scale"] < 2.0**16


@pytest.fixture
def overflow(monkeypatch):
    """Steps in which a gradient is infinite."""
    steps, update = set[int](), TrainingStep.update

    def infinite(self, number):
        last = list(self.network.parameters())[-1]
        hook = last.register_hook(lambda g: g * math.inf) if number in steps else None
        norm = update(self, number)
        if hook:
            hook.remove()
        return norm

    monkeypatch.setattr(TrainingStep, "update", infinite)
    return steps


@pytest.mark.parametrize("more", [{}, {"gradient_clip": 1.0, "gradient_accumulation": 2}])
def test_a_step_that_overflows_changes_nothing_but_the_scale(gpu, overflow, more):
    overflow.add(1)
    rates = {"optimizer": {"learning_rate": 0.01, "warmup": 4}}
    options = {"precision": "fp16", "ema": [0.9, 0.99], "steps": 4} | rates | more
    step = make_step(1, *NETWORKS["plain_mlp"], **options)
    scaler = step.accelerator.scaler
    scaler.load_state_dict(scaler.state_dict() | {"scale": 2.0**8})  # too small to overflow
    step.update(0)
    before = state(step)
    step.update(1)
    assert [
        name for name, value in state(step).items() if not torch.equal(value, before[name])
    ] == []
    assert scaler.get_scale() == 2.0**7
    assert step.optimizer.param_groups[0]["lr"] == pytest.approx(0.005)  # as if it were taken
    step.update(2)
    assert step.optimizer.param_groups[0]["lr"] == pytest.approx(0.0075)
    assert [name for name, value in state(step).items() if torch.equal(value, before[name])] == []


def state(step):
    """Return the weights, their averages and the state of the optimiser, by name."""
    tensors = optimizer_tensors(step.network, step.optimizer)
    for kept in (step.network, *step.averages.values()):
        tensors |= {f"{id(kept)} {name}": p for name, p in kept.named_parameters()}
    return {name: value.detach().cpu().clone() for name, value in tensors.items()}
