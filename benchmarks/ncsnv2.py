"""The networks whose steps are timed, here and in the public program.

The comparison is with the authors' program (ermongroup/ncsnv2) if a checkout of it is given, and
otherwise with a plain loop of our network: float32, NCHW, and a number printed in every step, which
synchronises the device.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from scoresweep.networks import NCSNpp, NCSNv2
from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.noise import geometric

SIGMAS = geometric(50, 0.01, 232)
"""NCSNv2's noise ladder for CIFAR-10."""


@dataclass(frozen=True)
class Case:
    """A network and the batch that it is trained on."""

    channels: int
    shape: tuple[int, int, int]
    batch: int
    network: str = "ncsnv2"

    @property
    def name(self) -> str:
        """Its name in tables."""
        return f"{self.channels} ch {self.shape[1]}×{self.shape[2]}"


CASES = (Case(128, (3, 32, 32), 16), Case(64, (1, 28, 28), 32))
QUICK = (Case(4, (1, 8, 8), 4),)
NETWORKS: dict[str, type[ScoreNetwork]] = {"ncsnv2": NCSNv2, "ncsnpp": NCSNpp}


def own_network(case: Case, device: torch.device) -> ScoreNetwork:
    """Build our network in channels-last format, as `build_network` does for a run."""
    return plain_network(case, device).to(memory_format=torch.channels_last)


def plain_network(case: Case, device: torch.device) -> ScoreNetwork:
    """Build our network in NCHW."""
    return NETWORKS[case.network](case.shape, SIGMAS, channels=case.channels).to(device)


def mixed(device: torch.device, bf16: bool) -> AbstractContextManager[Any]:
    """Return the context of mixed precision, or a null one."""
    return torch.autocast(device.type, torch.bfloat16, enabled=bf16)


def peer_config(case: Case, device: torch.device) -> SimpleNamespace:
    """Return the options of the public network."""
    model = {"normalization": "InstanceNorm++", "nonlinearity": "elu", "sigma_dist": "geometric"}
    numbers = {"ngf": case.channels, "num_classes": 232, "sigma_begin": 50, "sigma_end": 0.01}
    data = {"channels": case.shape[0], "image_size": case.shape[1]}
    return SimpleNamespace(
        data=SimpleNamespace(**data, logit_transform=False, rescaled=False),
        model=SimpleNamespace(**model, **numbers),
        device=device,
    )


def peer_network(folder: Path, case: Case, device: torch.device) -> nn.Module:
    """Build the public network from a checkout."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    from models.ncsnv2 import NCSNv2 as PeerNCSNv2

    return PeerNCSNv2(peer_config(case, device)).to(device)


def with_sigma(network: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """Return our network with the index of a level as input, like the public one."""
    return lambda x, labels: network(x, SIGMAS.to(x)[labels])
