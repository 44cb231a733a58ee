"""A finished study whose files hold made-up numbers, written as the stages write theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from written_samples import write_samples

from scoresweep.pipeline.data.dataset_store import write_store
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.results import (
    examine_results,
    network_state,
    recorded_dataset,
    samples_state,
)
from scoresweep.pipeline.results.input_hashes import (
    MADE_FROM,
    made_from_attribute,
    write_weights_manifest,
)
from scoresweep.pipeline.study import Plan, Run, Setting, parse_study, plan_study
from scoresweep.pipeline.system.atomic_files import write_json
from scoresweep.pipeline.system.job_state import JobState
from scoresweep.pipeline.system.safetensors_io import save_safetensors, sha256_of_tensors

CONTENT: dict[str, Any] = {
    "study": "faked",
    "dataset": {"name": "digits"},
    "train": {
        "network": {"name": "mlp", "width": 8, "blocks": 1},
        "noise": {"name": "geometric", "sigma_max": 8.0, "sigma_min": 0.05, "levels": 4},
        "steps": 100,
        "batch_size": 16,
        "grid": {"noise.levels": [6, 4], "seed": [0, 1]},
    },
    "sample": {
        "sampler": {"name": "annealed_langevin", "step_size": 2e-5},
        "count": 20,
        "grid": {"sampler.step_size": [8e-5, 5e-6, 2e-5]},
    },
    "evaluate": {"extractors": ["classifier"]},
}

REAL, NOISE = 0.1, 9.9
"""Fréchet distance of real samples and of uniform noise."""

SPLITS = {"train": 50, "test": 40}
"""Samples of the staged dataset."""


def fake_plan(root: Path, **changes: Any) -> Plan:
    """Return the plan of the study with whole blocks replaced by `changes`."""
    return plan_study(parse_study(CONTENT | changes, "study.yaml"), root)


def frechet(run: Run, setting: Setting) -> float:
    """The made-up Fréchet distance: least at a step size of 2e-5, six levels, seed 0, denoised."""
    step = abs(np.log10(setting.axes.get("step_size", 2e-5) / 2e-5))
    raw = 0.4 * ("denoise" in setting.axes and not setting.sample.sampler.denoise)
    return float(
        0.2 + raw + step + 0.3 / run.axes.get("levels", 3) + 0.05 * run.axes.get("seed", 0)
    )


def sigmas(run: Run) -> np.ndarray[Any, Any]:
    """The run's ladder."""
    return np.geomspace(8.0, 0.05, run.train.noise.levels)


def fake_measurements(plan: Plan) -> None:
    """Write the results of a study that a report reads, without data and samples."""
    for run in plan.runs:
        fake_run(plan, run)
        fake_score_error(plan, run)
        for setting in plan.settings:
            fake_metrics(plan, run, setting)


def fake_study(plan: Plan, *, metrics: bool = True) -> None:
    """Write every file that the stages before the report write, or all but the metrics."""
    for dataset in plan.study.dataset:
        if not plan.paths.dataset_manifest(dataset.id).exists():
            fake_dataset(plan, dataset.id)
        for extractor in plan.extractors:
            fake_reference(plan.reference(dataset.id, extractor))
    for run in plan.runs:
        fake_run(plan, run)
        fake_score_error(plan, run)
        for setting in plan.settings:
            fake_samples(plan, run, setting)
            if metrics:
                fake_metrics(plan, run, setting)


def fake_dataset(plan: Plan, dataset: str) -> None:
    """Stage a dataset of grey 8×8 images."""
    splits = {name: Split(pixels(n), pixel_range=(0, 255)) for name, n in SPLITS.items()}
    about = {"source": "made up", "licence": "CC0"}
    write_store(plan.paths.dataset_store(dataset), splits, about)


def pixels(count: int) -> np.ndarray[Any, Any]:
    """Random grey images, uint8 (count, 8, 8, 1)."""
    return np.random.default_rng(count).integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)


def fake_reference(path: Path) -> None:
    """Write the cost of the features of real samples, without the features."""
    cost = {"seconds": 6.0, "device": "cpu", "devices": 2}
    xr.Dataset(attrs=cost).to_netcdf(_parent(path), engine="h5netcdf")


def fake_run(plan: Plan, run: Run) -> None:
    """Write the products of a training."""
    steps, levels = np.arange(25, 101, 25), run.train.noise.levels
    loss = 30.0 + 1000.0 / steps
    level_loss = loss[:, None] * np.linspace(0.5, 1.5, levels)
    level_loss[0, 0] = np.nan
    xr.Dataset(
        {
            "loss": ("step", loss),
            "level_loss": (("step", "level"), level_loss),
            "gradient_norm": ("step", 1.0 / steps),
            "learning_rate": ("step", np.full(4, 1e-3)),
            "images_per_second": ("step", np.full(4, 4000.0)),
            "sigma": ("level", sigmas(run)),
        },
        coords={"step": steps, "level": np.arange(1, levels + 1)},
        attrs={"run": run.id, "seconds": 2.0, "parameters": 3080, "device": "cpu", "devices": 2},
    ).to_netcdf(_parent(plan.paths.training_curves(run.id)), engine="h5netcdf")
    tensors = {"weight": torch.tensor([run.train.seed, levels])}
    model = json.dumps({"sha256": sha256_of_tensors(tensors)})
    weights = plan.paths.weights(run.id)
    save_safetensors(weights, tensors, {"model": model})
    record = {"data": recorded_dataset(plan.paths, run.dataset.id).sha256 or ""}
    write_weights_manifest(weights, plan.paths.weights_manifest(run.id), record)
    state = JobState("done", 100, 100, images_per_second=4000.0, seconds=2.0)
    state.write(plan.paths.progress(run.id))


