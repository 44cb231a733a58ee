"""Images per second of a feature extractor, compared with its bare network.

The bare network gets one batch that is already resized and scaled; the extractor gets stored images
and does everything that a study needs: resize, scale, batches, progress. Variants take turns, so
that other load affects all of them alike; medians of their rates and ratios are printed and
written as JSON. Weights are random: the time does not depend on them.

    python benchmarks/extractor_speed.py --output extractor_speed.json
    python benchmarks/extractor_speed.py --torchscript PATH    # compare with default_1.pt
"""

from __future__ import annotations

import argparse
import pkgutil
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from harness import Run, begin, command_line, ratio
from torch import Tensor

from scoresweep.metrics.extractors.extractor import Extractor
from scoresweep.pipeline.evaluation.real_features import extract_features
from scoresweep.pipeline.study.methods.metrics import EXTRACTORS

NETWORKS = [name for name in EXTRACTORS if name not in ("pixels", "classifier")]


def variants(options: argparse.Namespace) -> dict[str, Run]:
    """Return functions that compute the features of all images, by name."""
    device = torch.device(options.device)
    kind: type[Extractor] = pkgutil.resolve_name(EXTRACTORS[options.extractor].target)
    model = kind((options.colours, options.size, options.size), 0).eval().to(device)
    images = torch.rand(options.images, options.colours, options.size, options.size)
    batches: list[Tensor] = []
    hook = model.network.register_forward_pre_hook(lambda _, inputs: batches.append(inputs[0]))
    extract_features(model, images[: model.batch_size], "prepare", device)
    hook.remove()
    (batch,) = batches

    def bare(network: Callable[[Tensor], Tensor]) -> Run:
        @torch.no_grad()
        def run() -> None:
            for start in range(0, options.images, len(batch)):
                network(batch[: options.images - start])

        return run

    runs: dict[str, Run] = {
        "bare network": bare(model.network),
        "extractor": lambda: extract_features(model, images, "extractor", device),
    }
    if options.torchscript:
        runs["TorchScript"] = bare(torch.jit.load(options.torchscript, map_location=device).eval())
    return runs


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = command_line(__doc__, repeats=7)
    parser.add_argument("--extractor", default="inception", choices=NETWORKS)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--colours", type=int, default=3, choices=[1, 3])
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--torchscript", type=Path, help="TorchScript of the same network")
    benchmark = begin(parser, arguments)
    options = benchmark.options
    if options.quick:
        options.images = 2
    seconds = benchmark.times(variants(options))
    for name, times in seconds.items():
        rate = options.images / statistics.median(times)
        benchmark.add(
            variant=name,
            images_per_second=rate,
            ratio=ratio(seconds["bare network"], times),
            seconds=times,
        )
    benchmark.finish()


if __name__ == "__main__":
    main()
