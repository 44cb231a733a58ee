"""A GPU simulated on the CPU: PyTorch's rules about devices, with the CPU's numbers.

Tensors on it say that their device is `cuda:0`. Operations on them, and on ordinary tensors beside
them, are checked as PyTorch checks them on a real GPU: operands on two devices and a generator of
another device are errors. Operations for which a program waits for a real GPU are reported.
PyTorch's own fake tensors need CUDA for generators and gradients.

To autograd a simulated tensor is one on the device `meta`, which exists everywhere, so that the
simulation also covers gradients. The numbers are computed on the CPU: a program that passes also
gives the CPU's results, bit by bit. Random numbers that are drawn without a generator come from a
source of the GPU's own. Autocast is in `simulated_autocast.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor
from torch.utils._mode_utils import no_dispatch
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["DEVICE", "DeviceError", "SimulatedGPU", "SimulatedGenerator", "SimulatedTensor"]

DEVICE = torch.device("cuda", 0)
SIMULATED = ("cuda", "meta")
"""Types of devices that mean the simulated GPU; the second is what autograd sees."""

aten = torch.ops.aten
COPIES = (aten._to_copy, aten.copy_)
"""Operations whose operands may be on two devices."""
INDEXING = (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_)
"""Operations whose indices may be on the CPU; they are copied to the GPU."""
ALWAYS_WAIT = {
    *("_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique", "_unique2"),
    *("unique_dim", "unique_consecutive", "bincount", "histc"),
    *("linalg_inv_ex", "linalg_cholesky_ex", "linalg_eigh", "_linalg_eigh", "_linalg_svd"),
}
"""Operations whose result, its shape or its errors the program learns from the GPU."""


class DeviceError(RuntimeError):
    """What PyTorch refuses on a GPU, and computes on a CPU."""


_GENERATORS = WeakValueDictionary[int, "SimulatedGenerator"]()
"""By the address of the generator in C++, which operations receive."""


class SimulatedGenerator(torch.Generator):
    """A generator on the CPU that says where it would be."""

    def __new__(cls, device: torch.device | str = "cpu") -> SimulatedGenerator:
        self = super().__new__(cls, "cpu")
        self.simulated = torch.device(device)
        _GENERATORS[self._cdata] = self
        return self

    @property
    def device(self) -> torch.device:
        return self.simulated


class SimulatedTensor(Tensor):
    """A tensor on the simulated GPU."""

    value: Tensor
    """Its numbers, on the CPU."""
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, value: Tensor) -> SimulatedTensor:
        shape, stride = value.shape, value.stride()
        meta = torch.empty_strided(shape, stride, dtype=value.dtype, device="meta")
        self = Tensor._make_subclass(cls, meta, False, device_for_backend_keys=DEVICE)
        self.value = value
        return self

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise AssertionError(f"{func} of a tensor on the simulated GPU, outside of the simulation")

    @property
    def device(self) -> torch.device:
        return DEVICE

    @property
    def is_cuda(self) -> bool:
        return True

    @property
    def is_meta(self) -> bool:
        return False

    def tolist(self) -> Any:
        return self.cpu().tolist()

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        copied = self.detach().clone().requires_grad_(self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            copied._is_param = True
        memo[id(self)] = copied
        return copied


def _to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Replace `Tensor.to`, which asks CUDA for the number of the GPU if it is not given.

    Returns the tensor itself if nothing changes.
    """
    args = tuple(DEVICE if _is_gpu(each) else each for each in args)
    if _is_gpu(kwargs.get("device")):
        kwargs["device"] = DEVICE
    if not isinstance(self, SimulatedTensor):
        return torch._C.TensorBase.to(self, *args, **kwargs)
    if args and isinstance(args[0], Tensor):
        args = (args[0].device, args[0].dtype, *args[1:])
    asked = {name: value for name, value in kwargs.items() if name != "copy"}
    device, dtype, _, memory_format = torch._C._nn._parse_to(*args, **asked)
    is_same = device in (None, DEVICE) and dtype in (None, self.dtype) and not kwargs.get("copy")
    if memory_format not in (None, torch.preserve_format):
        is_same = is_same and self.is_contiguous(memory_format=memory_format)
    return self if is_same else torch._C.TensorBase.to(self, *args, **kwargs)


has_compatible_type = torch._has_compatible_shallow_copy_type


def _has_compatible_type(a: Tensor, b: Tensor) -> bool:
    """Return whether a module moves the parameter `a` by `a.data = b`."""
    if isinstance(a, SimulatedTensor) or isinstance(b, SimulatedTensor):
        return a is b
    return bool(has_compatible_type(a, b))


def _is_gpu(device: object) -> bool:
    return isinstance(device, str | torch.device) and torch.device(device).type == "cuda"


