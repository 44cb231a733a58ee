"""Time on the device, and the rate of matrix products measured beside each figure.

Work on a GPU is asynchronous: events record when the device reaches them, and nothing waits for it
between calls.
"""

from __future__ import annotations

import statistics
import time
from itertools import pairwise

import torch
from harness import Run, flops_of_product, matrix_product

__all__ = ["MatrixRate", "captured", "seconds_per_call", "synchronize"]

MAX_CALLS = 50


def synchronize(device: torch.device) -> None:
    """Wait until the device has done everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_per_call(run: Run, device: torch.device, seconds: float) -> float:
    """Return the median time of a call, in about `seconds`, but of three calls or more.

    Less than 0.1 `seconds` is for a dry run: one call may then do.
    """
    least = 3 if seconds >= 0.1 else 1
    for _ in range(least - 1):  # the first call selects kernels and allocates memory
        run()
    synchronize(device)
    start = time.perf_counter()
    run()
    synchronize(device)
    once = time.perf_counter() - start
    calls = min(max(least, int(seconds / once)), MAX_CALLS)
    if device.type != "cuda":
        return statistics.median(_on_cpu(run) for _ in range(calls))
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(calls + 1)]
    marks[0].record()
    for mark in marks[1:]:
        run()
        mark.record()
    synchronize(device)
    return statistics.median(a.elapsed_time(b) / 1e3 for a, b in pairwise(marks))


def _on_cpu(run: Run) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


class MatrixRate:
    """Measures the rate of matrix products, on matrices that it keeps."""

    def __init__(
        self, device: torch.device, quick: bool, kind: torch.dtype = torch.bfloat16
    ) -> None:
        self.device, self.seconds = device, 0.02 if quick else 0.1
        self.product = matrix_product(kind, device, quick)
        self.flops = flops_of_product(device, quick)

    def __call__(self) -> float:
        """Return operations per second, now."""
        return self.flops / seconds_per_call(self.product, self.device, self.seconds)


def captured(step: Run) -> Run:
    """Capture `step` as a CUDA graph; return what replays it.

    A replay launches all its kernels at once, on the memory of the capture.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.graph(graph):
            step()
    except Exception:
        _leave_capture()
        raise
    return graph.replay


def _leave_capture() -> None:
    """Undo what a failed capture leaves behind: all later work would fail.

    `torch.cuda.graph` does not leave its stream if the capture's end fails, and the default
    generator then refuses to draw, because it still counts for the capture.
    """
    torch.cuda.set_stream(torch.cuda.default_stream())
    generator = torch.cuda.default_generators[torch.cuda.current_device()]
    generator.graphsafe_set_state(torch.Generator("cuda").graphsafe_get_state())
