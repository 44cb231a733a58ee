"""Time and peak memory of the report of 1,000 and 10,000 settings, and time of `status`.

The studies are those of `planning.py`; their files hold made-up numbers (`tests/faked_study.py`).
Some settings are written as the rules write them; the others are copies.

    python benchmarks/report_scale.py --output report_scale.json
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import yaml
from harness import Benchmark, begin, command_line, python
from planning import report_growth, study_of

from scoresweep.pipeline.study import Plan, Setting, parse_study, plan_study

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import faked_study

ORIGINALS = 10
"""Settings per run that are written; the others are copies."""
MAX_GIB = 2.0
MAX_SECONDS, MAX_SECONDS_OF_STATUS = 20.0, 2.0
PART = """
import sys
sys.path.append(sys.argv[1])
import harness
from scoresweep.pipeline.cli import app
app(["report", "study.yaml"], standalone_mode=False)
print("peak", harness.peak_gib())
"""


def write_study(folder: Path, settings: int) -> None:
    """Write a finished study with `settings` settings."""
    content = study_of(settings)
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    plan = plan_study(parse_study(content, "study.yaml"), folder)
    faked_study.fake_dataset(plan, plan.study.dataset[0].id)
    for run in plan.runs:
        faked_study.fake_run(plan, run)
        faked_study.fake_score_error(plan, run)
        for setting in plan.settings[:ORIGINALS]:
            faked_study.fake_samples(plan, run, setting)
            faked_study.fake_metrics(plan, run, setting)
        for i, setting in enumerate(plan.settings[ORIGINALS:]):
            copy(plan, run.id, plan.settings[i % ORIGINALS], setting)


def copy(plan: Plan, run: str, old: Setting, new: Setting) -> None:
    """Copy the files of the setting `old` to the setting `new`."""
    paths = plan.paths
    original, store = paths.samples(run, old.store), paths.samples(run, new.store)
    shutil.copytree(original, store, copy_function=os.link)
    manifest = paths.samples_manifest(run, old.store).read_text(encoding="utf-8")
    text = manifest.replace(old.store, new.store)
    paths.samples_manifest(run, new.store).write_text(text, encoding="utf-8")
    shutil.copyfile(paths.metrics(run, old.id), paths.metrics(run, new.id))


def measure(benchmark: Benchmark, sizes: Sequence[int]) -> None:
    """Time the report of each study."""
    here, medians, peaks, of_status = str(Path(__file__).parent), [], [], []
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_study(folder, size)
            peaks.clear()

            def run(at: Path = folder) -> None:
                peaks.append(float(python("-c", PART, here, at=at).rsplit("peak", 1)[1]))

            status = partial(python, "-m", "scoresweep", "status", "study.yaml", at=folder)
            found = benchmark.times({"report": run, "status": status}, warm_ups=0)
        times = list(found["report"])
        medians.append(statistics.median(times))
        of_status.append(statistics.median(found["status"]))
        row = {"settings": size, "median_s": medians[-1], "status_s": of_status[-1]}
        benchmark.add(**row, peak_gib=max(peaks), seconds=times)
    report_growth(benchmark, "report of", medians, MAX_SECONDS)
    report_growth(benchmark, "status of", of_status, MAX_SECONDS_OF_STATUS)
    what = f"report of {sizes[-1]:,} settings, memory"
    benchmark.find(what, max(peaks), MAX_GIB, "GiB", at_least=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    benchmark = begin(command_line(__doc__, repeats=3), arguments)
    measure(benchmark, (100, 1000) if benchmark.options.quick else (1000, 10_000))
    benchmark.finish()


if __name__ == "__main__":
    main()
