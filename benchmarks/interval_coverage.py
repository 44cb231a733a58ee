"""Coverage of the 95 % intervals of metrics: how often they contain the mean over fresh samples.

The real samples are Gaussian and fixed; each repeat draws new generated ones, of one of several
kinds. A row is one metric on one kind: its mean, the share of intervals that contain that mean,
and the share of intervals with zero width.

    python benchmarks/interval_coverage.py --output interval_coverage.json
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from harness import Benchmark, begin, command_line
from torch import Tensor

from scoresweep.metrics import Features
from scoresweep.pipeline.evaluation.feature_sets import DatasetFacts, FeatureSets
from scoresweep.pipeline.evaluation.sample_metrics import measure_samples
from scoresweep.pipeline.study import Evaluate

METRICS = ["frechet", "frechet_infinity", "kid", "prdc"]
FEATURES = 8

Kind = Callable[[Tensor], Tensor]
"""Makes generated samples (N, D) from standard normal ones."""


def in_place(share: float) -> Kind:
    """Return a function that moves all but a random `share` of the samples far away."""
    return lambda x: x + 20.0 * (torch.rand(len(x), 1) >= share)


KINDS: dict[str, Kind] = {
    "like real ones": lambda x: x,
    "wider": lambda x: 1.3 * x + 0.2,
    "narrower": lambda x: 0.7 * x,
    "30 % in place": in_place(0.3),
    "0.5 % in place": in_place(0.005),
}


def measure(benchmark: Benchmark, kind: str, count: int) -> None:
    """Add the rows for `count` generated samples of a kind."""
    options = benchmark.options
    real, other = (Features(torch.randn(n, FEATURES)) for n in (options.real, 30))
    evaluate = Evaluate(
        metrics=METRICS,
        extractors=["pixels"],
        resamplings=options.halves,
        kid_subsets=20,
    )
    intervals: dict[str, list[list[float]]] = {}
    for _ in range(options.repeats):
        generated = Features(KINDS[kind](torch.randn(count, FEATURES)))
        sets = FeatureSets(real, generated, other, other, resize="none")
        values, _ = measure_samples(evaluate, lambda _, sets=sets: sets, DatasetFacts())
        for name in (str(name) for name in values if f"{name}_low" in values):
            ends = [float(values[f"{name}{end}"]) for end in ("", "_low", "_high")]
            intervals.setdefault(name.removesuffix("_pixels"), []).append(ends)
    for name, rows in intervals.items():
        value, low, high = np.array(rows).T
        covered = (low <= value.mean()) & (value.mean() <= high)
        benchmark.add(
            samples=count,
            kind=kind,
            metric=name,
            mean=float(value.mean()),
            covered=float(covered.mean()),
            zero_width=float((low == high).mean()),
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = command_line(__doc__, repeats=200)
    parser.add_argument("--samples", type=int, nargs="+", default=[100, 200])
    parser.add_argument("--real", type=int, default=2000)
    parser.add_argument("--halves", type=int, default=20)
    benchmark = begin(parser, arguments)
    for count in benchmark.options.samples:
        for kind in KINDS:
            measure(benchmark, kind, count)
    benchmark.finish()


if __name__ == "__main__":
    main()
