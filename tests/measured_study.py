"""A study of digits whose samples the tests write themselves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from torch import Tensor
from written_samples import write_samples

from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.data.store_manifest import manifest_path
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.system.atomic_files import write_json

SIGMAS = [5.0, 0.5, 0.05]


def make_plan(
    root: Path, dataset: dict[str, Any] | None = None, count: int = 50, **options: Any
) -> Plan:
    study = {
        "study": "measured",
        "dataset": dataset or {"name": "digits"},
        "train": {
            "network": {"name": "ncsnv2", "channels": 4},
            "noise": {"name": "explicit", "sigmas": SIGMAS},
            "steps": 1,
        },
        "sample": {"sampler": {"name": "annealed_langevin", "step_size": 1e-3}, "count": count},
        "evaluate": {"resamplings": 4, "kid_subsets": 5, "score_error_samples": 40} | options,
    }
    return plan_study(parse_study(study, "study.yaml"), root)


def real_digits(root: Path, split: str) -> Tensor:
    return read_split(root / "data" / "digits.zarr", split).model_space()


def with_count(plan: Plan, count: int) -> Plan:
    """Return the plan with another number of samples in its only setting, which keeps its id."""
    (setting,) = plan.settings
    sample = setting.sample.model_copy(update={"count": count})
    return replace(plan, settings=[replace(setting, sample=sample)])


def write(plan: Plan, samples: Tensor, trajectory: Tensor | None = None) -> None:
    """Write `samples` as those of the plan's only setting and run."""
    store = plan.paths.samples(plan.runs[0].id, plan.settings[0].store)
    described = write_samples(
        store,
        samples,
        levels={name: torch.tensor(SIGMAS) for name in ("sigma", "step_size", "score_norm")},
        trajectory=trajectory,
    )
    write_json(manifest_path(store), described | {"count": len(samples)})


def measure(plan: Plan, samples: Tensor, trajectory: Tensor | None = None) -> xr.Dataset:
    write(plan, samples, trajectory)
    run, setting = plan.runs[0].id, plan.settings[0].id
    evaluate(with_count(plan, len(samples)), run, setting)
    with xr.open_dataset(plan.paths.metrics(run, setting), engine="h5netcdf") as file:
        return file.load()
