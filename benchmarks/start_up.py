"""Start-up time of `scoresweep --help`, `scoresweep status` and the Snakefile.

Each is compared with starting Python. The Snakefile is timed by `snakemake --list-rules`, much of
which is the import of Snakemake: an empty Snakefile is timed as well. Modules are compiled in the
turn that is not counted, even if the environment says that Python keeps no bytecode.

    python benchmarks/start_up.py --output start_up.json
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness import Benchmark, begin, command_line, python

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "config" / "config.yaml"
MAX_SECONDS = 0.5
"""Beyond starting Python."""


def measure(benchmark: Benchmark, folder: Path) -> None:
    """Time each command in an empty folder."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    (folder / "Snakefile").write_text("")
    (folder / "config").mkdir()
    (folder / "results" / "digits").mkdir(parents=True)  # `status` refuses a study never started
    (folder / "config" / "config.yaml").write_text(STUDY.read_text())
    commands: dict[str, tuple[str | Path, ...]] = {
        "python": ("-c", "pass"),
        "scoresweep --help": ("-m", "scoresweep", "--help"),
        "scoresweep status": ("-m", "scoresweep", "status", STUDY),
        "an empty Snakefile": ("-m", "snakemake", "--list-rules"),
        "parsing the Snakefile": (
            *("-m", "snakemake", "--list-rules"),
            *("--snakefile", ROOT / "Snakefile", "--configfile", STUDY),
        ),
    }
    runs = {name: lambda words=words: python(*words, at=folder) for name, words in commands.items()}
    seconds = benchmark.times(runs)
    bare = seconds.pop("python")
    benchmark.add(command=Path(sys.executable).name, seconds=statistics.median(bare), each=bare)
    for name, times in seconds.items():
        extra = statistics.median(a - b for a, b in zip(times, bare, strict=True))
        median = statistics.median(times)
        benchmark.add(command=name, seconds=median, beyond_python=extra, each=times)
        if "empty" not in name:
            benchmark.find(
                f"start-up of {name}, beyond Python", extra, MAX_SECONDS, "s", at_least=False
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    benchmark = begin(command_line(__doc__, repeats=7), arguments)
    with tempfile.TemporaryDirectory() as folder:
        measure(benchmark, Path(folder))
    benchmark.finish()


if __name__ == "__main__":
    main()
