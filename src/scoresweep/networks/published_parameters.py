"""Comparison of published parameters with those that a network here expects."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["check_parameters"]

MAX_NAMES = 4
"""Maximum number of names of each kind in an error."""


def check_parameters(
    tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise `ValueError` unless `tensors` have the names and shapes `expected` and are finite.

    The error names the tensors that are missing, unexpected, of another shape or not finite.
    """
    problems = _list_problem("missing", sorted(expected.keys() - tensors.keys()))
    problems += _list_problem("extra", sorted(tensors.keys() - expected.keys()))
    shapes, not_finite = [], []
    for name, shape in expected.items():
        if name not in tensors:
            continue
        if tensors[name].shape != shape:
            shapes.append(f"{name} {tuple(tensors[name].shape)}, not {shape}")
        elif not bool(torch.isfinite(tensors[name]).all()):
            not_finite.append(name)
    problems += _list_problem("of another shape", shapes)
    problems += _list_problem("not finite", not_finite)
    if problems:
        raise ValueError("; ".join(problems))


def _list_problem(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    shown = [name if len(name) <= 80 else f"{name[:77]}..." for name in names[:MAX_NAMES]]
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return [f"{what}: {', '.join(shown)}{more}"]
