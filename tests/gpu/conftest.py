"""The GPU of the tests in this folder: a real one if there is one, otherwise a simulated one."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
import torch
from simulated_autocast import register_autocast
from simulated_gpu import SimulatedGenerator, SimulatedGPU
from waits import Waits

FUNCTIONS = {
    "is_available": True,
    "device_count": 1,
    "current_device": 0,
    "get_device_name": "simulated GPU",  # `benchmarks/on_gpu.py` knows it by this name
    "get_device_capability": (9, 0),
    "is_bf16_supported": True,
    "synchronize": None,
    "empty_cache": None,
}
"""Functions of `torch.cuda` and what they return while a GPU is simulated."""


@dataclass
class GPU:
    """What a test knows about its GPU."""

    is_real: bool
    waits: Waits = field(default_factory=Waits)
    watching: bool = False

    @contextlib.contextmanager
    def watch(self) -> Iterator[Counter[str]]:
        """Fail if the body waits for the GPU where it should not.

        Yields how often it waited, by function.
        """
        self.watching, self.waits.counts = True, Counter()
        try:
            with self.waits.on_real_gpu() if self.is_real else contextlib.nullcontext():
                yield self.waits.counts
        finally:
            self.watching = False
        self.waits.check()

    def note(self, what: str) -> None:
        """Record a wait for the simulated GPU."""
        if self.watching:
            self.waits.note(what)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[GPU]:
    """Run the test on a GPU, and name it in pytest's report."""
    if torch.cuda.is_available():
        request.node.user_properties.append(("gpu", torch.cuda.get_device_name()))
        yield GPU(is_real=True)
        return
    request.node.user_properties.append(("gpu", FUNCTIONS["get_device_name"]))
    for name, answer in FUNCTIONS.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, answer=answer, **__: answer)
    monkeypatch.setattr(torch, "Generator", SimulatedGenerator)
    register_autocast()
    simulated = GPU(is_real=False)
    mode = SimulatedGPU(simulated.note)
    monkeypatch.setattr(torch.cuda, "manual_seed_all", mode.seed)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda _="cuda": mode.random_state.clone())
    monkeypatch.setattr(torch.cuda, "set_rng_state", mode.set_random_state)
    with mode:
        yield simulated
