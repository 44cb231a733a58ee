"""Start-up time of `scoresweep --help`, `scoresweep status` and the Snakefile.

The commands are compared with starting Python, and the Snakefile with an empty one, both timed by
`snakemake --list-rules`. Modules are compiled in the turn that is not counted, even if the
environment says that Python keeps no bytecode.

    python benchmarks/start_up.py --output start_up.json
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from harness import Benchmark, begin, command_line, python

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "config" / "config.yaml"
MAX_SECONDS = 0.5
"""Beyond what a command is compared with."""

EMPTY = "an empty Snakefile"
COMPARED_WITH = {
    "scoresweep --help": "python",
    "scoresweep status": "python",
    "parsing the Snakefile": EMPTY,
}


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
        EMPTY: ("-m", "snakemake", "--list-rules"),
        "parsing the Snakefile": (
            *("-m", "snakemake", "--list-rules"),
            *("--snakefile", ROOT / "Snakefile", "--configfile", STUDY),
        ),
    }
    runs = {name: lambda words=words: python(*words, at=folder) for name, words in commands.items()}
    seconds = benchmark.times(runs)
    for name, times in seconds.items():
        benchmark.add(command=name, seconds=statistics.median(times), each=times)
    for name, base in COMPARED_WITH.items():
        pairs = zip(seconds[name], seconds[base], strict=True)
        extra = statistics.median(a - b for a, b in pairs)
        what = f"start-up of {name}, beyond {base}"
        benchmark.find(what, extra, MAX_SECONDS, "s", at_least=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    benchmark = begin(command_line(__doc__, repeats=7), arguments)
    with tempfile.TemporaryDirectory() as folder:
        measure(benchmark, Path(folder))
    benchmark.finish()


if __name__ == "__main__":
    main()
