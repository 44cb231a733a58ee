"""The exact trace of a score's Jacobian, in as few and as large steps as memory allows.

Σᵢ eᵢᵀ∇s eᵢ takes a backward pass for each dimension i. Alone, a pass of few samples does little
with each weight that it reads; `torch.vmap` takes the passes of many dimensions together, as one
pass of so many more samples. The score is computed once.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from scoresweep.out_of_memory import is_out_of_memory

__all__ = ["MEMORY", "trace_of_jacobian"]

MEMORY = 2**28
"""Bytes of gradients that passes taken together may make. More is not faster: the matrix products
are large by then."""

FEW = 4
"""Passes below which it does not pay to take them together."""


def trace_of_jacobian(output: Tensor, x: Tensor, memory: int = MEMORY) -> Tensor:
    """Return tr ∂`output`/∂`x` of each sample, (N,); it can be differentiated once.

    As many dimensions are taken together as make `memory` bytes of gradients, by those of one pass.
    Where they are all dimensions, the graph is kept for the gradient. Otherwise it is made anew,
    part by part, when the gradient is asked for, which costs a third more: memory never grows with
    the number of dimensions. The gradient then reaches what are leaves of the graph, as parameters
    are, and nothing else.

    A network whose backward pass `torch.vmap` cannot take gets a pass for each dimension, with a
    warning that says why. A single operation that it knows no better way for is repeated, with
    torch's own warning.

    Args:
        output: (N, ...), computed from `x` sample by sample.
        x: as `output`; requires a gradient.
        memory: bytes.
    """
    dimension = x[0].numel()
    together = FEW if dimension < FEW else max(1, memory // _bytes_of_a_pass(output, x))
    if together >= dimension:
        return _part(output, x, 0, dimension)
    leaves = [leaf for leaf in _leaves(output) if leaf is not x]
    trace: Tensor = _Trace.apply(output, x, together, *leaves)  # type: ignore[no-untyped-call]
    return trace


class _Trace(torch.autograd.Function):
    """The trace in parts of `together` dimensions, whose graph is never there as a whole."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, x: Tensor, together: int, *leaves: Tensor) -> Tensor:
        ctx.save_for_backward(output, x, *leaves)
        ctx.together = together
        trace = x.new_zeros(len(x))
        for start, stop in _ranges(x, together):
            with torch.enable_grad():
                part = _part(output, x, start, stop)
            trace += part.detach()
        return trace

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "a trace in parts can be differentiated once; with more `memory`, which takes all "
                "dimensions together, its gradient can be differentiated too"
            )
        output, x, *leaves = ctx.saved_tensors
        totals: list[Tensor | None] = [None] * len(leaves)
        for start, stop in _ranges(x, ctx.together) if leaves else ():
            with torch.enable_grad():
                part = _part(output, x, start, stop)
            found = torch.autograd.grad(part, leaves, grad, retain_graph=True, allow_unused=True)
            del part
            totals = [_sum(total, more) for total, more in zip(totals, found, strict=True)]
        return None, None, None, *totals


def _ranges(x: Tensor, together: int) -> list[tuple[int, int]]:
    dimension = x[0].numel()
    return [(i, min(i + together, dimension)) for i in range(0, dimension, together)]


def _sum(total: Tensor | None, more: Tensor | None) -> Tensor | None:
    return more if total is None else total if more is None else total + more


def _part(output: Tensor, x: Tensor, start: int, stop: int) -> Tensor:
    """Return the part of the trace that the dimensions from `start` to `stop` give, (N,)."""
    basis = output.new_zeros(stop - start, x[0].numel())
    basis.diagonal(start).fill_(1)
    rows = _rows(output, x, basis.reshape(-1, 1, *output.shape[1:]).expand(-1, *output.shape))
    return rows.flatten(2).diagonal(start, 0, 2).sum(1)


def _rows(output: Tensor, x: Tensor, directions: Tensor) -> Tensor:
    """Return vᵀ∇s for `directions` v (K, N, ...): (K, N, ...), with a graph."""

    def row(v: Tensor) -> Tensor:
        return torch.autograd.grad(output, x, v, create_graph=True)[0]

    reason = None
    if len(directions) >= FEW:
        try:
            together: Tensor = torch.vmap(row)(directions)
            return together
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            reason = error
    # If this fails too, its error tells more than that of vmap.
    rows = torch.stack([row(v) for v in directions])
    if reason:
        warnings.warn(
            f"ism takes one backward pass for each dimension, for torch.vmap cannot take this "
            f"network's: {str(reason).splitlines()[0]}",
            stacklevel=2,
        )
    return rows


def _bytes_of_a_pass(output: Tensor, x: Tensor) -> int:
    """Return the bytes of all gradients that one backward pass from `output` to `x` makes."""
    total = x.numel() * x.element_size()

    def count(gradients: tuple[Tensor | None, ...]) -> None:
        nonlocal total
        total += sum(g.numel() * g.element_size() for g in gradients if g is not None)

    handles = [node.register_prehook(count) for node in _nodes(output)]
    try:
        torch.autograd.grad(output, x, torch.ones_like(output), retain_graph=True)
    finally:
        for handle in handles:
            handle.remove()
    return total


def _nodes(output: Tensor) -> list[Any]:
    """Return every node of the graph of `output`, in a fixed order."""
    found: dict[Any, None] = {}
    waiting: list[Any] = [output.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found:
            found[node] = None
            waiting.extend(following for following, _ in node.next_functions)
    return list(found)


def _leaves(output: Tensor) -> list[Tensor]:
    """Return the leaves of the graph of `output`: parameters, mostly."""
    return [node.variable for node in _nodes(output) if hasattr(node, "variable")]