def fake_score_error(plan: Plan, run: Run) -> None:
    """Write the score error of a run: σ² times it is 1/σ on training points, 2/σ on test points."""
    sigma = sigmas(run)
    error = np.stack([1 / sigma, 2 / sigma])
    names = {
        "score_error": error / sigma**2,
        "score_error_sigma2": error,
        "score_error_relative": error / 64,
        "score_cosine": 1 - error / 100,
        "dsm_loss": 1 + error,
    }
    dims = ("split", "level")
    xr.Dataset(
        {"sigma": ("level", sigma)}
        | {name: (dims, values, label(name)) for name, values in names.items()},
        coords={
            "split": ("split", np.array(["train", "test"], dtype=object)),
            "level": np.arange(1, len(sigma) + 1),
        },
        attrs={"measured": plan.score_error_hash(), "seconds": 4.0, "device": "cpu", "devices": 1}
        | made_from_attribute(made_from(plan, run)),
    ).to_netcdf(_parent(plan.paths.score_error(run.id)), engine="h5netcdf")


def fake_samples(plan: Plan, run: Run, setting: Setting) -> None:
    """Write the samples of a setting: grey 8×8 images."""
    count = setting.sample.count
    described = write_samples(
        plan.paths.samples(run.id, setting.store),
        torch.from_numpy(pixels(count)).permute(0, 3, 1, 2) / 255,
        levels={"sigma": torch.from_numpy(sigmas(run))},
        attributes={"run": run.id, "setting": setting.id},
    )
    spent = {"seconds": 3.0, "device": "cpu", "devices": 4}
    manifest = (
        {"count": count, "shape": [1, 8, 8], MADE_FROM: made_from(plan, run)} | spent | described
    )
    write_json(plan.paths.samples_manifest(run.id, setting.store), manifest)


def fake_metrics(plan: Plan, run: Run, setting: Setting) -> None:
    """Write the metrics of a setting; a grid of the evaluation gives its axes as dimensions."""
    axes = list(plan.evaluations[0].axes)
    coords = {axis: sorted({e.axes[axis] for e in plan.evaluations}) for axis in axes}
    one = np.ones([len(coords[axis]) for axis in axes])
    value = frechet(run, setting)
    about = {"extractor": "classifier", "n_real": 30, "n_generated": 20, "seed": 0, "units": "1"}
    distance = {"long_name": "Fréchet distance", "better": "lower", "valid_min": 0.0, **about}
    share = {"better": "higher", "valid_min": 0.0, "valid_max": 1.0, **about}
    xr.Dataset(
        {
            "frechet_classifier": (axes, value * one, distance),
            "frechet_classifier_low": (axes, (value - 0.01) * one, label("low")),
            "frechet_classifier_high": (axes, (value + 0.02) * one, label("high")),
            "frechet_classifier_real": (
                axes,
                REAL * one,
                about | label("real") | {"n_generated": 12},
            ),
            "frechet_classifier_noise": (axes, NOISE * one, label("noise")),
            "precision_classifier": (
                axes,
                one / (1 + value),
                {"long_name": "precision", "caveat": "copies reach 1, too", **share},
            ),
            "coverage_classifier": (axes, one / (2 + value), {"long_name": "coverage", **share}),
            "class_share": ("class", np.arange(10) / 45, label("drawn")),
            "class_share_real": ("class", np.full(10, 0.1), label("test")),
        },
        coords=coords,
        attrs={"measured": plan.evaluate_hash(), "seconds": 5.0, "device": "cpu", "devices": 2}
        | made_from_attribute(made_from(plan, run, setting)),
    ).to_netcdf(_parent(plan.paths.metrics(run.id, setting.id)), engine="h5netcdf")


def fake_report(plan: Plan) -> None:
    """Write empty files of a report of the existing results."""
    layout = plan.paths
    layout.figures.mkdir()
    for path in (layout.metrics_table, layout.report_page):
        path.touch()
    attributes = made_from_attribute({"results": examine_results(plan).content_sha256()})
    xr.Dataset(attrs=attributes).to_netcdf(layout.report, engine="h5netcdf")


def made_from(plan: Plan, run: Run, setting: Setting | None = None) -> dict[str, str]:
    """Return the inputs of a run's result or a setting's metrics."""
    data = recorded_dataset(plan.paths, run.dataset.id)
    network = network_state(plan.paths, run.id, data)
    hashes = data.hashes | network.hashes
    if setting:
        hashes |= samples_state(plan.paths, run.id, setting, network, data).hashes
    return {name: sha256 for name, sha256 in hashes.items() if sha256}


def label(long_name: str) -> dict[str, str]:
    """Return the attributes of a plain number."""
    return {"long_name": long_name, "units": "1"}


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
