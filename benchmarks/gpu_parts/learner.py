"""A training of NCSNv2 from the library alone, whose numbers are functions of (seed, step)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from ncsnv2 import SIGMAS, Case, mixed, own_network
from torch import Tensor

from scoresweep.adamw import AdamW
from scoresweep.objectives import dsm
from scoresweep.pipeline.training.step_noise import StepNoise
from scoresweep.seeds import derive_seed

__all__ = ["Learner", "largest_difference"]

DECAY = 0.999


class Learner:
    """The network, its moving average and its optimiser.

    Args:
        case: the network and its batch.
        images: bytes (N, C, H, W).
        device: where it trains.
        bf16: whether in mixed precision.
        numbers: where random numbers are drawn; the numbers of CPU and GPU differ.
    """

    def __init__(
        self,
        case: Case,
        images: Tensor,
        device: torch.device,
        bf16: bool,
        numbers: torch.device | None = None,
    ) -> None:
        self.case, self.device, self.bf16 = case, device, bf16
        self.numbers = numbers or device
        self.images = images.to(device)
        torch.manual_seed(derive_seed(0, "weights"))
        self.network = own_network(case, device)
        self.average = copy.deepcopy(self.network).requires_grad_(False).eval()
        self.optimizer = AdamW(self.network.parameters(), 1e-4, weight_decay=0.0, fused=True)
        self.sigmas = SIGMAS.float().to(device)
        self.noise = StepNoise(0, case.shape, len(SIGMAS), self.numbers)
        self.order = torch.Generator(device=self.numbers)

    def step(self, number: int) -> Tensor:
        """Take step `number`, from 0; return its loss, on the device."""
        generator = self.order.manual_seed(derive_seed(0, "batch", number))
        size = (self.case.batch,)
        chosen = torch.randint(len(self.images), size, generator=generator, device=self.numbers)
        x = self.images[chosen.to(self.device)].to(torch.float32) / 255
        x = x.contiguous(memory_format=torch.channels_last)
        levels, z, _ = self.noise(number, 0, self.case.batch)
        sigma = self.sigmas[levels.to(self.device)]
        with mixed(self.device, self.bf16):
            loss = dsm(self.network, x, sigma, z.to(self.device)).mean()
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        move = 1 - min(DECAY, (1 + number) / (10 + number))
        with torch.no_grad():
            weights = list(self.network.parameters())
            torch._foreach_lerp_(list(self.average.parameters()), weights, move)
        return loss.detach()

    def state(self) -> dict[str, Any]:
        """Return a copy of everything that a checkpoint holds."""
        parts = (self.network, self.average, self.optimizer)
        network, average, optimizer = (copy.deepcopy(part.state_dict()) for part in parts)
        return {"network": network, "average": average, "optimizer": optimizer}

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        for name, part in state.items():
            getattr(self, name).load_state_dict(part)


def largest_difference(first: Any, second: Any) -> float:
    """Return the largest difference between the tensors of two states; 0 if no bit differs."""
    if isinstance(first, Tensor):
        equal = torch.equal(first, second)
        difference = float((first.double() - second.double()).abs().max()) if not equal else 0.0
        return difference if difference == difference else float("inf")
    if isinstance(first, dict):
        return max((largest_difference(first[name], second[name]) for name in first), default=0.0)
    if isinstance(first, (list, tuple)):
        pairs = zip(first, second, strict=True)
        return max((largest_difference(a, b) for a, b in pairs), default=0.0)
    return 0.0 if first == second else float("inf")
