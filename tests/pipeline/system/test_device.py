from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from scoresweep.distributions import GaussianMixture
from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.device import (
    CPU,
    check_gpus,
    check_precision,
    gpu_of_process,
    move_exact_score,
    move_network,
    select_device,
)

META = torch.device("meta")
"""A device other than the CPU that always exists: shapes without values."""


def test_a_gpu_is_used_if_requested() -> None:
    assert select_device(0) == CPU
    if torch.cuda.is_available():
        assert select_device(1).type == "cuda"
    else:
        with pytest.raises(InputError, match="gpus: 1: no GPU"):
            select_device(1)


@pytest.fixture
def see(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set what PyTorch sees: the number of CUDA's GPUs, and Apple's GPU."""

    def set_facts(count: int, cuda: str | None = "13.0", mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.version, "cuda", cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return set_facts


def test_missing_gpus_are_named_with_the_reason(see, monkeypatch) -> None:
    see(2)
    check_gpus(0)
    check_gpus(2)
    with pytest.raises(InputError, match=r"gpus: 3: expected 2 or fewer"):
        check_gpus(3)
    see(0)
    check_gpus(0)
    for change, reason in (
        (lambda: see(0), "; expected 0"),
        (lambda: see(0, cuda=None), f"PyTorch {re.escape(torch.__version__)} is built without"),
        (lambda: see(0, cuda=None, mps=True), r"Apple's GPU \(mps\) is not supported"),
        (lambda: see(0) or monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1"), r"DEVICES='-1'"),
    ):
        change()
        with pytest.raises(InputError, match=rf"^gpus: 1: no GPU is available.*{reason}"):
            check_gpus(1)


def test_every_process_of_a_node_has_its_own_gpu() -> None:
    assert [gpu_of_process(rank, 4, 4, False) for rank in range(4)] == [0, 1, 2, 3]
    # A job of two GPUs on a node where it sees all four.
    assert [gpu_of_process(rank, 2, 4, True) for rank in range(2)] == [0, 1]
    # SLURM shows each task its own GPU only.
    assert [gpu_of_process(rank, 4, 1, True) for rank in range(4)] == [0, 0, 0, 0]


@pytest.mark.parametrize(("rank", "gpus", "visible"), [(2, 2, 2), (2, 2, 4), (1, 2, 1), (0, 1, 0)])
def test_more_processes_than_gpus_are_refused(rank: int, gpus: int, visible: int) -> None:
    with pytest.raises(InputError, match=f"the job has {gpus}, and {visible} are visible"):
        gpu_of_process(rank, gpus, visible, False)


def test_gpus_round_nothing_to_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    """By default, convolutions are."""
    for part in (torch.backends.cudnn, torch.backends.cuda.matmul):
        monkeypatch.setattr(part, "allow_tf32", True)
    select_device(0)
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32
    if torch.cuda.is_available():
        image, weight = torch.rand(1, 256, 8, 8), torch.rand(256, 256, 3, 3)
        exact = torch.nn.functional.conv2d(image.double(), weight.double())
        found = torch.nn.functional.conv2d(image.cuda(), weight.cuda()).cpu()
        assert float((found / exact - 1).abs().max()) < 1e-5


def test_a_precision_that_the_cpu_does_not_support_is_refused() -> None:
    for precision in ("no", "bf16"):
        check_precision("train", precision, 0)
    with pytest.raises(InputError, match=r"'fp16': CPU .*expected 'no' or 'bf16'"):
        check_precision("train", "fp16", 0)


def test_a_gpu_without_bf16_is_named_with_the_supported_precisions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Simulates a V100."""
    answers = {"device_count": 1, "get_device_name": "V100", "get_device_capability": (7, 0)}
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, lambda *_, answer=answer, **__: answer)
    check_precision("train", "fp16", 1)
    with pytest.raises(InputError, match=r"GPU 0 \(V100\) does not .*expected 'no' or 'fp16'"):
        check_precision("train", "bf16", 1)
    with pytest.raises(InputError, match=r"sample.precision: 'bf16': .* expected 'no'$"):
        check_precision("sample", "bf16", 1)


class Linear(ScoreNetwork):
    """A score that records the devices it computes on."""

    def __init__(self) -> None:
        super().__init__((2,), torch.tensor([1.0]))
        self.weight = torch.nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.devices = {x.device.type, sigma.device.type, self.weight.device.type}
        return torch.zeros(len(x), 2) if x.device.type == "meta" else self.weight * x


def test_a_moved_network_takes_and_returns_tensors_on_the_cpu() -> None:
    x, sigma = torch.ones(3, 2), torch.ones(3)
    network = move_network(Linear(), META)
    assert network(x, sigma).device == CPU
    assert network.devices == {"meta"}
    assert torch.equal(move_network(Linear(), CPU)(x, sigma), x)


def test_a_moved_exact_score_is_unchanged() -> None:
    def mixture() -> GaussianMixture:
        means = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
        return GaussianMixture(torch.tensor([0.3, 0.7]), means, torch.tensor([0.5, 1.0]))

    x, sigma = torch.randn(4, 2), torch.full((4,), 0.5)
    moved = move_exact_score(mixture(), CPU)
    assert torch.equal(moved(x, sigma), mixture()(x, sigma))
    assert torch.equal(moved.log_density(x, sigma), mixture().log_density(x, sigma))
    there = mixture()
    move_exact_score(there, META)
    tensors = [value for value in vars(there).values() if isinstance(value, Tensor)]
    assert len(tensors) == 4
    assert {tensor.device.type for tensor in tensors} == {"meta"}
