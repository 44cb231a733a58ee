"""The exact score of a smoothed training set, compared with the rate of matrix products.

60,000 × 784 points at batch 256. Distances and their weighted mean are two matrix products,
4·N·M·D operations, in float64, as small noise levels need; so the reference is the float64 rate.
The float32 rate is given as well.

    python benchmarks/smoothed_score.py --output smoothed_score.json
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from harness import (
    Benchmark,
    begin,
    command_line,
    flops_of,
    flops_of_product,
    matrix_product,
    rate_of,
    ratio,
)

from scoresweep.distributions import SmoothedData

TARGET = 0.5
"""Share of the rate of matrix products."""


def measure(benchmark: Benchmark, points: int, dimension: int, batch: int) -> None:
    """Time one score, at a level where many points contribute and at one where one does."""
    quick, device = benchmark.options.quick, benchmark.device
    data = torch.rand(points, dimension, device=device)
    score, x = SmoothedData(data), torch.rand(batch, dimension, device=device)
    runs = {"matrix product float64": matrix_product(torch.float64, device, quick)}
    runs["matrix product float32"] = matrix_product(torch.float32, device, quick)
    flops = dict.fromkeys(runs, flops_of_product(device, quick))
    for level in (1.0, 0.01):
        sigma = torch.full((batch,), level, device=device)
        runs[f"score, sigma {level}"] = lambda sigma=sigma: score(x, sigma)
        flops[f"score, sigma {level}"] = flops_of(runs[f"score, sigma {level}"])
    seconds = benchmark.times(runs)
    base = "matrix product float64"
    rate = rate_of(seconds[base], flops[base])
    benchmark.compare(seconds, base, flops, rate, points=points, dimension=dimension, batch=batch)
    name = "score, sigma 1.0"
    share = ratio(seconds[base], seconds[name]) * flops[name] / flops[base]
    what = (
        f"smoothed-training-set score, {points:,} × {dimension}, share of the float64 matrix rate"
    )
    other = "matrix product float32"
    of_float32 = ratio(seconds[other], seconds[name]) * flops[name] / flops[other]
    benchmark.find(what, share, TARGET, "%", note=f"{of_float32:.0%} of the float32 rate")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    benchmark = begin(command_line(__doc__), arguments)
    measure(benchmark, *((600, 16, 8) if benchmark.options.quick else (60_000, 784, 256)))
    benchmark.finish()


if __name__ == "__main__":
    main()
