"""The start-up of `scoresweep --help`, `scoresweep status` and the Snakefile's parse.

Against a bare start of Python. The parse is `snakemake --list-rules`, much of which is the import
of Snakemake: the same on an empty Snakefile is beside it.

    python benchmarks/start_up.py --output start_up.json
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness import Benchmark, begin, command_line, python

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "config" / "config.yaml"
MOST = 0.5
"""Seconds more than a bare start of Python."""


def measure(benchmark: Benchmark, folder: Path) -> None:
    """Measure each command in an empty folder."""
    (folder / "Snakefile").write_text("")
    (folder / "config").mkdir()
    (folder / "config" / "config.yaml").write_text(STUDY.read_text())
    commands: dict[str, tuple[str | Path, ...]] = {
        "python": ("-c", "pass"),
        "scoresweep --help": ("-m", "scoresweep", "--help"),
        "scoresweep status": ("-m", "scoresweep", "status", STUDY),
        "an empty Snakefile": ("-m", "snakemake", "--list-rules"),
        "the Snakefile's parse": (
            *("-m", "snakemake", "--list-rules"),
            *("--snakefile", ROOT / "Snakefile", "--configfile", STUDY),
        ),
    }
    runs = {name: lambda words=words: python(*words, at=folder) for name, words in commands.items()}
    seconds = benchmark.times(runs)
    bare = seconds.pop("python")
    benchmark.add(command=Path(sys.executable).name, seconds=statistics.median(bare), each=bare)
    for name, times in seconds.items():
        more = statistics.median(a - b for a, b in zip(times, bare, strict=True))
        median = statistics.median(times)
        benchmark.add(command=name, seconds=median, more_than_python=more, each=times)
        if "empty" not in name:
            benchmark.find(f"start-up of {name}, more than Python", more, MOST, "s", at_least=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print tables, write the JSON file."""
    benchmark = begin(command_line(__doc__, repeats=7), arguments)
    with tempfile.TemporaryDirectory() as folder:
        measure(benchmark, Path(folder))
    benchmark.finish()


if __name__ == "__main__":
    main()
