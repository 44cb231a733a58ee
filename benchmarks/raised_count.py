"""Time from a raised number of samples to the report, against drawing all samples again.

One network of the digits, one setting. The samples are those of drawing all at once, bit by bit.

    python benchmarks/raised_count.py --output raised_count.json
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from harness import Benchmark, begin, call, command_line, num_cores, ratio

ROOT = Path(__file__).parents[1]
CHUNK = 250
FIRST, RAISED = 4 * CHUNK, 5 * CHUNK
"""Samples before and after: a quarter more."""
TARGET = 2.0
"""Below 5, the ratio of the chunks drawn: both variants start the same processes."""


def study_of(count: int, quick: bool) -> str:
    """Return a study whose time is that of drawing samples."""
    content: dict[str, Any] = {
        "study": "raised_count",
        "dataset": {"name": "digits"},
        "train": {
            "network": {"name": "ncsnv2", "channels": 16},
            "noise": {"name": "geometric", "sigma_max": 8.0, "sigma_min": 0.1, "levels": 10},
            "steps": 10,
        },
        "sample": {
            "sampler": {
                "name": "annealed_langevin",
                "step_size": 2.0e-3,
                "steps_per_level": 1 if quick else 5,
            },
            "count": count,
            "chunk": CHUNK,
        },
        "evaluate": {"metrics": ["frechet"], "extractors": ["pixels"], "resamplings": 0},
    }
    return str(yaml.safe_dump(content))


def run(folder: Path, count: int, quick: bool) -> None:
    """Run the study with `count` samples in `folder`."""
    (folder / "study.yaml").write_text(study_of(count, quick), encoding="utf-8")
    command = (sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile")
    call(*command, "--cores", str(num_cores()), "--configfile", "study.yaml", at=folder)


def manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of the samples."""
    (store,) = folder.glob("results/*/samples/*/*.zarr")
    content: dict[str, Any] = json.loads(store.with_suffix(".json").read_bytes())
    return content


def measure(benchmark: Benchmark) -> None:
    """Raise the number of samples of a finished study, and of one without samples."""
    quick = benchmark.options.quick
    with tempfile.TemporaryDirectory() as name:
        finished, hashes = Path(name, "finished"), set[str]()
        finished.mkdir()
        run(finished, FIRST, quick)

        def raise_count(keep: bool) -> None:
            folder = Path(shutil.copytree(finished, Path(name, "copy")))
            if not keep:
                for part in ("samples", "metrics", "features", "batches"):
                    shutil.rmtree(folder / "results" / "raised_count" / part, ignore_errors=True)
            run(folder, RAISED, quick)
            hashes.add(manifest(folder)["sha256"])
            shutil.rmtree(folder)

        variants = {"drawn again": lambda: raise_count(False), "raised": lambda: raise_count(True)}
        seconds = benchmark.times(variants, warm_ups=0)
    for variant, times in seconds.items():
        row = {"variant": variant, "samples": RAISED, "before": FIRST}
        benchmark.add(**row, median_s=statistics.median(times), seconds=times)
    what = f"drawing {RAISED:,} samples again over raising {FIRST:,} to {RAISED:,}, to the report"
    benchmark.find(what, ratio(seconds["drawn again"], seconds["raised"]), TARGET)
    benchmark.find("different samples", float(len(hashes) - 1), 0.0, "", at_least=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    benchmark = begin(command_line(__doc__, repeats=3), arguments, quick_repeats=1)
    measure(benchmark)
    benchmark.finish()


if __name__ == "__main__":
    main()
