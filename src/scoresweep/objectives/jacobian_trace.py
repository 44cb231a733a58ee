"""The exact trace of a score's Jacobian, in as few and as large batches as memory allows.

tr ∇s = Σᵢ eᵢᵀ∇s eᵢ takes one backward pass for each dimension i. A pass of a few samples does
little work for each weight that it reads, so `torch.vmap` batches the passes of many dimensions.
The score is computed once.
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from scoresweep.out_of_memory import is_out_of_memory

__all__ = ["MEMORY", "trace_of_jacobian"]

MEMORY = 2**28
"""Bytes of gradients of batched passes. More is not faster: the matrix products are large enough.
"""

MIN_BATCH = 4
"""Minimum number of passes worth batching."""


def trace_of_jacobian(output: Tensor, x: Tensor, memory: int = MEMORY) -> Tensor:
    """Return tr ∂`output`/∂`x` of each sample, (N,), differentiable.

    The dimensions are split into batches whose passes make `memory` bytes of gradients. If one
    batch holds them all, its graph is kept for the gradient. Otherwise the graph of each batch is
    recomputed when the gradient is computed (`torch.utils.checkpoint`), which costs a third more
    time, so that memory does not grow with the number of dimensions.

    If `torch.vmap` does not support the network's backward pass, each dimension gets a pass of its
    own, with a warning that names the reason. A single operation without a batching rule is
    repeated, with torch's own warning.

    Args:
        output: (N, ...), computed from `x` sample by sample.
        x: as `output`; requires a gradient.
        memory: bytes of gradients of one batch of passes.
    """
    dimension = x[0].numel()
    size = MIN_BATCH if dimension < MIN_BATCH else max(1, memory // _bytes_of_a_pass(output, x))
    if size >= dimension:
        return _part(output, x, 0, dimension)
    trace = x.new_zeros(len(x))
    for start in range(0, dimension, size):
        ends = start, min(start + size, dimension)
        trace = trace + checkpoint(
            _part, output, x, *ends, use_reentrant=False, preserve_rng_state=False
        )
    return trace


def _part(output: Tensor, x: Tensor, start: int, stop: int) -> Tensor:
    """Return Σᵢ ∂outputᵢ/∂xᵢ over the dimensions from `start` to `stop`, (N,)."""
    basis = output.new_zeros(stop - start, x[0].numel())
    basis.diagonal(start).fill_(1)
    rows = _rows(output, x, basis.reshape(-1, 1, *output.shape[1:]).expand(-1, *output.shape))
    return rows.flatten(2).diagonal(start, 0, 2).sum(1)


def _rows(output: Tensor, x: Tensor, directions: Tensor) -> Tensor:
    """Return vᵀ∇s for `directions` v (K, N, ...): (K, N, ...), with a graph."""

    def row(v: Tensor) -> Tensor:
        return torch.autograd.grad(output, x, v, create_graph=True)[0]

    reason = None
    if len(directions) >= MIN_BATCH:
        try:
            batched: Tensor = torch.vmap(row)(directions)
            return batched
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
            reason = error
    # If this fails too, its error is more useful than that of vmap.
    rows = torch.stack([row(v) for v in directions])
    if reason:
        warnings.warn(
            f"ism takes one backward pass for each dimension, because torch.vmap does not support "
            f"this network's: {str(reason).splitlines()[0]}",
            stacklevel=2,
        )
    return rows


def _bytes_of_a_pass(output: Tensor, x: Tensor) -> int:
    """Return the bytes of all gradients of one backward pass from `output` to `x`."""
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
    seen: dict[Any, None] = {}
    stack: list[Any] = [output.grad_fn]
    while stack:
        node = stack.pop()
        if node is not None and node not in seen:
            seen[node] = None
            stack.extend(parent for parent, _ in node.next_functions)
    return list(seen)
