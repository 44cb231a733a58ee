"""Model the efficiency of data-parallel training on 8 to 256 GPUs. Nothing is measured.

A step on n devices takes the time of a step on one, plus the part of the all-reduce that the
backward pass does not hide. DDP sends the gradients (4 bytes per parameter) in buckets of 25 MB
during the backward pass, two thirds of a step; the last bucket is ready when it ends. An all-reduce
of b bytes takes 2 (n - 1) / n b / rate + 2 log2(n) latency, as with NCCL's trees. Efficiency is the
time of a step on one device over that on n, at the same batch per device.

The operations of a step are counted (three forward passes). The rate of a card is an assumption,
`--tflops`; or give the seconds of a step measured on one card, for each row of the table, as
`--step-seconds`.

    python benchmarks/ddp_model.py --tflops 400 --link 50
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from harness import flops_of, print_rows

from scoresweep.networks import NCSNv2, NCSNv2Deepest
from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.noise import geometric

BUCKET = 25 * 2**20
"""Bytes per bucket of gradients; DDP's default."""
BACKWARD = 2 / 3
"""Share of a step: twice the operations of the forward pass."""
DEVICES = (8, 16, 32, 64, 128, 256)
GPUS_PER_NODE = 8


@dataclass(frozen=True)
class Links:
    """Links between devices: bytes per second and device, seconds per message."""

    node: float
    network: float
    latency: float

    def all_reduce(self, size: float, devices: int) -> float:
        """Return the seconds of an all-reduce of `size` bytes on each of `devices`."""
        rate = self.node if devices <= GPUS_PER_NODE else self.network
        share = (devices - 1) / devices * size / rate
        return 2 * (share + math.log2(devices) * self.latency)


def efficiency(step: float, gradients: float, devices: int, links: Links) -> float:
    """Return the time of a step on one device over that on `devices`.

    Args:
        step: seconds of a step on one device.
        gradients: bytes of all gradients.
        devices: number of devices.
        links: links between them.
    """
    buckets = max(1, -(-int(gradients) // BUCKET))
    each = links.all_reduce(gradients / buckets, devices)
    # The last bucket waits for the end of the backward pass and for earlier buckets.
    after = each + max(0.0, (buckets - 1) * each - BACKWARD * step)
    return step / (step + after)


def step_flops(network: ScoreNetwork, shape: tuple[int, ...]) -> float:
    """Return the operations of a training step for one image: three forward passes."""
    x, sigma = torch.empty(1, *shape, device="meta"), torch.ones(1, device="meta")
    with torch.no_grad():
        return 3 * flops_of(lambda: network(x, sigma))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--tflops", type=float, default=400, help="per card, in training")
    parser.add_argument("--batch", type=int, nargs="+", default=[16, 64], help="per card")
    row_help = "of a step on one card, per network and batch, instead of --tflops"
    parser.add_argument("--step-seconds", type=float, nargs="+", help=row_help)
    parser.add_argument("--node-link", type=float, default=300, help="GB/s per card within a node")
    parser.add_argument("--link", type=float, default=50, help="GB/s per card between nodes")
    parser.add_argument("--latency", type=float, default=10e-6, help="seconds per message")
    options = parser.parse_args(arguments)
    links = Links(options.node_link * 1e9, options.link * 1e9, options.latency)
    cases, sigmas = (
        ((NCSNv2, (3, 32, 32)), (NCSNv2Deepest, (3, 256, 256))),
        geometric(50, 0.01, 232),
    )
    count = len(cases) * len(options.batch)
    measured = options.step_seconds or [0.0] * count
    if len(measured) != count:
        parser.error(f"--step-seconds: {len(measured)} numbers; expected {count}, one per row")
    rows: list[dict[str, object]] = []
    for kind, shape in cases:
        with torch.device("meta"):
            network = kind(shape, sigmas, channels=128)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        flops = step_flops(network, shape)
        for batch in options.batch:
            step = measured[len(rows)] or flops * batch / (options.tflops * 1e12)
            row: dict[str, object] = {
                "network": f"{parameters / 1e6:.1f} M, {shape[1]}×{shape[2]}",
                "batch": batch,
            }
            row["step_ms"] = 1e3 * step
            row["all_reduce_MB"] = 4 * parameters / 1e6
            shares = {
                f"{n}_GPUs": f"{efficiency(step, 4 * parameters, n, links):.0%}" for n in DEVICES
            }
            rows.append(row | shares)
    print_rows(rows)


if __name__ == "__main__":
    main()
