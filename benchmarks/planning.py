"""Planning time of 1,000 and 10,000 settings: `snakemake -n` on a study with nothing done.

Each run of the study has a hundred settings, 25 of which make a job, as on SLURM. The time includes
starting Snakemake. `scoresweep plan` and `scoresweep status` are timed too.

    python benchmarks/planning.py --output planning.json
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from harness import Benchmark, begin, command_line, python

ROOT = Path(__file__).parents[1]
SETTINGS_OF_A_RUN, SETTINGS_PER_JOB = 100, 25
MAX_SECONDS, MAX_GROWTH = 10.0, 11.0
"""For the larger study, and relative to the smaller one with a tenth of the settings."""


def study_of(settings: int, **changes: Any) -> dict[str, Any]:
    """Return a study with `settings` settings in total."""
    sizes = [1e-5 * (1 + i / 100) for i in range(SETTINGS_OF_A_RUN // 10)]
    grid = {"sampler.step_size": sizes, "sampler.steps_per_level": list(range(1, 11))}
    return {
        "study": f"of_{settings}",
        "dataset": {"name": "digits"},
        "train": {
            "network": {"name": "mlp", "width": 8, "blocks": 1},
            "noise": {"name": "geometric", "sigma_max": 8.0, "sigma_min": 0.05, "levels": 4},
            "steps": 100,
            "batch_size": 16,
            "grid": {"seed": list(range(settings // SETTINGS_OF_A_RUN))},
        },
        "sample": {
            "sampler": {"name": "annealed_langevin", "step_size": 2e-5},
            "count": 20,
            "grid": grid,
        },
        "evaluate": {"extractors": ["classifier"]},
    } | changes


def report_growth(
    benchmark: Benchmark, what: str, medians: Sequence[float], target: float = MAX_SECONDS
) -> None:
    """Add the time of the larger study and its ratio to the smaller one's."""
    small, large = medians
    most = 10 * benchmark.rows[0]["settings"]
    benchmark.find(f"{what} {most:,} settings", large, target, "s", at_least=False)
    growth = f"{what} {most:,} settings against a tenth of them"
    benchmark.find(growth, large / small, MAX_GROWTH, at_least=False, note="10 is linear")


def measure(benchmark: Benchmark, folder: Path, sizes: Sequence[int]) -> None:
    """Time a dry run of each study."""
    dry_run = ("-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--configfile", "study.yaml")
    dry_run += ("--config", f"settings_per_job={SETTINGS_PER_JOB}", "--cores", "2", "--dry-run")
    commands = {
        "snakemake -n": dry_run,
        "scoresweep plan": ("-m", "scoresweep", "plan", "study.yaml", "--no-probe"),
        "scoresweep status": ("-m", "scoresweep", "status", "study.yaml"),
    }
    medians: dict[str, list[float]] = {name: [] for name in commands}
    for size in sizes:
        (folder / "study.yaml").write_text(yaml.safe_dump(study_of(size)))
        runs = {name: partial(python, *words, at=folder) for name, words in commands.items()}
        for name, times in benchmark.times(runs, warm_ups=0).items():
            medians[name].append(statistics.median(times))
            benchmark.add(
                command=name, settings=size, median_s=medians[name][-1], seconds=list(times)
            )
    for name, found in medians.items():
        report_growth(benchmark, f"{name} of", found)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    benchmark = begin(command_line(__doc__, repeats=3), arguments)
    with tempfile.TemporaryDirectory() as folder:
        sizes = (100, 1000) if benchmark.options.quick else (1000, 10_000)
        measure(benchmark, Path(folder), sizes)
    benchmark.finish()


if __name__ == "__main__":
    main()
