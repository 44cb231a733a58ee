"""Images per second of a feature extractor, compared with its bare network.

The bare network gets one batch that is already resized and scaled; the extractor gets stored images
and does everything that a study needs: resize, scale, batches, progress. Variants take turns, so
that other load affects all of them alike; medians of their rates and ratios are printed and
written as JSON. Weights are random: the time does not depend on them.

    python benchmarks/extractor_speed.py --output extractor_speed.json
    python benchmarks/extractor_speed.py --peer PATH    # compare with a TorchScript (default_1.pt)
"""

from __future__ import annotations

import argparse
import json
import pkgutil
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from scoresweep.metrics.extractors.base import Extractor
from scoresweep.pipeline.evaluation.real_features import extract_features
from scoresweep.pipeline.study.methods.metrics import EXTRACTORS

NETWORKS = [name for name in EXTRACTORS if name not in ("pixels", "classifier")]


def variants(options: argparse.Namespace) -> dict[str, Callable[[], object]]:
    """Return functions that compute the features of all images, by name."""
    device = torch.device(options.device)
    kind: type[Extractor] = pkgutil.resolve_name(EXTRACTORS[options.extractor])
    model = kind((options.colours, options.size, options.size), 0).eval().to(device)
    images = torch.rand(options.images, options.colours, options.size, options.size)
    batches: list[Tensor] = []
    hook = model.network.register_forward_pre_hook(lambda _, inputs: batches.append(inputs[0]))
    extract_features(model, images[: model.batch_size], "prepare", device)
    hook.remove()
    (batch,) = batches

    def bare(network: Callable[[Tensor], Tensor]) -> Callable[[], object]:
        @torch.no_grad()
        def run() -> None:
            for start in range(0, options.images, len(batch)):
                network(batch[: options.images - start])

        return run

    runs: dict[str, Callable[[], object]] = {
        "bare network": bare(model.network),
        "extractor": lambda: extract_features(model, images, "extractor", device),
    }
    if options.peer:
        runs["peer"] = bare(torch.jit.load(options.peer, map_location=device).eval())
    return runs


def seconds_of(run: Callable[[], object], device: str) -> float:
    """Return how long one call of `run` takes."""
    start = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the seconds of each repeat, by variant, after one uncounted repeat."""
    runs = variants(options)
    for run in runs.values():
        seconds_of(run, options.device)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(options.repeats):
        for name, run in runs.items():
            seconds[name].append(seconds_of(run, options.device))
    return seconds


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--extractor", default="inception", choices=NETWORKS)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--colours", type=int, default=3, choices=[1, 3])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--peer", type=Path, help="TorchScript of the same network")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    options = parse(arguments)
    torch.set_num_threads(options.threads)
    seconds = measure(options)
    base = next(iter(seconds))
    rows = []
    print(f"{'variant':24s} {'images/s':>9s} {'ratio to ' + base:>24s}")
    for name, times in seconds.items():
        ratio = statistics.median(b / t for b, t in zip(seconds[base], times, strict=True))
        rate = options.images / statistics.median(times)
        rows.append({"variant": name, "images_per_second": rate, "ratio": ratio, "seconds": times})
        print(f"{name:24s} {rate:9.2f} {ratio:24.2f}")
    if options.output:
        settings = {key: value for key, value in vars(options).items() if key != "output"}
        report = {
            "settings": settings,
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "rows": rows,
        }
        options.output.write_text(json.dumps(report, indent=2, default=str) + "\n")


if __name__ == "__main__":
    main()
