"""Staging Fashion-MNIST against decompressing the same files and `numpy.save`.

Both start from the four published files, compressed, and end with 70,000 images and labels on the
disk, beside the decompressed files: staging keeps those in a cache, which is empty here. It also
checks every sum on its way, and waits until all is on the disk: a plain way that waits too is
beside it. Where the data cannot be had, nothing is measured.

    python benchmarks/staging.py --output staging.json
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from harness import Benchmark, begin, command_line, ratio

from scoresweep.data.fetch import fetch
from scoresweep.data.sources.idx import FASHION_MNIST, FILES, read_idx
from scoresweep.errors import ScoresweepError
from scoresweep.pipeline.stage import stage
from scoresweep.study import Plan, parse_study, plan_study
from scoresweep.study.components.datasets import Source

REACH = 1.5


def compressed(folder: Path) -> Path:
    """Put the published files into `folder`, compressed as they are published."""
    folder.mkdir()
    for name, file in fetch(FASHION_MNIST, None).files.items():
        with gzip.open(folder / f"{name}.gz", "wb", compresslevel=9) as packed:
            packed.write(file.read_bytes())
    return folder


def plain(source: Path, target: Path, synced: bool = False) -> None:
    """Decompress each file and save its array; `synced` waits until the disk has them."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name in FILES:
        with gzip.open(source / f"{name}.gz") as packed, (target / name).open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
        np.save(target / f"{name}.npy", read_idx(target / name))
    for file in target.iterdir() if synced else ():
        with file.open("rb") as written:
            os.fsync(written)


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


def measure(benchmark: Benchmark, folder: Path) -> None:
    """Measure both ways from the files to arrays on the disk."""
    source = compressed(folder / "published")
    plan = plan_of(folder, source)

    os.environ["SCORESWEEP_CACHE"] = str(folder / "cache")

    def staged() -> None:
        for name in ("data", "cache"):
            shutil.rmtree(folder / name, ignore_errors=True)
        with contextlib.redirect_stderr(io.StringIO()):
            stage(plan, plan.study.dataset[0].id)

    runs = {
        "decompress and save": lambda: plain(source, folder / "plain"),
        "the same, synced": lambda: plain(source, folder / "plain", synced=True),
        "stage": staged,
    }
    seconds = benchmark.times(runs)
    benchmark.compare(seconds, "decompress and save", images=70_000)
    slower = ratio(seconds["stage"], seconds["decompress and save"])
    synced = ratio(seconds["stage"], seconds["the same, synced"])
    note = f"{synced:.2f}× where both wait for the disk"
    benchmark.find("staging Fashion-MNIST", slower, REACH, at_least=False, note=note)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print tables, write the JSON file."""
    benchmark = begin(command_line(__doc__), arguments)
    with tempfile.TemporaryDirectory() as folder:
        try:
            measure(benchmark, Path(folder))
        except ScoresweepError as error:
            print(f"nothing is measured: {error}")
    benchmark.finish()


if __name__ == "__main__":
    main()
