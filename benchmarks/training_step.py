"""Images per second of a training step of NCSNv2: layout and precision against the plain program.

A step is the forward pass, the denoising score matching loss, the backward pass, Adam and the
moving average of the weights. Variants take turns, so that a second load on the machine meets all
of them alike; the medians of their rates and ratios are printed and written as JSON.

    python benchmarks/training_step.py --output training_step.json
    python benchmarks/training_step.py --peer PATH    # beside a checkout of the authors' program
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from scoresweep.networks import NCSNv2
from scoresweep.noise import geometric
from scoresweep.objectives import dsm

SIGMAS = geometric(50, 0.01, 232)


def training_step(
    score: Callable[[Tensor, Tensor], Tensor],
    network: nn.Module,
    batch: tuple[int, ...],
    *,
    layout: torch.memory_format,
    bf16: bool,
    device: torch.device,
) -> Callable[[], None]:
    """Return a function that makes one training step of `network` on its own random batch."""
    network = network.to(device, memory_format=layout)
    x = torch.rand(batch, device=device).contiguous(memory_format=layout)
    sigmas = SIGMAS.float().to(device)
    parameters = list(network.parameters())
    average = [parameter.detach().clone() for parameter in parameters]
    optimizer = torch.optim.Adam(parameters, 1e-4, fused=True)

    def step() -> None:
        sigma = sigmas[torch.randint(len(sigmas), (len(x),), device=device)]
        z = torch.randn_like(x)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            loss = dsm(score, x, sigma, z).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        torch._foreach_lerp_(average, [parameter.detach() for parameter in parameters], 1e-3)

    return step


def peer_network(folder: Path, shape: tuple[int, ...], channels: int) -> nn.Module:
    """Build the authors' network from a checkout of their program (ermongroup/ncsnv2)."""
    sys.path.insert(0, str(folder))
    from models.ncsnv2 import NCSNv2 as PeerNCSNv2

    model = {"normalization": "InstanceNorm++", "nonlinearity": "elu", "sigma_dist": "geometric"}
    numbers = {"ngf": channels, "num_classes": 232, "sigma_begin": 50, "sigma_end": 0.01}
    data = {"channels": shape[0], "image_size": shape[1]}
    return PeerNCSNv2(
        SimpleNamespace(
            data=SimpleNamespace(**data, logit_transform=False, rescaled=False),
            model=SimpleNamespace(**model, **numbers),
            device="cpu",
        )
    )


def variants(options: argparse.Namespace) -> dict[str, Callable[[], None]]:
    """Return a training step for each variant, by name."""
    shape = (options.colours, options.size, options.size)
    batch = (options.batch, *shape)
    device = torch.device(options.device)
    steps: dict[str, Callable[[], None]] = {}
    if options.peer:
        peer = peer_network(options.peer, shape, options.channels)

        def peer_score(x: Tensor, _: Tensor) -> Tensor:
            # It takes the index of a level, on which the time does not depend.
            return peer(x, torch.zeros(len(x), dtype=torch.long, device=x.device))

        steps["peer float32"] = training_step(
            peer_score, peer, batch, layout=torch.contiguous_format, bf16=False, device=device
        )
    for name, layout, bf16 in [
        ("float32", torch.contiguous_format, False),
        ("float32 channels-last", torch.channels_last, False),
        ("bf16 channels-last", torch.channels_last, True),
    ]:
        network = NCSNv2(shape, SIGMAS, channels=options.channels)
        steps[name] = training_step(
            network, network, batch, layout=layout, bf16=bf16, device=device
        )
    return steps


def seconds_of(step: Callable[[], None], device: str) -> float:
    """Return how long one call of `step` takes."""
    start = time.perf_counter()
    step()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the seconds of each repeat, by variant, after one step that is not counted."""
    steps = variants(options)
    for step in steps.values():
        seconds_of(step, options.device)
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.repeats):
        for name, step in steps.items():
            seconds[name].append(seconds_of(step, options.device))
    return seconds


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--colours", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--peer", type=Path, help="checkout of the authors' program")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    return parser.parse_args()


def main() -> None:
    """Measure, print a table, write the JSON file."""
    options = parse()
    seconds = measure(options)
    base = next(iter(seconds))
    rows = []
    print(f"{'variant':24s} {'images/s':>9s} {'ratio to ' + base:>24s}")
    for name, times in seconds.items():
        ratio = statistics.median(b / t for b, t in zip(seconds[base], times, strict=True))
        rate = options.batch / statistics.median(times)
        rows.append({"variant": name, "images_per_second": rate, "ratio": ratio, "seconds": times})
        print(f"{name:24s} {rate:9.2f} {ratio:24.2f}")
    if options.output:
        settings = {key: value for key, value in vars(options).items() if key != "output"}
        report = {
            "settings": settings,
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "threads": torch.get_num_threads(),
            "rows": rows,
        }
        options.output.write_text(json.dumps(report, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
