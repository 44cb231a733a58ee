"""Time of implicit over sliced score matching, by dimension of the data.

The experiment of Kondracki and Le Bihan, "From score matching to score-based generative modeling",
2024, figure 1: a network with two hidden layers of 10·D units on data of D dimensions. `ism`
computes the exact trace, `ssm_vr` takes a single backward pass. They measured a ratio of about 610
at D = 1,000, with one backward pass per dimension. That variant is timed beside `ism`, which
batches the passes of many dimensions; at most 100 passes are measured, and scaled up. Batch,
activation and one thread are ours.

The time of an objective is that of its value, from which the gradient could be taken; `--backward`
adds the gradient. Repeats stop after one that took longer than `--enough` seconds.

    python benchmarks/ism_vs_ssm.py --output ism_vs_ssm.json
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch
from harness import Benchmark, begin, command_line, ratio, take_turns
from implicit_objectives import EACH, SIGMA, network_of, one_pass_each
from torch import Tensor

from scoresweep.objectives import ism, ssm_vr

SLOW = ("ism", EACH)


def measure(benchmark: Benchmark, dimension: int) -> dict[str, list[float]]:
    """Return the seconds of each turn, by objective."""
    options, device = benchmark.options, benchmark.device
    network = network_of(dimension, device)
    x = torch.randn(options.batch, dimension, device=device)
    sigma, z = x.new_full((len(x),), SIGMA), torch.randn_like(x)
    v = torch.randn(1, *x.shape, device=device).sign()

    def value(losses: Tensor) -> None:
        if options.backward:
            losses.mean().backward()

    passes = min(dimension, 100)
    runs = {
        "ssm_vr": lambda: value(ssm_vr(network, x, sigma, z, v=v)),
        EACH: lambda: value(one_pass_each(network, x, passes)),
        "ism": lambda: value(ism(network, x, sigma, z)),
        # `ssm_vr` is timed before and after the long variants, and averaged.
        "again": lambda: value(ssm_vr(network, x, sigma, z, v=v)),
    }
    runs["ssm_vr"]()
    ism(network_of(4, device), x[:, :4], sigma, z[:, :4])  # warms up its imports
    seconds: dict[str, list[float]] = {"ism": [], EACH: [], "ssm_vr": []}
    for _ in range(options.repeats):
        turn = take_turns(runs, 1, options.device, warm_ups=0)
        seconds["ism"] += turn["ism"]
        seconds[EACH].append(turn[EACH][0] * dimension / passes)
        seconds["ssm_vr"].append((turn["ssm_vr"][0] + turn["again"][0]) / 2)
        if seconds["ism"][-1] > options.enough:
            break
    return seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = command_line(__doc__)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument(
        "--enough", type=float, default=20.0, help="stop after a repeat of so many seconds"
    )
    parser.add_argument("--backward", action="store_true", help="also time the gradient")
    parser.set_defaults(threads=1)
    benchmark = begin(parser, arguments)
    for dimension in [10] if benchmark.options.quick else benchmark.options.dimensions:
        seconds = measure(benchmark, dimension)
        medians = {f"{name}_s": statistics.median(times) for name, times in seconds.items()}
        ratios = {f"{name}_over_ssm_vr": ratio(seconds[name], seconds["ssm_vr"]) for name in SLOW}
        benchmark.add(dimension=dimension, **medians, **ratios, seconds=seconds)
    benchmark.finish()


if __name__ == "__main__":
    main()
