"""Time of implicit score matching over that of sliced score matching, by the data's dimension.

The experiment of Kondracki and Le Bihan, "From score matching to score-based generative modeling",
2024, figure 1: a network with two hidden layers of 10·D units on data of D dimensions; `ism` takes
the exact trace, one backward pass a dimension, `ssm_vr` one backward pass in all. They measured
about 610 times at D = 1,000. The batch, the activation and one thread are ours.

An objective's time is that of its value, from which the gradient could be taken; `--backward` adds
that of the gradient. It is CPU time of the one thread, in which waiting for other programs does not
count, and the two take turns, so that a second load on the machine meets both alike; the medians of
their times and ratios are printed and written as JSON.

    python benchmarks/ism_vs_ssm.py --output ism_vs_ssm.json
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor

from scoresweep.networks import PlainMLP
from scoresweep.objectives import ism, ssm_vr

SIGMA = 0.1
"""Noise level: changes nothing in the time."""


def seconds_of(objective: str, network: PlainMLP, x: Tensor, *, backward: bool) -> float:
    """Return the CPU seconds of one value of the objective, and of its gradient where asked for."""
    sigma, z = x.new_full((len(x),), SIGMA), torch.randn_like(x)
    v = torch.randn(1, *x.shape).sign()
    start = time.process_time()
    short = objective == "ssm_vr"
    losses = ssm_vr(network, x, sigma, z, v=v) if short else ism(network, x, sigma, z)
    if backward:
        losses.mean().backward()
    return time.process_time() - start


def measure(dimension: int, options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the seconds of each repeat, by objective, after one value that is not counted.

    A repeat that took longer than `options.enough` seconds is the last one.
    """
    hidden = (10 * dimension, 10 * dimension)
    network = PlainMLP(
        (dimension,), torch.tensor([SIGMA]), hidden=hidden, activation="tanh", conditioning="none"
    )
    x = torch.randn(options.batch, dimension)
    seconds_of("ssm_vr", network, x, backward=options.backward)
    seconds: dict[str, list[float]] = {"ism": [], "ssm_vr": []}
    for _ in range(options.repeats):
        # The short one is timed before and after the long one, and the mean taken.
        short = [seconds_of("ssm_vr", network, x, backward=options.backward) for _ in range(3)]
        seconds["ism"].append(seconds_of("ism", network, x, backward=options.backward))
        short += [seconds_of("ssm_vr", network, x, backward=options.backward) for _ in range(3)]
        seconds["ssm_vr"].append(statistics.median(short))
        if seconds["ism"][-1] > options.enough:
            break
    return seconds


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dimensions", type=int, nargs="+", default=[10, 30, 100, 300, 1000])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--enough", type=float, default=20.0, help="seconds of the last repeat")
    parser.add_argument("--backward", action="store_true", help="time the gradient as well")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    return parser.parse_args()


def main() -> None:
    """Measure, print a table, write the JSON file."""
    options = parse()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows = []
    timed = "the value and its gradient" if options.backward else "the value, without its gradient"
    print(f"CPU seconds of {timed}, on one thread")
    print(f"{'dimension':>9s} {'ism s':>10s} {'ssm_vr s':>10s} {'ratio':>8s}", flush=True)
    for dimension in options.dimensions:
        seconds = measure(dimension, options)
        pairs = zip(seconds["ism"], seconds["ssm_vr"], strict=True)
        ratio = statistics.median(long / short for long, short in pairs)
        middle = {name: statistics.median(times) for name, times in seconds.items()}
        rows.append({"dimension": dimension, "ratio": ratio, "seconds": seconds})
        print(
            f"{dimension:9d} {middle['ism']:10.4f} {middle['ssm_vr']:10.4f} {ratio:8.1f}",
            flush=True,
        )
    if options.output:
        settings = {key: value for key, value in vars(options).items() if key != "output"}
        versions = {"python": platform.python_version(), "torch": torch.__version__}
        report = {"settings": settings, "versions": versions, "threads": 1, "rows": rows}
        options.output.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