class SimulatedGPU(TorchDispatchMode):
    """Within this mode, a GPU is simulated.

    `on_wait` is called with the name of each operation for which the program waits for the GPU.
    """

    def __init__(self, on_wait: Callable[[str], None] = lambda _: None) -> None:
        super().__init__()
        # As for fake tensors, PyTorch then does not start CUDA for `device="cuda"`.
        self._mode_key = torch._C._TorchDispatchModeKey.FAKE
        self.on_wait = on_wait
        self.random_state = torch.get_rng_state()
        """State of the GPU's global random numbers."""

    def seed(self, seed: int) -> None:
        """Seed the GPU's global random numbers."""
        self.random_state = SimulatedGenerator().manual_seed(seed).get_state()

    def set_random_state(self, state: Tensor, _: object = None) -> None:
        """Set the state of the GPU's global random numbers."""
        self.random_state = state.clone()

    @contextlib.contextmanager
    def _own_random_numbers(self) -> Iterator[None]:
        of_cpu = torch.get_rng_state()
        torch.set_rng_state(self.random_state)
        try:
            yield
        finally:
            self.random_state = torch.get_rng_state()
            torch.set_rng_state(of_cpu)

    def __enter__(self) -> SimulatedGPU:
        self.before = torch._C._only_lift_cpu_tensors()
        torch._C._set_only_lift_cpu_tensors(True)
        torch._has_compatible_shallow_copy_type = _has_compatible_type
        Tensor.to = _to
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        del Tensor.to
        torch._has_compatible_shallow_copy_type = has_compatible_type
        torch._C._set_only_lift_cpu_tensors(self.before)

    @classmethod
    def is_infra_mode(cls) -> bool:
        return True

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # the compiler takes seconds to import

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors: list[Tensor] = []
        plain = _unwrap(args, tensors)
        plain_kwargs = {name: _unwrap(value, tensors) for name, value in kwargs.items()}
        from_gpu = to_gpu = any(isinstance(x, SimulatedTensor) for x in tensors)
        if kwargs.get("device") is not None:
            to_gpu = torch.device(kwargs["device"]).type in SIMULATED
            plain_kwargs["device"] = torch.device("cpu")
        plain_kwargs.pop("pin_memory", None)  # needs CUDA
        packet = func.overloadpacket
        if packet is aten.copy_:
            from_gpu, to_gpu = (isinstance(args[i], SimulatedTensor) for i in (1, 0))
        if kwargs.get("generator") is not None:
            _check_generator(packet.__name__, kwargs["generator"], to_gpu)
        if packet in COPIES:
            blocking = not (
                kwargs.get("non_blocking") or (packet is aten.copy_ and True in args[2:])
            )
            self._check_copy(packet, from_gpu, to_gpu, blocking)
        elif from_gpu or to_gpu:
            self._check(packet, args, kwargs, tensors)
        draws = torch.Tag.nondeterministic_seeded in func.tags and not kwargs.get("generator")
        with self._own_random_numbers() if to_gpu and draws else contextlib.nullcontext():
            result = func(*plain, **plain_kwargs)
        if torch.Tag.inplace_view in func.tags and isinstance(args[0], SimulatedTensor):
            with no_dispatch():
                func(*args, **kwargs)  # gives the tensor the shape that its numbers now have
        known = {id(x.value): x for x in tensors if isinstance(x, SimulatedTensor)}
        return _wrap(result, known) if to_gpu else result

    def _check_copy(self, packet: Any, from_gpu: bool, to_gpu: bool, blocking: bool) -> None:
        if from_gpu == to_gpu:
            return
        if blocking:
            self.on_wait(f"{packet.__name__} between CPU and GPU")
        elif from_gpu:
            raise DeviceError("a copy from the GPU that does not wait is read too early")

    def _check(self, packet: Any, args: Any, kwargs: Any, tensors: list[Tensor]) -> None:
        name = packet.__name__
        if any(x.is_meta for x in tensors):
            raise DeviceError(f"{name}: waits for the GPU, to copy indices of a list: use a tensor")
        on_cpu = [x for x in tensors if not isinstance(x, SimulatedTensor)]
        if packet in INDEXING:
            indices = [x for x in args[1] if x is not None]
            on_cpu = [x for x in on_cpu if not any(x is index for index in indices)]
            if any(x.dtype in (torch.bool, torch.uint8) for x in indices):
                self.on_wait(f"{name} with a mask")
            elif not all(isinstance(x, SimulatedTensor) for x in indices):
                self.on_wait(f"{name} with indices on the CPU")
        is_changed = name.endswith("_") and any(x is args[0] for x in on_cpu)
        if is_changed or any(x.ndim for x in on_cpu):  # single numbers may be on the CPU
            raise DeviceError(f"{name}: expected all tensors on one device, found GPU and CPU")
        if name in ALWAYS_WAIT or (name == "repeat_interleave" and "output_size" not in kwargs):
            self.on_wait(name)


def _check_generator(name: str, generator: torch.Generator, is_on_gpu: bool) -> None:
    found = _GENERATORS.get(generator._cdata, generator).device
    if (found.type in SIMULATED) != is_on_gpu:
        expected = "the GPU" if is_on_gpu else "the CPU"
        raise DeviceError(f"{name}: expected a generator on {expected}, found one on {found}")


def _unwrap(value: Any, found: list[Tensor]) -> Any:
    """Return `value` with the numbers of simulated tensors; add all tensors to `found`."""
    if isinstance(value, Tensor):
        found.append(value)
        return value.value if isinstance(value, SimulatedTensor) else value
    if isinstance(value, list | tuple):
        return type(value)([_unwrap(each, found) for each in value])
    return value


def _wrap(value: Any, known: dict[int, SimulatedTensor]) -> Any:
    """Return `value` with simulated tensors; operations in place return their operand."""
    if isinstance(value, Tensor):
        return known[id(value)] if id(value) in known else SimulatedTensor(value)
    if isinstance(value, list | tuple):
        return type(value)([_wrap(each, known) for each in value])
    return value
