"""Training in two processes of one thread (gloo), compared with one process of two threads.

`scoresweep train` trains the same run with the same global batch both ways, in turns. The speed is
the median of the run's curve, so that process start-up does not count.

    python benchmarks/processes.py --output processes.json
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr
import yaml
from harness import Benchmark, begin, command_line, python
from ncsnv2 import Case
from training_loop import plan_of

TARGET = 0.9


def images_per_second(folder: Path, processes: int, threads: int, gpus: int) -> float:
    """Train the run in `folder` from the start; return its median speed."""
    shutil.rmtree(folder / "results", ignore_errors=True)
    command = ["-m", "scoresweep", "train", "study.yaml", "--gpus", str(gpus)]
    python(*command, "--processes", str(processes), "--threads", str(threads), at=folder)
    (curves,) = folder.glob("results/*/runs/*/training.nc")
    with xr.open_dataset(curves, engine="h5netcdf") as curve:
        # The first point includes the selection of kernels.
        return float(np.median(curve["images_per_second"].values[1:]))


def measure(benchmark: Benchmark, case: Case, steps: int, every: int) -> None:
    """Measure both ways to use two cores, or two GPUs."""
    on_gpu = benchmark.options.device == "cuda"
    ways = {"1 process × 2 threads": (1, 2), "2 processes × 1 thread": (2, 1)}
    if on_gpu and torch.cuda.device_count() < 2:
        print("not measured: this needs two GPUs")
        return
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train = plan_of(folder, case, steps, "bf16").study.model_dump(mode="json")
        train["train"]["log"] = {"scalars": every, "image_count": 0}
        (folder / "study.yaml").write_text(yaml.safe_dump(train))
        for _ in range(benchmark.options.repeats):
            for way, (processes, threads) in ways.items():
                gpus = processes if on_gpu else 0
                speeds[way].append(images_per_second(folder, processes, threads, gpus))
    one, two = speeds.values()
    for way, values in speeds.items():
        median = statistics.median(values)
        benchmark.add(case=case.name, way=way, images_per_second=median, each=values)
    share = statistics.median(b / a for a, b in zip(one, two, strict=True))
    benchmark.find("2 processes × 1 thread against 1 × 2 threads", share, TARGET)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    benchmark = begin(command_line(__doc__), arguments, quick_repeats=1)
    if benchmark.options.quick:
        measure(benchmark, Case(4, (1, 8, 8), 8), 12, 4)
    else:
        measure(benchmark, Case(32, (1, 28, 28), 16), 30, 6)
    benchmark.finish()


if __name__ == "__main__":
    main()
