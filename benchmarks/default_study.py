"""The wall time of the default study, compared with its training and sampling.

`snakemake --cores N` runs config/config.yaml in an empty folder. Training and sampling are the
seconds recorded by runs and settings, times their cores, over the N cores; the rest of the wall
time is staging, the classifier, evaluation, the report, and process start-up.

    python benchmarks/default_study.py --output default_study.json
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import xarray as xr
import yaml
from harness import Benchmark, begin, call, command_line, num_cores, seconds_of

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "config" / "config.yaml"
TARGET = 1.25


def core_seconds(folder: Path) -> tuple[float, float]:
    """Return the core seconds of training and of sampling in `folder`."""
    training = 0.0
    for curves in folder.glob("results/*/runs/*/training.nc"):
        with xr.open_dataset(curves, engine="h5netcdf") as curve:
            training += curve.attrs["seconds"] * curve.attrs["devices"]
    files = folder.glob("results/*/samples/*/*.json")
    found = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return training, sum(m["seconds"] * m["devices"] for m in found if "sha256" in m)


def study_of(quick: bool) -> str:
    """Return the study file, cut down if `quick`."""
    content = yaml.safe_load(STUDY.read_text(encoding="utf-8"))
    if quick:
        content["train"] |= {"steps": 20, "grid": {}}
        content["sample"] |= {"count": 20, "grid": {}}
        content["evaluate"] = {"metrics": ["frechet"], "extractors": ["pixels"], "resamplings": 0}
    return str(yaml.safe_dump(content))


def measure(benchmark: Benchmark) -> None:
    """Run the study in empty folders."""
    cores, ratios = num_cores(), []
    command = (sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile")
    for _ in range(benchmark.options.repeats):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "study.yaml").write_text(study_of(benchmark.options.quick), encoding="utf-8")
            words = (*command, "--cores", str(cores), "--configfile", "study.yaml")
            wall = seconds_of(lambda words=words, at=folder: call(*words, at=at))
            training, sampling = (seconds / cores for seconds in core_seconds(folder))
        ratios.append(wall / (training + sampling))
        row = {"wall_s": wall, "training_s": training, "sampling_s": sampling}
        benchmark.add(cores=cores, **row, ratio=ratios[-1])
    what = "wall time of the default study over its training and sampling"
    benchmark.find(what, statistics.median(ratios), TARGET, at_least=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    benchmark = begin(command_line(__doc__, repeats=1), arguments, quick_repeats=1)
    measure(benchmark)
    benchmark.finish()


if __name__ == "__main__":
    main()
