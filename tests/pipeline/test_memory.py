"""Batches that do not fit into memory end with a size that does, by a real limit."""

from __future__ import annotations

import re
import subprocess
import sys

import psutil
import pytest
import torch
import yaml
from tiny_study import TINY, give_data
from torch.nn.parallel import DistributedDataParallel

from scoresweep.errors import InputError, RunError
from scoresweep.jobstate import JobState
from scoresweep.launch import Resources
from scoresweep.memory import is_out_of_memory
from scoresweep.networks import PlainMLP
from scoresweep.pipeline import memory
from scoresweep.pipeline import sample as sampling
from scoresweep.pipeline.sample import sample
from scoresweep.pipeline.train import train_here
from scoresweep.study import parse_study, plan_study
from scoresweep.study.load import parse_yaml
from scoresweep.training.session import make_trainer
from scoresweep.training.weights import build_network, save_network

WITH_LITTLE_MEMORY = """
import re, sys
from pathlib import Path
import yaml
from scoresweep.errors import ScoresweepError
from scoresweep.launch import Resources
from scoresweep.pipeline import machine, memory
from scoresweep.pipeline.sample import sample
from scoresweep.pipeline.train import train_here
from scoresweep.process import set_up_process
from scoresweep.study import parse_study, plan_study

def work(what, content, root, processes):
    plan = plan_study(parse_study(content, "study.yaml"), root)
    if what == "train":
        train_here(plan.runs[0], plan.layout, Resources())
    else:
        sample(plan, plan.runs[0].id, plan.settings[0].id, processes)

set_up_process(1)
what, mib, root, processes = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
machine.memory_available = memory.memory_available = lambda: mib * 2**20
content = yaml.safe_load((root / "study.yaml").read_text())
try:
    work(what, content, root, processes)
except ScoresweepError as error:
    print(error)
    for block, key in (("train", "gradient_accumulation"), ("sample", "chunk")):
        fitting = re.search(rf"as was tried: {block}\\.{key}: (\\d+)", str(error))
        if fitting:
            content[block][key] = int(fitting[1])
            work(what, content, root, processes)
            print("mended")
    sys.exit(error.exit_code)
"""


@pytest.fixture
def plan(tmp_path, staged):
    """Make a plan on the digits; keywords replace parts of `train` and of `sample`."""
    give_data(tmp_path, staged)

    def make(train=(), sample=()):
        content = parse_yaml(TINY, "tiny.yaml")
        content["train"] |= {"grid": {}, "steps": 2} | dict(train)
        content["sample"] |= {"grid": {}} | dict(sample)
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
        return plan_study(parse_study(content, "study.yaml"), tmp_path)

    return make


