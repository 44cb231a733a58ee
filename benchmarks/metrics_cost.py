"""Seconds per metric for one setting: its value, interval and both baselines.

1,000 samples with 2,048 features, 50 halves, against 10,000 real samples whose mean and covariance
are already known, as in a study. The features are random: the time does not depend on them. The
extractor is not included.

    python benchmarks/metrics_cost.py --threads 1 --output metrics_cost.json
    python benchmarks/metrics_cost.py --real 50000
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch
from harness import begin, command_line

from scoresweep.metrics import Features
from scoresweep.pipeline.evaluation.feature_sets import DatasetFacts, FeatureSets
from scoresweep.pipeline.evaluation.sample_metrics import measure_samples
from scoresweep.pipeline.study import Evaluate

METRICS = (
    "frechet",
    "frechet_infinity",
    "kid",
    "prdc",
    "nearest",
    "sliced_wasserstein",
    "energy_distance",
    "mmd",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = command_line(__doc__, repeats=1)
    parser.add_argument("--real", type=int, default=10_000, help="real samples")
    parser.add_argument("--samples", type=int, default=1000, help="generated samples")
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--halves", type=int, default=50)
    benchmark = begin(parser, arguments)
    options = benchmark.options
    if options.quick:
        options.real, options.samples, options.features, options.halves = 200, 60, 16, 4
    real = Features(torch.randn(options.real, options.features))
    known = real.values, None, (real.mean, real.covariance_factor)
    others = [torch.randn(options.samples, options.features) for _ in range(3)]

    def measure(metric: str) -> None:
        evaluate = Evaluate(metrics=[metric], extractors=["pixels"], resamplings=options.halves)
        # New sets, without cached results of an earlier turn.
        sets = FeatureSets(Features(*known), *(Features(x) for x in others), resize="none")
        _, problems = measure_samples(evaluate, lambda _: sets, DatasetFacts())
        if problems:
            raise SystemExit(str(problems))

    runs = {metric: lambda metric=metric: measure(metric) for metric in METRICS}
    for metric, seconds in benchmark.times(runs, warm_ups=0).items():
        benchmark.add(metric=metric, median_s=statistics.median(seconds), seconds=seconds)
    benchmark.finish()


if __name__ == "__main__":
    main()
