"""What the warnings of a report mean: networks of the digits that were trained too briefly or long.

Networks are trained for 100 to 9,000 steps, with a constant learning rate and with one that falls
as a cosine. Each row has the share of noise of its samples (`share_of_noise`), the relative fall of
its loss at the end (`loss_fall`), and by which factor the Fréchet distance beyond that of real
samples changes if it is trained three times as long. Each value is the mean over seeds.

Then flat curves and straight ones with noise show how often a fall is found (`found`: share of
curves of which the interval is above 0).

    python benchmarks/verdict_warnings.py --output verdict_warnings.json
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from harness import Benchmark, begin, command_line

from scoresweep.pipeline.cluster.resources import Resources
from scoresweep.pipeline.report.warnings.distance_scale import share_of_noise
from scoresweep.pipeline.report.warnings.falling_loss import loss_fall
from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.rules.sweep import sweep
from scoresweep.pipeline.rules.train import train
from scoresweep.pipeline.study import Plan, Run, parse_study, plan_study

STEPS = [100, 300, 1000, 3000, 9000]
SCHEDULES = ["constant", "cosine"]
MEASURE = "frechet_pixels"
FALLS = (0.0, 0.01, 0.02, 0.05)
"""Relative falls over the last third of simulated curves."""


def study_of(quick: bool) -> dict[str, Any]:
    """Return the content of a study file."""
    return {
        "study": "warnings",
        "dataset": {"name": "digits"},
        "train": {
            "network": {"name": "mlp", "width": 128, "blocks": 2},
            "noise": {
                "name": "geometric",
                "sigma_max": "max_distance",
                "sigma_min": 0.1,
                "levels": 10,
            },
            "steps": 1,
            "log": {"scalars": 4, "image_count": 0},
            "grid": {
                "steps": STEPS[:2] if quick else STEPS,
                "optimizer.schedule": SCHEDULES,
                "seed": [0] if quick else [0, 1, 2],
            },
        },
        "sample": {
            "sampler": {"name": "annealed_langevin", "step_size": 3e-3, "denoise": True},
            "count": 20 if quick else 1000,
        },
        "evaluate": {"metrics": ["frechet"], "extractors": ["pixels"], "resamplings": 0},
    }


def measured(plan: Plan, run: Run) -> dict[str, float]:
    """Return Fréchet distance, share of noise and fall of the loss of a run."""
    path = plan.paths.metrics(run.id, plan.settings[0].id)
    with xr.open_dataset(path, engine="h5netcdf") as file:
        value, real, noise = (file[f"{MEASURE}{end}"].item() for end in ("", "_real", "_noise"))
    with xr.open_dataset(plan.paths.training_curves(run.id), engine="h5netcdf") as file:
        fall = loss_fall(file["loss"].values)
    assert fall is not None
    share = share_of_noise(MEASURE, value, real, noise)
    return {
        "excess": value - real,
        "share_of_noise": share,
        "fall": fall.value,
        "fall_low": fall.low,
    }


def train_and_measure(benchmark: Benchmark, folder: Path) -> None:
    """Add a row for each number of steps and schedule."""
    plan = plan_study(parse_study(study_of(benchmark.options.quick), "warnings"), folder)
    stage(plan, "digits")
    reference(plan, "digits", "pixels")
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    for run in plan.runs:
        train(plan, run.id, Resources(threads=torch.get_num_threads()))
        sweep(plan, run.id, "1-of-1")
        key = run.train.optimizer.schedule, run.train.steps
        found.setdefault(key, []).append(measured(plan, run))
    for (schedule, steps), rows in sorted(found.items()):
        means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
        longer = found.get((schedule, 3 * steps)) or found.get((schedule, steps * 10 // 3))
        after = np.mean([row["excess"] for row in longer]) if longer else np.nan
        benchmark.add(
            schedule=schedule,
            steps=steps,
            **means,
            excess_after_longer=float(after / means["excess"]),
        )


def simulate(benchmark: Benchmark, curves: int) -> None:
    """Add a row for each fall: how often it is found, with independent and correlated points."""
    random = np.random.default_rng(0)
    for fall in FALLS:
        line = 1 - fall * np.maximum(0, np.arange(120) - 80) / 40
        for correlation in (0.0, 0.5):
            noise = random.standard_normal((curves, 121))
            noise = noise[:, 1:] + correlation * noise[:, :-1]
            falls = [loss_fall(curve) for curve in line + 0.02 * noise]
            is_found = [each is not None and each.low > 0 for each in falls]
            benchmark.add(fall=fall, correlation=correlation, found=float(np.mean(is_found)))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    benchmark = begin(command_line(__doc__, repeats=1), arguments)
    with tempfile.TemporaryDirectory() as folder:
        train_and_measure(benchmark, Path(folder))
    simulate(benchmark, 50 if benchmark.options.quick else 2000)
    benchmark.finish()


if __name__ == "__main__":
    main()
