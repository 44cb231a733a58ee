"""Batches that do not fit into the memory that is pretended to be there end with one that does."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch
import yaml
from tiny_study import TINY, give_data
from torch.nn.parallel import DistributedDataParallel

from scoresweep.networks import PlainMLP
from scoresweep.out_of_memory import is_out_of_memory
from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.rules.train import train_here
from scoresweep.pipeline.sampling import chunks
from scoresweep.pipeline.study import parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml
from scoresweep.pipeline.system.job_state import JobState
from scoresweep.pipeline.training import memory_advice
from scoresweep.pipeline.training.setup import make_trainer
from scoresweep.pipeline.training.weights import build_network, save_network

WITH_LITTLE_MEMORY = """
import re, sys
from pathlib import Path
import yaml
from scoresweep.pipeline.errors import ScoresweepError
from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.sampling import chunks
from scoresweep.pipeline.system import memory_trial
from scoresweep.pipeline.training import memory_advice
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.rules.train import train_here
from scoresweep.pipeline.system.process import set_up_process
from scoresweep.pipeline.study import parse_study, plan_study

def work(what, content, root, processes):
    plan = plan_study(parse_study(content, "study.yaml"), root)
    if what == "train":
        train_here(plan.runs[0], plan.paths, Resources())
    else:
        sample(plan, plan.runs[0].id, plan.settings[0].id, processes)

