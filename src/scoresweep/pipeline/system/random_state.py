"""The global random numbers of Python, NumPy and PyTorch, which code of plugins may use."""

from __future__ import annotations

import contextlib
import pickle
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

__all__ = ["random_state", "seeded_globally"]


@contextlib.contextmanager
def seeded_globally(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seed all global random numbers, those of `device` too, and restore their states at the end.

    `seed` is in [0, 2⁶⁴).
    """
    device = torch.device(device)
    python, legacy, main = random.getstate(), np.random.get_state(), torch.get_rng_state()
    own = _module(device).get_rng_state(*_index(device)) if device.type != "cpu" else None
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
        torch.set_rng_state(main)
        if own is not None:
            _module(device).set_rng_state(own, *_index(device))


def random_state(device: torch.device | str = "cpu") -> bytes:
    """Return the states of the global random numbers, those of `device` too, to compare."""
    device, states = torch.device(device), [torch.get_rng_state()]
    if device.type != "cpu":
        states.append(_module(device).get_rng_state(*_index(device)).cpu())
    of_torch = [state.numpy().tobytes() for state in states]
    return pickle.dumps((random.getstate(), np.random.get_state(), of_torch))


def _module(device: torch.device) -> Any:
    return torch.get_device_module(device)


def _index(device: torch.device) -> tuple[torch.device, ...]:
    """Return the device if its module has a state for each; MPS has one."""
    return () if device.type == "mps" else (device,)
