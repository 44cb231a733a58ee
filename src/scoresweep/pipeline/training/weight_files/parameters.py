"""Convert a state dict of another program to dense floating-point tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from scoresweep.pipeline.system.file_kinds import abbreviate_names

__all__ = ["plain_parameters"]

WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
"""Name prefixes added by DataParallel, `torch.compile` and others."""
FLOATING = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
MAX_WEIGHT = 1e6
"""Largest plausible weight: a damaged exponent gives far larger ones."""


def plain_parameters(state: Mapping[Any, Any]) -> dict[str, Tensor]:
    """Return the tensors of `state`, detached, without wrapper prefixes in their names.

    Raises:
        ValueError: if a name is not a string, two names are equal without wrapper prefixes, or a
            value is not a dense tensor of finite, plausible floating-point numbers. It names the
            first ones.
    """
    not_strings = [repr(name) for name in state if not isinstance(name, str)]
    if not_strings:
        names = ", ".join(abbreviate_names(not_strings))
        raise ValueError(f"has names that are not strings: {names}")
    parameters: dict[str, Tensor] = {}
    problems = []
    for name, value in state.items():
        short = ".".join(part for part in name.split(".") if part not in WRAPPERS)
        if short in parameters:
            problems.append(f"{name} occurs with and without a wrapper prefix")
        elif problem := _problem(value):
            problems.append(f"{name} {problem}")
        else:
            parameters[short] = value.detach()
    if problems:
        raise ValueError("; ".join(abbreviate_names(problems, 3, 120)))
    return parameters


def _problem(value: Any) -> str:
    """Return what is wrong with a parameter, or ""."""
    if not isinstance(value, Tensor):
        return f"is a {type(value).__name__}, not a tensor"
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
    if max(-low, high) > MAX_WEIGHT:
        return f"has a weight of {high if high > -low else low:.3g}, as damaged files have"
    return ""
