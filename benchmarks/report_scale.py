"""The report of 1,000 and of 10,000 settings, with its peak memory.

The studies are those of `planning.py`; their files hold made-up numbers (`tests/faked_study.py`).
Of the settings, some are written as the stages write them, and the others are copies of those.

    python benchmarks/report_scale.py --output report_scale.json
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml
from harness import Benchmark, begin, command_line, python
from planning import report_growth, study_of

from scoresweep.pipeline.study import Plan, parse_study, plan_study

sys.path.append(str(Path(__file__).parents[1] / "tests"))

import faked_study

ORIGINALS = 10
"""Settings of each run that are written; the others are copies."""
MEMORY = 2.0
"""GiB."""
PART = """
import sys
sys.path.append(sys.argv[1])
import harness
from scoresweep.pipeline.cli import app
app(["report", "study.yaml"], standalone_mode=False)
print("peak", harness.peak_gib())
"""


def make(folder: Path, settings: int) -> None:
    """Write a finished study of so many settings."""
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
            copy(plan, run.id, plan.settings[i % ORIGINALS].id, setting.id)


def copy(plan: Plan, run: str, old: str, new: str) -> None:
    """Give a setting the files of another one."""
    layout = plan.paths
    shutil.copytree(layout.samples(run, old), layout.samples(run, new), copy_function=os.link)
    manifest = layout.samples_manifest(run, old).read_text(encoding="utf-8")
    text = manifest.replace(old, new)
    layout.samples_manifest(run, new).write_text(text, encoding="utf-8")
    shutil.copyfile(layout.metrics(run, old), layout.metrics(run, new))


def measure(benchmark: Benchmark, sizes: Sequence[int]) -> None:
    """Measure the report of each study."""
    here, medians, peaks = str(Path(__file__).parent), [], []
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make(folder, size)
            peaks.clear()

            def run(at: Path = folder) -> None:
                peaks.append(float(python("-c", PART, here, at=at).rsplit("peak", 1)[1]))

            (times,) = benchmark.times({"report": run}, warm_ups=0).values()
        medians.append(statistics.median(times))
        benchmark.add(settings=size, median_s=medians[-1], peak_gib=max(peaks), seconds=times)
    report_growth(benchmark, "report of", medians)
    what = f"report of {sizes[-1]:,} settings, memory"
    benchmark.find(what, max(peaks), MEMORY, "GiB", at_least=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print tables, write the JSON file."""
    benchmark = begin(command_line(__doc__, repeats=3), arguments)
    measure(benchmark, (100, 1000) if benchmark.options.quick else (1000, 10_000))
    benchmark.finish()


if __name__ == "__main__":
    main()
