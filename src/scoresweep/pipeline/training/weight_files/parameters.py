"""From a state dict of another program to named floating-point tensors, each understood exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from scoresweep.pipeline.system.file_kinds import abbreviate_names

__all__ = ["plain_parameters"]

WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Parts of names that DataParallel, `torch.compile` and others add."""
FLOATING = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
LARGEST = 1e6
"""Largest weight that is plausible: a damaged exponent gives far larger ones."""


def plain_parameters(state: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Return the tensors of `state` without the names of wrappers, detached and dense.

    Raises:
        ValueError: if a name is no text, two names are the same without wrappers, or a value is no
            tensor of finite, plausible floating-point numbers; the first ones are named.
    """
    odd = [repr(name) for name in state if not isinstance(name, str)]
    if odd:
        raise ValueError(f"has names that are no texts: {', '.join(abbreviate_names(odd))}")
    found: dict[str, Tensor] = {}
    problems = []
    for name, value in state.items():
        short = ".".join(part for part in name.split(".") if part not in WRAPPERS)
        if short in found:
            problems.append(f"{name} occurs with and without the name of a wrapper")
        elif problem := _problem(value):
            problems.append(f"{name} {problem}")
        else:
            found[short] = value.detach()
    if problems:
        raise ValueError("; ".join(abbreviate_names(problems, 3, 120)))
    return found


def _problem(value: Any) -> str:
    """Say what is wrong with a parameter, or return ""."""
    if not isinstance(value, Tensor):
        return f"is no tensor but {type(value).__name__}"
    if value.is_quantized:
        return "is quantised; save its dequantize()"
    if value.is_nested or value.layout is not torch.strided:
        layout = "nested" if value.is_nested else str(value.layout).removeprefix("torch.")
        return f"is stored as {layout}; save its to_dense()"
    if value.is_meta:
        return "has no values (device meta)"
    if value.dtype not in FLOATING:
        dtype = str(value.dtype).removeprefix("torch.")
        return f"is of the type {dtype}; expected float32, float64, float16 or bfloat16"
    if not value.numel():
        return f"is empty: its shape is {tuple(value.shape)}"
    low, high = (float(end) for end in value.detach().aminmax())
    if not max(-low, high) < float("inf"):
        return "is not finite"
    if max(-low, high) > LARGEST:
        return f"has a weight of {high if high > -low else low:.3g}, as damaged files have"
    return ""