set_up_process(1)
what, mib, root, processes = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4])
for module in (chunks, memory_advice, memory_trial):
    module.memory_available = lambda: mib * 2**20
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
    arguments = [what, str(mib), str(plan.paths.root), str(processes)]
    command = [sys.executable, "-c", WITH_LITTLE_MEMORY, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_batch_larger_than_memory_names_parts_that_fit_and_they_do(plan):
    """A step of 1,024 keeps about 800 MiB; a process with torch takes 300 as it is."""
    short = plan({"network": {"name": "mlp", "width": 128, "blocks": 256}, "batch_size": 1024})
    ended = with_little_memory("train", 700, short)
    assert ended.returncode == 2, ended.stderr
    found = re.search(
        r"train.batch_size: 1024: a step takes 1024 samples at once .* (\d+) at once fit, as was "
        r"tried: train.gradient_accumulation: (\d+) .* train.batch_size: (\d+) takes ",
        ended.stdout,
    )
    fitting, parts, batch = map(int, found.groups())
    assert fitting in (128, 256, 512)
    assert (parts, batch) == (1024 // fitting, fitting)
    told = JobState.read(short.paths.progress(short.runs[0].id))
    assert told.state == "failed"
    assert ended.stdout == f"{told.message}\nmended\n"


def write_weights(plan):
    run = plan.runs[0]
    network = build_network(run.train.network, (1, 8, 8), torch.logspace(0.9, -1, 5))
    plan.paths.run(run.id).mkdir(parents=True, exist_ok=True)
    save_network(plan.paths.weights(run.id), network, run.train.network)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_chunk_larger_than_memory_names_one_that_fits_and_it_does(plan, processes):
    """The hidden layers of 16,000 samples take 256 MB each; two processes share the memory."""
    train = {"network": {"name": "plain_mlp", "hidden": [4000, 16, 4000]}}
    short = plan(train, {"chunk": 16000, "count": 16001})
    write_weights(short)
    ended = with_little_memory("sample", 600 * processes, short, processes)
    assert ended.returncode == 2, ended.stderr
    fitting = int(re.search(r"(\d+) at once fit, as was tried: sample.chunk", ended.stdout)[1])
    assert fitting in (2000, 4000, 8000)
    shared = "2 processes share it; fewer draw the same samples" in ended.stdout
    assert shared == (processes == 2)
    assert ended.stdout.startswith("sample.chunk: 16000: run")
    assert ended.stdout.endswith("mended\n")


def test_nothing_is_tried_where_much_more_is_available_than_might_be_taken(
    plan, monkeypatch, fresh_process
):
    """A try takes seconds: the default study has none."""
    monkeypatch.setattr(memory_advice, "fits", None)
    monkeypatch.setattr(chunks, "fits", None)
    small = plan()
    train_here(small.runs[0], small.paths, Resources())
    sample(small, small.runs[0].id, small.settings[0].id)
    assert small.paths.samples_manifest(small.runs[0].id, small.settings[0].id).exists()


def test_where_not_even_one_fits_that_is_told(plan, monkeypatch, fresh_process):
    """No process is started for a size whose least need is more than there is."""
    for module in (memory_advice, chunks):
        monkeypatch.setattr(module, "memory_available", lambda: 2**10)
        monkeypatch.setattr(module, "fits", None)
    tight = plan({"batch_size": 8})
    with pytest.raises(InputError, match=r"batch_size: 8: .* No size that was tried fits"):
        train_here(tight.runs[0], tight.paths, Resources())
    assert not tight.paths.checkpoints(tight.runs[0].id).exists()
    write_weights(tight)
    with pytest.raises(InputError, match=r"sample.chunk: .* No size that was tried fits"):
        sample(tight, tight.runs[0].id, tight.settings[0].id)


def test_a_compiled_network_is_not_judged_by_what_it_takes_as_it_is(
    plan, monkeypatch, fresh_process
):
    monkeypatch.setattr(memory_advice, "memory_available", lambda: 0)
    run = plan({"compile": True})
    assert memory_advice.check_training_memory(make_trainer(run.runs[0], run.paths, 0)) is None


def test_bytes_of_a_sample_are_what_its_layers_keep():
    """The input of each linear layer, and softplus's: weights count for nothing."""
    network = PlainMLP((3,), torch.ones(1), hidden=(5,), conditioning="none").double()
    x = torch.zeros(1, 3, dtype=torch.float64)
    assert memory_advice.bytes_of_a_sample(network, x, x[:, 0]) == 8 * (3 + 5 + 5)


def test_bytes_of_the_largest_layer_are_what_goes_in_and_comes_out():
    """Of 7 samples: a linear layer from 3 to 50, and one from 50 to 2."""
    network = torch.nn.Sequential(torch.nn.Linear(3, 50), torch.nn.Linear(50, 2)).double()
    x = torch.zeros(7, 3, dtype=torch.float64)
    assert memory_advice.bytes_of_largest_layer(network, lambda: network(x)) == 7 * 8 * (3 + 50)


def test_the_largest_half_that_fits_is_found():
    tried = []
    assert memory_advice.largest_fitting_size(lambda size: tried.append(size) or size <= 6, 40) == 5
    assert tried == [25, 12, 6]
    assert memory_advice.largest_fitting_size(lambda size: False, 40) == 0


def test_on_a_gpu_work_is_done_until_its_memory_does_not_suffice():
    """Its torch raises an error, as it does here where far too much is asked for."""
    done = []
    assert memory_advice.suffices(lambda: done.append(1))
    assert len(done) == memory_advice.TRIES
    assert not memory_advice.suffices(lambda: torch.empty(2**55))
    with pytest.raises(RuntimeError, match="shape"):
        memory_advice.suffices(lambda: torch.ones(2).reshape(3))


@pytest.mark.parametrize("objective", ["dsm", "ssm", "ssm_vr", "ism"])
def test_the_step_that_is_tried_out_takes_the_gradient_of_the_run(plan, fresh_process, objective):
    """Of the same parameters, by each objective."""
    run = plan({"objective": {"name": objective}})
    trainer = make_trainer(run.runs[0], run.paths, 0)
    ladder = trainer.sigmas.tolist()
    tried = memory_advice._first_step(run.runs[0].train, trainer.loader.shape, ladder, 1, 1, 3)
    _, losses = trainer.losses(trainer.network, 0, 3)
    losses.mean().backward()
    moved, wanted = (
        {name for name, one in network.named_parameters() if one.grad is not None}
        for network in (tried, trainer.network)
    )
    assert moved == wanted
    assert moved


def test_trying_sizes_disturbs_no_gradient_that_processes_share(plan, fresh_process, tmp_path):
    """A backward pass that broke off has marked some gradients; a second one would be an error."""
    run = plan()
    trainer = make_trainer(run.runs[0], run.paths, 0)
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
        memory_advice._step(trainer, 4)
    finally:
        torch.distributed.destroy_process_group()


def test_only_errors_of_memory_are_told_as_such():
    named = r"advice The first that failed: .*allocate"
    with (
        pytest.raises(RunError, match=named),
        memory_advice.explain_out_of_memory(lambda: "advice"),
    ):
        torch.empty(2**55)
    with (
        pytest.raises(RuntimeError, match="shape"),
        memory_advice.explain_out_of_memory(lambda: "advice"),
    ):
        torch.ones(2).reshape(3)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"))
    assert not is_out_of_memory(ValueError("out of memory"))
