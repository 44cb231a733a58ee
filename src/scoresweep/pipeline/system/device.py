"""Networks and exact scores on a GPU, in the midst of code that computes on the CPU."""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.distributions import GaussianMixture
from scoresweep.networks.base import ScoreNetwork
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.process import disable_tf32
from scoresweep.score import ScoreWithDensity

__all__ = ["CPU", "check_precision", "move_network", "move_oracle", "select_device"]

CPU = torch.device("cpu")


def select_device(gpus: int) -> torch.device:
    """Return the first GPU, or the CPU for 0; raise `InputError` where there is no GPU.

    From then on GPUs compute features and scores in true float32.
    """
    disable_tf32()
    if gpus and not torch.cuda.is_available():
        raise InputError(f"gpus: {gpus}: no GPU can be used on this machine; expected 0")
    return torch.device("cuda") if gpus else CPU


def check_precision(block: str, precision: str, gpus: int) -> None:
    """Raise `InputError` where a device lacks the `precision` that `block` of the study asks for.

    All of the first `gpus` GPUs are asked, or the CPU for 0. CPUs have bf16, if need be by rounding
    float32; GPUs before the A100 that round likewise are refused: it is slower than float32.
    """
    devices: list[int] = list(range(min(gpus, torch.cuda.device_count())))
    names = {"CPU": ["no", "bf16"]} if not gpus else {_gpu(i): _precisions(i) for i in devices}
    for name, known in names.items():
        if precision not in known:
            usable = " or ".join(repr(k) for k in known if block == "train" or k != "fp16")
            raise InputError(
                f"{block}.precision: {precision!r}: {name} lacks it; expected {usable}"
            )


def _gpu(index: int) -> str:
    return f"GPU {index} ({torch.cuda.get_device_name(index)})"


def _precisions(index: int) -> list[str]:
    """Return what the GPU computes in by itself; bf16 came to NVIDIA's with capability 8."""
    native = torch.version.hip or torch.cuda.get_device_capability(index) >= (8, 0)
    return ["no", "fp16", "bf16"] if native else ["no", "fp16"]


def move_network(network: ScoreNetwork, device: torch.device) -> ScoreNetwork:
    """Move a network to `device`; it still takes points on the CPU and returns scores there."""
    network.register_forward_pre_hook(lambda _, given: tuple(part.to(device) for part in given))
    network.register_forward_hook(lambda _, __, found: found.cpu())
    return network.to(device)


def move_oracle(oracle: GaussianMixture, device: torch.device) -> ScoreWithDensity:
    """Do the same with an exact score."""
    for name in ("weights", "means", "variances", "centre"):
        setattr(oracle, name, getattr(oracle, name).to(device))
    return _OracleOn(oracle, device)


class _OracleOn:
    def __init__(self, oracle: GaussianMixture, device: torch.device) -> None:
        self.oracle, self.device = oracle, device

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.oracle(x.to(self.device), sigma.to(self.device)).cpu()

    def log_density(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.oracle.log_density(x.to(self.device), sigma.to(self.device)).cpu()
