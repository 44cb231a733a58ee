from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from scoresweep.adamw import AdamW

PROGRAM = """
import sys
import torch
from accelerate import Accelerator
from scoresweep.adamw import AdamW

weights = torch.nn.Linear(2, 2)
network, optimizer = Accelerator(cpu=True).prepare(weights, AdamW(weights.parameters(), fused=True))
network(torch.ones(1, 2)).sum().backward()
optimizer.step()
optimizer.zero_grad(set_to_none=True)
assert weights.weight.grad is None
print("torch._dynamo" in sys.modules)
"""


@pytest.mark.parametrize("fused", [False, True])
def test_takes_the_steps_of_torch(fused: bool) -> None:
    start = torch.linspace(-1, 2, 6)
    ours, theirs = (torch.nn.Parameter(start.clone()) for _ in range(2))
    optimizers = [
        kind([x], lr=0.1, betas=(0.8, 0.9), weight_decay=0.2, fused=fused)
        for kind, x in ((AdamW, ours), (torch.optim.AdamW, theirs))
    ]
    for _ in range(5):
        for x, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            x.square().sum().backward()
            optimizer.step()
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, start)
    assert optimizers[0].state_dict().keys() == optimizers[1].state_dict().keys()


def test_does_not_import_the_compiler() -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"
