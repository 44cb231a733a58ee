"""The time that `scoresweep plan` estimates, compared with the run, in five different studies.

Each study is planned in an empty folder, then `snakemake --cores N` runs it there. The factor is
the larger of both times over the smaller one. `seconds_of_rules` are the estimated and the measured
seconds of the jobs of each rule, one after the other.

    python benchmarks/plan_estimates.py --output plan_estimates.json
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml
from harness import Benchmark, begin, call, command_line, num_cores, python, seconds_of

ROOT = Path(__file__).parents[1]
TARGET = 1.5
"""On a quiet machine; 2.5 under load."""

ESTIMATE = """
import json, sys
from pathlib import Path
from scoresweep.pipeline.commands.plan import estimate_plan
from scoresweep.pipeline.study import load_study, plan_study
found = estimate_plan(plan_study(load_study(Path("study.yaml"))), cores=int(sys.argv[1]))
costs = found.jobs.tasks.costs
print(json.dumps({
    "seconds": found.left.seconds,
    "rules": {rule.name: rule.seconds for rule in found.rules},
    "jobs": {" ".join(key): seconds for key, seconds in found.jobs.by_job.items()},
    "start_s": costs.start_seconds,
    "slowdown": costs.slowdown,
}))
"""
"""What `scoresweep plan` prints, in full seconds and for each rule."""

LANGEVIN = {"name": "annealed_langevin", "step_size": 3e-3, "steps_per_level": 3}
LADDER = {"name": "geometric", "sigma_max": "max_distance", "sigma_min": 0.1, "levels": 10}

STUDIES: dict[str, dict[str, Any]] = {
    "points": {
        "dataset": {"name": "gaussian_mixture"},
        "train": {
            "network": {"name": "mlp", "width": 128, "blocks": 2},
            "noise": LADDER,
            "steps": 3000,
            "grid": {"seed": [0, 1]},
        },
        "sample": {
            "sampler": LANGEVIN,
            "count": 2000,
            "grid": {"sampler.steps_per_level": [2, 5, 20], "sampler.step_size": [3e-3, 6e-3]},
        },
        "evaluate": {
            "metrics": ["score_error", "modes", "energy_distance", "mmd"],
            "extractors": ["pixels"],
        },
    },
    "unet": {
        "dataset": {"name": "digits"},
        "train": {
            "network": {"name": "unet", "channels": 16, "multipliers": [1, 2], "blocks": 1},
            "noise": LADDER,
            "steps": 300,
            "batch_size": 64,
            "log": {"images": 150},
        },
        "sample": {
            "sampler": LANGEVIN,
            "count": 500,
            "grid": {"sampler.step_size": [1e-3, 3e-3], "sampler.denoise": [True, False]},
        },
        "evaluate": {"metrics": ["frechet", "classes"], "extractors": ["classifier"]},
    },
    "exact score": {
        "dataset": {"name": "digits"},
        "train": {"network": {"name": "oracle"}, "noise": LADDER, "steps": 1},
        "sample": {
            "sampler": LANGEVIN,
            "count": 2000,
            "grid": {"sampler.steps_per_level": [1, 5, 20], "seed": [0, 1]},
        },
        "evaluate": {
            "metrics": ["frechet", "kid", "prdc", "sliced_wasserstein"],
            "extractors": ["pixels"],
        },
    },
    "halving": {
        "dataset": {"name": "digits"},
        "train": {
            "network": {"name": "ncsnv2", "channels": 16},
            "noise": LADDER,
            "steps": 150,
            "batch_size": 64,
            "precision": "bf16",
            "log": {"images": 100},
            "grid": {"seed": [0, 1]},
        },
        "sample": {
            "sampler": LANGEVIN,
            "count": 400,
            "chunk": 100,
            "grid": {"sampler.step_size": [1e-3, 3e-3, 6e-3, 1.2e-2]},
            "halving": {"measure": "frechet_pixels", "counts": [100], "keep": 0.5},
        },
        "evaluate": {"metrics": ["frechet", "prdc"], "extractors": ["pixels"]},
    },
}


def study_of(name: str, quick: bool) -> dict[str, Any]:
    """Return the content of a study file, cut down if `quick`."""
    if name == "default":
        text = (ROOT / "config" / "config.yaml").read_text(encoding="utf-8")
        content: dict[str, Any] = yaml.safe_load(text)
        content["train"] |= {"steps": 600, "log": {"images": 300}}
        content["sample"] |= {"count": 500}
        content["sample"]["grid"] = {"sampler.step_size": [5e-4, 3e-3]}
    else:
        content = {"study": name.replace(" ", "_")} | STUDIES[name]
    if quick:
        content["train"] |= {"steps": 20, "grid": {}}
        content["sample"] |= {"count": 20, "grid": {}}
        content["sample"].pop("halving", None)
        content["evaluate"] = {"metrics": ["frechet"], "extractors": ["pixels"], "resamplings": 0}
    return content


def seconds_of_rules(folder: Path) -> dict[str, float]:
    """Return the seconds of the jobs of each rule, as Snakemake recorded them for each output."""
    found: dict[str, dict[str, float]] = {}
    for file in (folder / ".snakemake" / "metadata").rglob("*"):
        if file.is_file():
            record = json.loads(file.read_text(encoding="utf-8"))
            start, end = record.get("starttime"), record.get("endtime")
            if start and end and record.get("rule"):
                # A job with several outputs has several records, but one log file.
                found.setdefault(record["rule"], {})[str(record["log"])] = end - start
    return {rule: sum(jobs.values()) for rule, jobs in found.items()}


def measure(benchmark: Benchmark, name: str) -> float:
    """Plan and run one study; return the factor between both times."""
    cores = num_cores()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        text = yaml.safe_dump(study_of(name, benchmark.options.quick))
        (folder / "study.yaml").write_text(text, encoding="utf-8")
        load, outputs = psutil.getloadavg()[0], list[str]()
        words = ("-c", ESTIMATE, str(cores))
        planning = seconds_of(lambda: outputs.append(python(*words, at=folder)))
        estimate = json.loads(outputs[0].splitlines()[-1])
        command = (sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile")
        words = ("--cores", str(cores), "--configfile", "study.yaml")
        run = seconds_of(lambda: call(*command, *words, at=folder))
        rules = seconds_of_rules(folder)
    factor = max(run / estimate["seconds"], estimate["seconds"] / run)
    times = {"estimate_s": estimate["seconds"], "run_s": run, "planning_s": planning}
    each = {rule: (estimate["rules"].get(rule), seconds) for rule, seconds in rules.items()}
    about = {"study": name, "cores": cores, "load": load}
    more = {"start_s": estimate["start_s"], "slowdown": estimate["slowdown"]}
    jobs = {"seconds_of_rules": each, "estimated_jobs": estimate["jobs"]}
    benchmark.add(**about, **times, factor=factor, **more, **jobs)
    print(json.dumps(benchmark.rows[-1]), file=sys.stderr, flush=True)
    return factor


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser, names = command_line(__doc__, repeats=1), ["default", *STUDIES]
    parser.add_argument("--only", nargs="+", default=names, choices=names, help="some studies")
    benchmark = begin(parser, arguments, quick_repeats=1)
    worst = 1.0
    for name in benchmark.options.only:
        factors = [measure(benchmark, name) for _ in range(benchmark.options.repeats)]
        worst = max(worst, statistics.median(factors))
    what = f"estimated time against the run, worst of {len(benchmark.options.only)} studies"
    benchmark.find(what, worst, TARGET, at_least=False)
    benchmark.finish()


if __name__ == "__main__":
    main()
