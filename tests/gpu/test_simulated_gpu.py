"""The simulated GPU refuses and reports what a real one does."""

from __future__ import annotations

import pytest
import torch
from simulated_gpu import DeviceError, SimulatedGenerator
from torch import nn

pytestmark = pytest.mark.gpu

GPU = "cuda"


def left_on_the_cpu():
    return torch.ones(2, device=GPU) + torch.ones(2)


def wrong_generator():
    return torch.randn(2, generator=torch.Generator(), device=GPU)


def wrong_generator_in_place():
    return torch.ones(2, device=GPU).normal_(generator=torch.Generator())


def generator_of_the_gpu():
    return torch.randn(2, generator=torch.Generator(device=GPU))


def mixed_layer():
    return nn.Linear(2, 2)(torch.ones(1, 2, device=GPU))


def mixed_rows():
    return torch.cat([torch.ones(2, device=GPU), torch.ones(2)])


def number_of_the_cpu_changed():
    return torch.ones(()).add_(torch.ones((), device=GPU))


FAULTS = [
    *(left_on_the_cpu, wrong_generator, wrong_generator_in_place, mixed_layer, mixed_rows),
    *(number_of_the_cpu_changed, generator_of_the_gpu),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_tensors_and_generators_of_two_devices_are_refused(gpu, fault):
    with pytest.raises((RuntimeError, DeviceError), match=r"device|GPU|generator"):
        fault()


WAITS = {
    "item": lambda x: x[0].item(),
    "float": lambda x: float(x[0]),
    "int": lambda x: int(x[0]),
    "bool": lambda x: bool((x > 0).all()),
    "if": lambda x: 1 if x.sum() else 0,
    "tolist": lambda x: x.tolist(),
    "cpu": lambda x: x.cpu(),
    "to the CPU": lambda x: x.to("cpu"),
    "to the GPU": lambda x: torch.ones(2).to(GPU),
    "constant": lambda x: torch.tensor([1.0, 2.0], device=GPU),
    "copy": lambda x: x.copy_(torch.ones(3)),
    "nonzero": lambda x: x.nonzero(),
    "mask": lambda x: x[x > 1],
    "list": lambda x: x[[0, 1]],
    "equal": lambda x: torch.equal(x, x.clone()),
}


@pytest.mark.parametrize("name", WAITS)
def test_waits_are_found(gpu, name):
    x = torch.arange(3.0, device=GPU)
    found = pytest.raises((AssertionError, DeviceError), match="waits for the GPU")
    with found, gpu.watch():
        WAITS[name](x)


FREE = {
    "numbers": lambda x: x.mul_(2).add_(1).sum(),
    "number of the CPU": lambda x: x * torch.tensor(2.0),
    "filled": lambda x: x.new_full((3,), 2.0) + torch.zeros(3, device=GPU) + torch.rand_like(x),
    "row": lambda x: x[1] + x[None, :2],
    "indices": lambda x: x[torch.zeros(2, dtype=torch.long, device=GPU)],
    "choice": lambda x: torch.where(x > 1, x, 0.0).masked_fill(x > 1, 3.0),
    "generator": lambda x: x.normal_(generator=torch.Generator(device=GPU).manual_seed(0)),
    "same device": lambda x: x.to(GPU).float(),
}


@pytest.mark.parametrize("name", FREE)
def test_other_work_does_not_wait(gpu, name):
    x = torch.arange(3.0, device=GPU)
    with gpu.watch() as waits:
        assert FREE[name](x).device.type == "cuda"
    assert waits == {}


IN_AUTOCAST = {
    "bfloat16": {
        "linear": lambda x, low: nn.functional.linear(x, x),
        "matmul": lambda x, low: x @ low,
        "einsum": lambda x, low: torch.einsum("ij,kj->ik", x, low),
        "elementwise": lambda x, low: low.relu() + low,
    },
    "float32": {
        "norm": lambda x, low: nn.functional.layer_norm(low, (2,)),
        "group norm": lambda x, low: nn.functional.group_norm(low, 1),
        "softmax": lambda x, low: low.softmax(1),
        "exp": lambda x, low: low.exp(),
        "square": lambda x, low: low.square(),
        "sum": lambda x, low: low.sum(),
        "widest": lambda x, low: torch.addcmul(low, low, x),
        "numbers kept": lambda x, low: low.float() * x,
    },
    "float64": {"double": lambda x, low: x.double() @ x.double()},
}
"""Operations on a float32 matrix and a bfloat16 one, by the type of the result."""


@pytest.mark.parametrize("name", IN_AUTOCAST)
def test_autocast_follows_the_rules_of_gpus(gpu, name):
    x = torch.ones(2, 2, device=GPU, requires_grad=True)
    low = x.detach().bfloat16()
    with torch.autocast("cuda", torch.bfloat16):
        found = {key: work(x, low) for key, work in IN_AUTOCAST[name].items()}
        (slope,) = torch.autograd.grad((x @ low).sum(), x)
    assert {key: value.dtype for key, value in found.items()} == dict.fromkeys(
        found, getattr(torch, name)
    )
    assert slope.dtype == torch.float32
    assert (x @ x).dtype == torch.float32


def test_gradients_stay_on_the_gpu(gpu):
    layer = nn.Sequential(nn.Linear(3, 2), nn.SiLU()).to(GPU)
    x = torch.ones(4, 3, device=GPU, requires_grad=True)
    (slope,) = torch.autograd.grad(layer(x).sum(), x, create_graph=True)
    slope.square().sum().backward()
    gradients = [x.grad, *(p.grad for p in layer.parameters())]
    assert {g.device.type for g in gradients} == {"cuda"}


def test_a_tensor_that_is_reshaped_in_place_has_the_new_shape(gpu):
    x = torch.arange(6.0, device=GPU).reshape(2, 3)
    assert x.t_().unsqueeze_(0).shape == (1, 3, 2)
    assert x.stride() == (3, 1, 3)
    torch.testing.assert_close((2 * x).cpu(), 2 * torch.arange(6.0).reshape(2, 3).T[None])


def test_global_random_numbers_are_of_a_device(gpu):
    torch.manual_seed(3)
    of_cpu, of_gpu = torch.get_rng_state(), torch.cuda.get_rng_state()
    first = torch.randn(2, device=GPU)
    assert torch.equal(torch.get_rng_state(), of_cpu)
    assert not torch.equal(torch.cuda.get_rng_state(), of_gpu)
    torch.cuda.set_rng_state(of_gpu)
    assert torch.equal(torch.randn(2, device=GPU).cpu(), first.cpu())
    torch.manual_seed(3)
    assert torch.equal(torch.randn(2, device=GPU).cpu(), first.cpu())


def test_a_generator_says_where_it_is():
    there = SimulatedGenerator(device="cuda:0").manual_seed(3)
    assert str(there.device) == "cuda:0"
    here = torch.Generator().manual_seed(3)
    assert torch.equal(torch.rand(2, generator=there), torch.rand(2, generator=here))
