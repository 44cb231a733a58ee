"""Reading kept features of samples against extracting them, as after a changed metric option.

Weights are random: the time does not depend on them. Reading includes the hashes of all samples,
with which the file is checked.

    python benchmarks/kept_features.py --extractor inception --output kept_features.json
"""

from __future__ import annotations

import pkgutil
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from harness import begin, command_line, ratio

from scoresweep.metrics.extractors.extractor import Extractor
from scoresweep.pipeline.evaluation.kept_features import KeptFeatures, hash_samples
from scoresweep.pipeline.evaluation.real_features import extract_features
from scoresweep.pipeline.study.methods.metrics import EXTRACTORS

KEPT = [name for name, extractor in EXTRACTORS.items() if extractor.is_kept]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = command_line(__doc__, repeats=3)
    parser.add_argument("--extractor", default="efficientnet_lite0", choices=KEPT)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--images", type=int, default=512)
    benchmark = begin(parser, arguments)
    options = benchmark.options
    if options.quick:
        options.images = 4
    kind: type[Extractor] = pkgutil.resolve_name(EXTRACTORS[options.extractor].target)
    model = kind((3, options.size, options.size), 10).eval()
    images = torch.rand(options.images, options.size, options.size, 3).permute(0, 3, 1, 2)
    device = torch.device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        kept = KeptFeatures(Path(folder) / "features.safetensors", {"extractor": model.name})
        kept.write(extract_features(model, images, "prepare", device), hash_samples(images))
        runs = {
            "extract": lambda: extract_features(model, images, "extract", device),
            "read": lambda: kept.read(hash_samples(images)),
        }
        seconds = benchmark.times(runs)
        size = kept.path.stat().st_size
    for name, times in seconds.items():
        benchmark.add(
            variant=name,
            median_s=statistics.median(times),
            ratio=ratio(seconds["extract"], times),
            bytes_per_image=size / options.images,
            seconds=times,
        )
    benchmark.finish()


if __name__ == "__main__":
    main()
