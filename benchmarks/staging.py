"""Staging Fashion-MNIST, compared with decompressing the same files and `numpy.save`.

Both start from the four published, compressed files and end with 70,000 images and labels on
disk, and the decompressed files: staging keeps those in a cache, which is empty here. Staging
also verifies all checksums and waits until everything is on disk; a plain variant that waits too
is timed as well. Each turn writes to its own folder while the disk is otherwise idle: pending
writes are flushed first, and old folders removed later. If the data cannot be fetched, nothing is
measured.

    python benchmarks/staging.py --output staging.json
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from harness import Benchmark, begin, command_line, ratio

from scoresweep.pipeline.data.fetch import fetch
from scoresweep.pipeline.data.sources.mnist import FASHION_MNIST, FILES
from scoresweep.pipeline.errors import ScoresweepError
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.study.methods.datasets import Source
from scoresweep.pipeline.system.atomic_files import sync_to_disk

TARGET = 1.5


def write_compressed(folder: Path) -> Path:
    """Write the published files to `folder`, compressed as published."""
    folder.mkdir()
    for name, file in fetch(FASHION_MNIST, None).files.items():
        with gzip.open(folder / f"{name}.gz", "wb", compresslevel=9) as packed:
            packed.write(file.read_bytes())
    return folder


def plain(source: Path, target: Path, synced: bool = False) -> None:
    """Decompress each file and save its array; if `synced`, wait for the disk."""
    for name in FILES:
        with gzip.open(source / f"{name}.gz") as packed:
            content = packed.read()
        axes = content[3]  # IDX: the header holds the size of each axis in four bytes
        shape = np.frombuffer(content, ">u4", axes, offset=4)
        pixels = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
        np.save(target / f"{name}.npy", pixels.reshape(shape))
    if synced:
        sync_to_disk(target)


def plan_of(root: Path, source: Path) -> Plan:
    """Plan a study of the data in `source`."""
    content = {
        "study": "staging",
        "dataset": {"name": "fashion_mnist", "source": Source(path=source).model_dump(mode="json")},
        "train": {
            "network": {"name": "ncsnv2", "channels": 8},
            "noise": {"name": "geometric", "sigma_max": 20, "sigma_min": 0.01, "levels": 10},
            "steps": 1,
        },
        "sample": {"sampler": {"name": "annealed_langevin", "step_size": "auto"}},
    }
    return plan_study(parse_study(content, "study.yaml"), root)


def stage_uncached(source: Path, target: Path) -> None:
    """Stage the data with an empty cache."""
    os.environ["SCORESWEEP_CACHE"] = str(target / "cache")
    plan = plan_of(target, source)
    with contextlib.redirect_stderr(io.StringIO()):
        stage(plan, plan.study.dataset[0].id)


def measure(benchmark: Benchmark, folder: Path) -> None:
    """Time the variants from the files to arrays on disk."""
    source = write_compressed(folder / "published")
    runs: dict[str, Callable[[Path, Path], None]] = {
        "decompress and save": plain,
        "the same, synced": partial(plain, synced=True),
        "stage": stage_uncached,
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(-1, benchmark.options.repeats):
        for name, run in runs.items():
            with tempfile.TemporaryDirectory(dir=folder) as target:
                os.sync()
                once = {name: partial(run, source, Path(target))}
                (elapsed,) = benchmark.times(once, 1, warm_ups=0)[name]
            if turn >= 0:
                seconds[name].append(elapsed)
    benchmark.compare(seconds, "decompress and save", images=70_000)
    slower = ratio(seconds["stage"], seconds["decompress and save"])
    synced = ratio(seconds["stage"], seconds["the same, synced"])
    note = f"{synced:.2f}× if both wait for the disk"
    benchmark.find("staging Fashion-MNIST", slower, TARGET, at_least=False, note=note)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    benchmark = begin(command_line(__doc__), arguments)
    with tempfile.TemporaryDirectory() as folder:
        try:
            measure(benchmark, Path(folder))
        except ScoresweepError as error:
            print(f"not measured: {error}")
    benchmark.finish()


if __name__ == "__main__":
    main()
