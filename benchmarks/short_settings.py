"""A study of many settings of two seconds each: jobs, wall time and files.

The wall time is compared with the settings' own compute time, divided over the cores. `--slurm`
runs the jobs on the cluster of this machine (`make cluster`), with the profile in slurm/; four
nodes share its cores. `--checkout` runs another version, whose environment is in its .venv.

    python benchmarks/short_settings.py --output short_settings.json
    python benchmarks/short_settings.py --slurm --checkout ../before
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr
import yaml
from harness import Benchmark, begin, call, command_line, num_cores

ROOT = Path(__file__).parents[1]
SECONDS = 2.0
"""Of a setting, on one core."""
TARGET = 1.5
PROBE_STEPS = 200


def study_of(settings: int, steps: int) -> dict[str, Any]:
    """Return a study of one short training and `settings` settings of `steps` steps per level."""
    return {
        "study": "short",
        "dataset": {"name": "digits"},
        "train": {
            "network": {"name": "mlp", "width": 64, "blocks": 2},
            "noise": {"name": "geometric", "sigma_max": 8.0, "sigma_min": 0.05, "levels": 5},
            "steps": 50,
            "batch_size": 32,
        },
        "sample": {
            "sampler": {"name": "annealed_langevin", "step_size": 1e-5, "steps_per_level": steps},
            "count": 100,
            "grid": {"sampler.step_size": [1e-5 * (1 + k / 1000) for k in range(settings)]},
        },
        "evaluate": {"metrics": ["frechet"], "extractors": ["pixels"], "resamplings": 0},
    }


def run(checkout: Path, folder: Path, study: dict[str, Any], *options: str) -> tuple[float, int]:
    """Run a study in `folder`; return the wall time and the number of jobs."""
    python = checkout / ".venv/bin/python"
    (folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    command = (python, "-m", "snakemake", "--snakefile", checkout / "Snakefile")
    started = time.monotonic()
    call(*command, "--configfile", "study.yaml", *options, at=folder)
    seconds = time.monotonic() - started
    logs = (folder / ".snakemake/log").glob("*.log")
    said = " ".join(path.read_text(encoding="utf-8") for path in logs)
    return seconds, max(int(total) for total in re.findall(r"\d+ of (\d+) steps", said)) - 1


def compute_seconds(folder: Path) -> float:
    """Return the seconds that drawing and measuring took, without starting processes."""
    manifests = folder.glob("results/short/samples/*/*.json")
    contents = [json.loads(path.read_text(encoding="utf-8")) for path in manifests]
    total = sum(content["seconds"] for content in contents if "sha256" in content)
    for path in folder.glob("results/short/metrics/*/*.nc"):
        with xr.open_dataset(path, engine="h5netcdf") as file:
            total += file.attrs["seconds"]
    return float(total)


def steps_of_two_seconds(checkout: Path) -> int:
    """Return the steps per level that take `SECONDS`, found by one setting."""
    with tempfile.TemporaryDirectory() as name:
        run(checkout, Path(name), study_of(1, PROBE_STEPS), "--cores", "1")
        (manifest,) = (
            content
            for path in Path(name).glob("results/short/samples/*/*.json")
            if "sha256" in (content := json.loads(path.read_text(encoding="utf-8")))
        )
    return max(1, round(PROBE_STEPS * SECONDS / manifest["seconds"]))


def measure(benchmark: Benchmark, settings: int) -> None:
    """Run the study once in an empty folder."""
    options = benchmark.options
    checkout = options.checkout.resolve()
    steps = options.steps_per_level or steps_of_two_seconds(checkout)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder, cores = Path(name), num_cores()
        where = ["--cores", str(cores)]
        if options.slurm:
            shutil.copytree(checkout / "slurm", folder / "slurm")
            where = ["--profile", "slurm"]
        wall, jobs = run(checkout, folder, study_of(settings, steps), *where)
        compute = compute_seconds(folder)
        files = sum(path.is_file() for path in folder.rglob("*"))
    ratio = wall * cores / compute
    row = {"settings": settings, "steps_per_level": steps, "jobs": jobs, "wall_s": wall}
    benchmark.add(**row, compute_s=compute, files=files, ratio=ratio)
    where_run = "on SLURM" if options.slurm else f"on {cores} cores"
    what = f"wall time of {settings} settings of two seconds over their compute, {where_run}"
    benchmark.find(what, ratio, TARGET, at_least=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = command_line(__doc__)
    parser.add_argument("--slurm", action="store_true", help="run the jobs on SLURM")
    parser.add_argument("--checkout", type=Path, default=ROOT, help="version to run")
    parser.add_argument("--folder", type=Path, help="where to work; shared between the nodes")
    parser.add_argument("--settings", type=int, default=200)
    parser.add_argument("--steps-per-level", type=int, help="default: what takes two seconds")
    benchmark = begin(parser, arguments)
    if benchmark.options.quick:
        benchmark.options.steps_per_level = 1
    measure(benchmark, 3 if benchmark.options.quick else benchmark.options.settings)
    benchmark.finish()


if __name__ == "__main__":
    main()