def with_little_memory(what, mib, plan, processes=1):
    """Train or sample where so much memory is available; where told how, a second time."""
    arguments = [what, str(mib), str(plan.layout.root), str(processes)]
    command = [sys.executable, "-c", WITH_LITTLE_MEMORY, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("network", "mib"),
    [({"name": "mlp", "width": 128, "blocks": 128}, 300), ({"name": "ncsnv2", "channels": 8}, 120)],
    ids=str,
)
def test_a_batch_larger_than_memory_names_parts_that_fit_and_they_do(plan, network, mib):
    """A step of 1,024 keeps about 400 MiB; convolutions fail in words of their own."""
    short = plan({"network": network, "batch_size": 1024})
    ended = with_little_memory("train", mib, short)
    assert ended.returncode == 1, ended.stderr
    assert "train.batch_size: 1024: a step takes 1024 samples at once" in ended.stdout
    found = re.search(
        r"(\d+) at once fit, as was tried: train.gradient_accumulation: (\d+) .*"
        r"train.batch_size: (\d+) takes .* The first that failed: .*(allocate|primitive)",
        ended.stdout,
    )
    fitting, parts, batch = map(int, found.groups()[:3])
    assert fitting in (64, 128, 256, 512)
    assert (parts, batch) == (1024 // fitting, fitting)
    told = JobState.read(short.layout.progress(short.runs[0].id))
    assert told.state == "failed"
    assert ended.stdout == f"{told.message}\nmended\n"


def write_weights(plan):
    run = plan.runs[0]
    network = build_network(run.train.network, (1, 8, 8), torch.logspace(0.9, -1, 5))
    plan.layout.run(run.id).mkdir(parents=True)
    save_network(plan.layout.weights(run.id), network, run.train.network)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_chunk_larger_than_memory_names_one_that_fits(plan, processes):
    """The hidden layer of 4,000 samples takes 64 MB, and there are several.

    Two processes share the memory; which sizes they try, they ask of the machine.
    """
    train = {"network": {"name": "plain_mlp", "hidden": [4000, 16, 4000]}}
    short = plan(train, {"chunk": 4000, "count": 8000})
    write_weights(short)
    ended = with_little_memory("sample", 120 * processes, short, processes)
    assert ended.returncode == 1, ended.stderr
    assert "sample.chunk: 4000: run" in ended.stdout
    fitting = int(re.search(r"(\d+) at once fit, as was tried: sample.chunk", ended.stdout)[1])
    assert fitting in (250, 500, 1000, 2000)
    assert processes == 2 or ended.stdout.endswith("mended\n")


def test_a_chunk_that_no_memory_holds_is_refused_before_any_is_drawn(plan, monkeypatch):
    """Of each sample 4 copies of 64 numbers, and 4,000 before and after softplus."""
    many = {"chunk": 4000, "count": 8000}
    large = plan({"network": {"name": "plain_mlp", "hidden": [4000, 16]}}, many)
    write_weights(large)
    names = large.runs[0].id, large.settings[0].id
    each, room = 4 * (4 * 64 + 2 * 4000), 2**26
    message = rf"^sample.chunk: 4000: .* take {4000 * each / 2**30:.3g} GiB; .*than {room // each} "
    monkeypatch.setattr(sampling, "memory_limit", lambda: 2 * room)
    with pytest.raises(InputError, match=message):
        sample(large, *names, processes=2)
    sample(large, *names)


def test_steps_that_no_memory_holds_are_refused_before_the_first(plan, monkeypatch, fresh_process):
    """The machine is left as it is: only what it says of its memory is less."""
    run = plan({"batch_size": 1024})
    monkeypatch.setattr(memory, "memory_limit", lambda: 2**18)
    with pytest.raises(InputError, match=r"needs more than .* GiB; this machine .* by that est"):
        train_here(run.runs[0], run.layout, Resources())
    assert not run.layout.checkpoints(run.runs[0].id).exists()


@pytest.mark.parametrize("train", [{"batch_size": 1}, {"compile": True}], ids=str)
def test_steps_whose_least_need_is_not_known_are_not_refused(
    train, plan, monkeypatch, fresh_process
):
    run = plan(train)
    monkeypatch.setattr(memory, "memory_limit", lambda: 0)
    memory.check_training_memory(make_trainer(run.runs[0], run.layout, 0))


def test_bytes_of_a_sample_are_what_its_layers_keep():
    """The input of each linear layer, and softplus's: weights count for nothing."""
    network = PlainMLP((3,), torch.ones(1), hidden=(5,), conditioning="none").double()
    x = torch.zeros(1, 3, dtype=torch.float64)
    assert memory.bytes_of_a_sample(network, x, x[:, 0]) == 8 * (3 + 5 + 5)


def test_bytes_of_the_largest_layer_are_what_goes_in_and_comes_out():
    """Of 7 samples: a linear layer from 3 to 50, and one from 50 to 2."""
    network = torch.nn.Sequential(torch.nn.Linear(3, 50), torch.nn.Linear(50, 2)).double()
    x = torch.zeros(7, 3, dtype=torch.float64)
    assert memory.bytes_of_largest_layer(network, lambda: network(x)) == 7 * 8 * (3 + 50)


def test_sizes_that_a_cpu_has_no_room_for_are_not_tried():
    tried = []
    free = psutil.virtual_memory().available
    assert memory.size_that_fits(tried.append, 64, lambda: free // 20, torch.device("cpu"), 1) == 4
    assert tried == 3 * [5]


def test_memory_that_is_kept_counts_as_free():
    """Of a machine that has 600 MiB left, a process that has freed 512 takes all but 88."""
    code = """
from types import SimpleNamespace
import psutil, torch
from scoresweep.pipeline.memory import size_that_fits
from scoresweep.process import keep_freed_memory
keep_freed_memory()
MIB, resident = 2**20, psutil.Process().memory_info
room = resident().rss + 600 * MIB
psutil.virtual_memory = lambda: SimpleNamespace(available=room - resident().rss)
torch.ones(512 * MIB, dtype=torch.uint8)
print(size_that_fits(lambda size: None, 4, lambda: 60 * MIB, torch.device("cpu"), 1))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2"]


def test_sizes_are_tried_where_memory_does_not_suffice_to_estimate_them():
    """On a GPU nothing is estimated: it would take memory that was wanting a moment ago."""

    def short():
        torch.empty(2**55)

    def step(size):
        if size > 5:
            short()

    for device in ("cpu", "cuda"):
        assert memory.size_that_fits(step, 16, short, torch.device(device), 1) == 4


def test_trying_sizes_disturbs_no_gradient_that_processes_share(plan, fresh_process, tmp_path):
    """A backward pass that broke off has marked some gradients; a second one would be an error."""
    run = plan()
    trainer = make_trainer(run.runs[0], run.layout, 0)
    meet = f"file://{tmp_path / 'meet'}"
    torch.distributed.init_process_group("gloo", init_method=meet, rank=0, world_size=1)
    try:
        shared = DistributedDataParallel(trainer.network)
        _, losses = trainer.losses(shared, 0, 4)
        first = next(trainer.network.parameters())
        handle = first.register_hook(lambda _: torch.empty(2**55))
        with pytest.raises(RuntimeError, match="allocate"):
            losses.mean().backward()
        handle.remove()
        memory._step(trainer, 4)
    finally:
        torch.distributed.destroy_process_group()


def test_only_errors_of_memory_are_told_as_such():
    named = r"advice The first that failed: .*allocate"
    with pytest.raises(RunError, match=named), memory.told_of_memory(lambda: "advice"):
        torch.empty(2**55)
    with pytest.raises(RuntimeError, match="shape"), memory.told_of_memory(lambda: "advice"):
        torch.ones(2).reshape(3)
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"))
    assert not is_out_of_memory(ValueError("out of memory"))
