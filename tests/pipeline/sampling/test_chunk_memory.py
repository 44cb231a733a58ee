"""A chunk that runs out of memory ends with advice that can be followed."""

from types import SimpleNamespace

import pytest
import torch

from scoresweep.networks import PlainMLP
from scoresweep.pipeline.sampling import chunk_memory
from scoresweep.pipeline.sampling.chunk_memory import chunk_memory_advice


@pytest.fixture
def job():
    options = SimpleNamespace(chunk=20, precision="no")
    return SimpleNamespace(setting=SimpleNamespace(sample=options))


@pytest.fixture
def network():
    return PlainMLP((3,), torch.tensor([2.0, 1.0]), hidden=(5,))


def test_on_a_cpu_what_to_try_is_named(job, network):
    message = chunk_memory_advice(job, network, "cpu")
    for fact in ("sample.chunk: 20", "lower sample.chunk", "sweep:mem_mb"):
        assert fact in message


def test_on_a_gpu_a_size_that_fits_is_named(job, network, monkeypatch):
    evaluated = []
    monkeypatch.setattr(
        chunk_memory,
        "fits_on_gpu",
        lambda work: evaluated.append(work.args[-1]) or len(evaluated) > 1,
    )
    assert "sample.chunk: 5 (" in chunk_memory_advice(job, network, "cuda:0")
    monkeypatch.setattr(chunk_memory, "fits_on_gpu", lambda _: False)
    assert "more memory" in chunk_memory_advice(job, network, "cuda:0")
    chunk_memory._evaluate(network, job.setting.sample, "cpu", 7)
