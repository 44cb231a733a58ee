"""Rate at which SLURM accepts and runs jobs: one `sbatch` per job, compared with one array.

The jobs do nothing, so only SLURM's own cost remains. This needs SLURM; `make cluster` starts one
on a Debian machine, whose controller shares its cores with four nodes.

    python benchmarks/submission.py --output submission.json
"""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from harness import Benchmark, begin, call, command_line, ratio, seconds_of

NAME = "submission-benchmark"
DO_NOTHING = ("--job-name", NAME, "--output", "/dev/null", "--time", "1", "--wrap", "true")


def submit_each(jobs: int, folder: Path) -> None:
    """Submit the jobs one by one."""
    for _ in range(jobs):
        call("sbatch", *DO_NOTHING, at=folder)


def submit_array(jobs: int, folder: Path) -> None:
    """Submit the jobs as one array."""
    call("sbatch", "--array", f"1-{jobs}", *DO_NOTHING, at=folder)


def wait_for_end() -> None:
    """Wait until the queue holds none of the jobs."""
    while call("squeue", "--noheader", "--name", NAME).strip():
        time.sleep(0.2)


def measure(benchmark: Benchmark, folder: Path, jobs: int) -> None:
    """Time both ways, in turns."""
    ways = {"one by one": submit_each, "an array": submit_array}
    submitting: dict[str, list[float]] = {name: [] for name in ways}
    running: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(benchmark.options.repeats):
        for name, submit in ways.items():
            seconds = seconds_of(lambda submit=submit: submit(jobs, folder))
            submitting[name].append(seconds)
            running[name].append(seconds + seconds_of(wait_for_end))
    for name in ways:
        rates = {
            "submitted_per_s": jobs / statistics.median(submitting[name]),
            "finished_per_s": jobs / statistics.median(running[name]),
        }
        benchmark.add(way=name, jobs=jobs, **rates, each=submitting[name])
    faster = ratio(submitting["one by one"], submitting["an array"])
    print(f"an array of {jobs} is submitted {faster:.0f} times as fast")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    benchmark = begin(command_line(__doc__), arguments)
    if shutil.which("sbatch") is None:
        raise SystemExit("sbatch: not found; this needs SLURM (`make cluster` starts one)")
    with tempfile.TemporaryDirectory() as folder:
        measure(benchmark, Path(folder), 10 if benchmark.options.quick else 100)
    benchmark.finish()


if __name__ == "__main__":
    main()
