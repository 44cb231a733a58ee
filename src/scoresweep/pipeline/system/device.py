"""Choose a device, and run networks and exact scores on it from CPU code."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from scoresweep.distributions import GaussianMixture
from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.process import disable_tf32
from scoresweep.pipeline.system.visible_gpus import VARIABLE, check_slices
from scoresweep.score import ScoreWithDensity

__all__ = [
    "CPU",
    "check_gpus",
    "check_precision",
    "gpu_of_process",
    "move_exact_score",
    "move_network",
    "process_group_backend",
    "select_device",
]

CPU = torch.device("cpu")


def select_device(gpus: int) -> torch.device:
    """Return the first GPU, or the CPU if `gpus` is 0.

    Also disables TF32, so that GPUs compute features and scores in full float32.

    Raises:
        InputError: if there is no GPU.
    """
    disable_tf32()
    check_gpus(gpus)
    return torch.device("cuda") if gpus else CPU


def check_gpus(gpus: int) -> None:
    """Check that this process can use `gpus` GPUs.

    Raises:
        InputError: if there are fewer.
    """
    available = torch.cuda.device_count() if gpus else 0
    if gpus and not available:
        raise InputError(f"gpus: {gpus}: no GPU is available{_reason()}; expected 0")
    if gpus > available:
        raise InputError(
            f"gpus: {gpus}: expected {available} or fewer, the GPUs of this machine{_reason()}"
        )
    check_slices(gpus)


def _reason() -> str:
    """Return why PyTorch may see fewer GPUs than the machine has, or ""."""
    if torch.backends.mps.is_available():
        return ": Apple's GPU (mps) is not supported, because it does not compute in float64"
    if torch.version.cuda is None and torch.version.hip is None:
        return f": PyTorch {torch.__version__} is built without CUDA"
    if VARIABLE in os.environ:
        return f" ({VARIABLE}={os.environ[VARIABLE]!r})"
    return ""


def gpu_of_process(local_rank: int, gpus: int, visible: int, has_own: bool) -> int:
    """Return the index, among the `visible` GPUs, of the GPU of a process of a training.

    `local_rank` counts the processes of a node from 0, `gpus` is the number of GPUs of the job on
    the node. `has_own` is whether a process may see its own GPU only, as if SLURM binds tasks to
    GPUs.

    Raises:
        InputError: if there are more processes than GPUs.
    """
    if has_own and visible == 1:
        return 0
    if local_rank >= min(gpus, visible):
        raise InputError(
            f"process {local_rank + 1} of a node has no GPU of its own: the job has {gpus}, and "
            f"{visible} are visible{_reason()}; expected one process per GPU"
        )
    return local_rank


def process_group_backend(gpus: int) -> str:
    """Return the backend of torch.distributed: NCCL between GPUs, gloo between CPUs."""
    return "nccl" if gpus else "gloo"


def check_precision(block: str, precision: str, gpus: int) -> None:
    """Check that the first `gpus` GPUs, or the CPU if 0, support `precision`.

    CPUs support bf16, some by emulation. GPUs older than the A100 emulate it more slowly than they
    compute float32, so they are refused.

    Raises:
        InputError: if a device does not support it; `block` is the study's block that asks for it.
    """
    supported = {"CPU": ["no", "bf16"]}
    if gpus:
        devices: list[int] = list(range(min(gpus, torch.cuda.device_count())))
        supported = {
            f"GPU {i} ({torch.cuda.get_device_name(i)})": _gpu_precisions(i) for i in devices
        }
    for name, precisions in supported.items():
        if precision not in precisions:
            usable = " or ".join(repr(p) for p in precisions if block == "train" or p != "fp16")
            raise InputError(
                f"{block}.precision: {precision!r}: {name} does not support it; expected {usable}"
            )


def _gpu_precisions(index: int) -> list[str]:
    """Return the precisions of a GPU; NVIDIA's have bf16 from compute capability 8."""
    native = torch.version.hip or torch.cuda.get_device_capability(index) >= (8, 0)
    return ["no", "fp16", "bf16"] if native else ["no", "fp16"]


def move_network(network: ScoreNetwork, device: torch.device) -> ScoreNetwork:
    """Move a network to `device`; its inputs and outputs stay on the CPU."""
    network.register_forward_pre_hook(lambda _, inputs: tuple(x.to(device) for x in inputs))
    network.register_forward_hook(lambda _, __, score: score.cpu())
    return network.to(device)


def move_exact_score(exact: GaussianMixture, device: torch.device) -> ScoreWithDensity:
    """Move an exact score to `device`; its inputs and outputs stay on the CPU."""
    for name in ("weights", "means", "variances", "centre"):
        setattr(exact, name, getattr(exact, name).to(device))
    return _ScoreOnDevice(exact, device)


class _ScoreOnDevice:
    def __init__(self, score: GaussianMixture, device: torch.device) -> None:
        self.score, self.device = score, device

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.score(x.to(self.device), sigma.to(self.device)).cpu()

    def log_density(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self.score.log_density(x.to(self.device), sigma.to(self.device)).cpu()
