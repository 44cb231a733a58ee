"""Successive halving and the full grid: the best setting of each, and their score evaluations.

Two studies of 27 settings (nine step sizes, three numbers of steps): a trained network on the
digits, and the exact score of a Gaussian mixture. Halving draws first; then the same study without
it draws the rest, so that both judge the same samples. Both must find the same best setting, or one
whose value at the full count is within the 95 % interval of the best.

    python benchmarks/halving.py --output halving.json
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from harness import Benchmark, begin, command_line

from scoresweep.pipeline.cluster.resources import Resources
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.rules.sweep import sweep
from scoresweep.pipeline.rules.train import train
from scoresweep.pipeline.study import Plan, Setting, parse_study, plan_study

MAX_SHARE = 0.3
LEVELS = 10
GRID = {
    "sampler.step_size": [1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 8e-3, 1.2e-2],
    "sampler.steps_per_level": [1, 2, 5],
}
NOISE = {"name": "geometric", "sigma_max": "max_distance", "sigma_min": 0.1, "levels": LEVELS}
MIXTURE = {
    "name": "gaussian_mixture",
    "weights": [0.1, 0.2, 0.3, 0.4],
    "dimension": 16,
    "train_count": 4000,
    "test_count": 1000,
}
STUDIES: dict[str, dict[str, Any]] = {
    "digits": {
        "dataset": {"name": "digits"},
        "train": {"network": {"name": "mlp", "width": 128, "blocks": 2}, "steps": 1500},
        "measure": "frechet_pixels",
    },
    "mixture, exact score": {
        "dataset": MIXTURE,
        "train": {"network": {"name": "oracle"}, "steps": 1},
        "measure": "energy_distance_pixels",
    },
}


def study_of(name: str, halving: bool, quick: bool) -> dict[str, Any]:
    """Return the content of a study file."""
    about, scale = STUDIES[name], 10 if quick else 1
    count, counts = 2000 // scale, [n // scale for n in (100, 300, 900)]
    sample: dict[str, Any] = {
        "sampler": {"name": "annealed_langevin", "step_size": 1e-3, "denoise": True},
        "initial": "normal",
        "count": count,
        "chunk": counts[0],
        "grid": GRID if not quick else {"sampler.step_size": GRID["sampler.step_size"][::4]},
    }
    if halving:
        sample["halving"] = {"measure": about["measure"], "counts": counts, "keep": 0.33}
    metric = about["measure"].removesuffix("_pixels")
    return {
        "study": "halving",
        "dataset": about["dataset"],
        "train": {"noise": NOISE, **about["train"]} | ({"steps": 10} if quick else {}),
        "sample": sample,
        "evaluate": {"metrics": [metric], "extractors": ["pixels"], "resamplings": 20},
    }


def prepare(plan: Plan) -> None:
    """Stage the data, extract the features of real samples, and train."""
    stage(plan, plan.study.dataset[0].id)
    reference(plan, plan.study.dataset[0].id, "pixels")
    train(plan, plan.runs[0].id, Resources(threads=torch.get_num_threads()))


def score_evaluations(plan: Plan) -> int:
    """Return the score evaluations of all samples that have been drawn."""
    total, run = 0, plan.runs[0].id
    for setting in plan.settings:
        manifest = json.loads(plan.paths.samples_manifest(run, setting.store).read_text())
        each = setting.sample.sampler.num_score_evaluations(LEVELS)
        total += manifest["count"] * each
    return total


def measured(plan: Plan, settings: Sequence[Setting], measure: str) -> dict[str, tuple[float, ...]]:
    """Return value, low and high end of each setting at the full count, by its id."""
    found = {}
    for setting in settings:
        path = plan.paths.metrics(plan.runs[0].id, setting.id)
        with xr.open_dataset(path, engine="h5netcdf") as file:
            found[setting.id] = tuple(
                file[name].item() for name in (measure, f"{measure}_low", f"{measure}_high")
            )
    return found


def compare(benchmark: Benchmark, name: str, folder: Path) -> None:
    """Draw a study with halving, then in full, and compare the best settings."""
    quick, measure = benchmark.options.quick, STUDIES[name]["measure"]
    halved, full = (
        plan_study(parse_study(study_of(name, halving, quick), name), folder)
        for halving in (True, False)
    )
    run = halved.runs[0].id
    prepare(halved)
    for count in halved.counts:
        sweep(halved, run, f"1-of-1-at-{count}")
    few = score_evaluations(halved)
    last = examine_results(halved).settings_at(run, halved.counts[-1])
    sweep(full, run, "1-of-1")
    every = score_evaluations(full)
    values = measured(full, full.settings, measure)
    best = min(values, key=lambda id_: values[id_][0])
    found = min((setting.id for setting in last), key=lambda id_: values[id_][0])
    rank = sorted(values, key=lambda id_: values[id_][0]).index(found) + 1
    benchmark.add(
        study=name,
        settings=len(values),
        best=values[best][0],
        best_low=values[best][1],
        best_high=values[best][2],
        of_halving=values[found][0],
        place=rank,
        evaluations=every,
        of_halving_evaluations=few,
    )
    benchmark.find(
        f"{name}: share of score evaluations", few / every, MAX_SHARE, "%", at_least=False
    )
    excess = (values[found][0] - values[best][0]) / (values[best][2] - values[best][0])
    what = f"{name}: excess over the best, in units of its upper interval"
    benchmark.find(what, excess, 1.0, "", at_least=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    benchmark = begin(command_line(__doc__, repeats=1), arguments)
    for name in STUDIES:
        with tempfile.TemporaryDirectory() as folder:
            compare(benchmark, name, Path(folder))
    benchmark.finish()


if __name__ == "__main__":
    main()
