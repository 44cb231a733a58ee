"""Metrics of networks of synthetic data, from the plan to the file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from measured_study import with_count
from torch import Tensor
from written_samples import write_samples

from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.data.exact_score import load_exact_score
from scoresweep.pipeline.data.store_manifest import manifest_path
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.rules.score_error import score_error
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.system.atomic_files import write_json
from scoresweep.pipeline.training.weights import (
    build_network,
    history_folder,
    load_network,
    save_network,
)

SIGMAS = [2.0, 1.0, 0.5, 0.2]
LINE = {
    "name": "gaussian_mixture",
    "means": [[-2.0], [2.0]],
    "weights": [0.25, 0.75],
    "train_count": 300,
    "test_count": 200,
}
PLANE = {"name": "gaussian_mixture", "train_count": 300, "test_count": 200}


def make_plan(root: Path, dataset: dict[str, Any], **options: Any) -> Plan:
    study = {
        "study": "drawn",
        "dataset": dataset,
        "train": {
            "network": {"name": "mlp", "width": 4, "blocks": 1},
            "noise": {"name": "explicit", "sigmas": SIGMAS},
            "steps": 1,
        },
        "sample": {"sampler": {"name": "annealed_langevin", "step_size": 1e-3}, "count": 50},
        "evaluate": {"extractors": ["pixels"], "score_error_samples": 60} | options,
    }
    plan = plan_study(parse_study(study, "study.yaml"), root)
    if not plan.paths.dataset_manifest(plan.runs[0].dataset.id).exists():
        stage(plan, plan.runs[0].dataset.id)
    return plan


def save_zero_parameter_network(plan: Plan) -> None:
    """Save an MLP whose parameters are zero: its score is −x / (σ √(1 + |x|²/D))."""
    component = plan.runs[0].train.network
    shape = plan.runs[0].dataset.shape
    network = build_network(component, shape, torch.tensor(SIGMAS))
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    path = plan.paths.weights(plan.runs[0].id)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_network(path, network, component)


def measured(plan: Plan) -> xr.Dataset:
    save_zero_parameter_network(plan)
    score_error(plan, plan.runs[0].id)
    path = plan.paths.score_error(plan.runs[0].id)
    with xr.open_dataset(path, engine="h5netcdf") as file:
        return file.load()


def measure(plan: Plan, samples: Tensor) -> xr.Dataset:
    run, setting = plan.runs[0].id, plan.settings[0].id
    store = plan.paths.samples(run, plan.settings[0].store)
    described = write_samples(
        store,
        samples,
        levels={name: torch.tensor(SIGMAS) for name in ("sigma", "step_size", "score_norm")},
    )
    write_json(manifest_path(store), described)
    evaluate(with_count(plan, len(samples)), run, setting)
    with xr.open_dataset(plan.paths.metrics(run, setting), engine="h5netcdf") as file:
        return file.load()


def test_only_requested_metrics_are_measured(tmp_path: Path) -> None:
    found = measured(make_plan(tmp_path, PLANE | {"dimension": 3}))
    names = {"score_error", "score_error_sigma2", "score_error_relative", "score_cosine"}
    names |= {"dsm_loss"}
    ends = {f"{name}_{end}" for name in names for end in ("low", "high")}
    assert set(found.data_vars) == {"sigma"} | names | ends
    assert found["split"].values.tolist() == ["train", "test"]


def test_score_error_by_density_bin(tmp_path: Path) -> None:
    """The bins average to the total error; uniform points reach the lowest densities."""
    found = measured(make_plan(tmp_path, PLANE, density_bins=6))
    assert set(found["split"].values) == {"train", "test", "uniform"}
    error = found["score_error_of_bin"]
    assert dict(error.sizes) == {"split": 3, "level": 4, "density_bin": 6}
    relative = found["score_error_relative_of_bin"]
    norm = (error / relative).sel(split="test").mean("density_bin")
    expected = found["score_error_relative"].sel(split="test")
    np.testing.assert_allclose(found["score_error"].sel(split="test") / norm, expected, rtol=1e-5)
    assert (found["log_density_of_bin"].diff("density_bin") > 0).all()
    whole = found["score_error"].sel(split="test")
    np.testing.assert_allclose(error.sel(split="test").mean("density_bin"), whole, rtol=1e-5)
    small = found["log_density_of_bin"].sel(level=4, density_bin=1)
    assert small.sel(split="uniform") < small.sel(split="test") - 5
    assert np.isnan(found["score_error"].sel(split="uniform")).all()


def test_asymmetry_of_a_radial_score(tmp_path: Path) -> None:
    found = measured(make_plan(tmp_path, PLANE, asymmetry_probes=2))
    assert found["asymmetry"].sizes == {"split": 2, "level": 4}
    assert found["asymmetry"].attrs["units"] == "data^-4"
    assert (found["asymmetry_relative"] < 1e-10).all()


def test_density_of_a_known_score(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, LINE)
    found = measured(plan)
    x = found["density_x"].values
    mass = np.exp(-np.sqrt(1 + x**2) / 0.2)
    learned = mass / np.trapezoid(mass, x)
    np.testing.assert_allclose(found["density"], learned, rtol=2e-3, atol=1e-6)
    weights, spread = np.array([0.25, 0.75]), math.sqrt(0.25 + 0.04)
    gaps = (x[:, None] - np.array([-2, 2])) / spread
    exact = np.exp(-0.5 * gaps**2) @ weights / (spread * math.sqrt(2 * math.pi))
    np.testing.assert_allclose(found["density_exact"], exact, rtol=1e-3, atol=1e-6)
    kl = np.trapezoid(exact * np.log(exact / learned), x)
    assert float(found["density_kl"]) == pytest.approx(kl, rel=1e-3)
    tv = 0.5 * np.trapezoid(np.abs(exact - learned), x)
    assert float(found["density_tv"]) == pytest.approx(tv, rel=1e-3)
    assert found["density"].attrs["sigma"] == pytest.approx(0.2)


def test_a_density_that_needs_too_many_points_is_skipped_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = make_plan(tmp_path, LINE | {"means": [[-2e5], [2e5]]})
    found = measured(plan)
    assert "density" not in found
    assert found["score_error"].notnull().all()
    assert "16,000" in capsys.readouterr().err


def test_densities_during_training(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, LINE)
    assert "density_history" not in measured(plan)
    run = plan.runs[0]
    network = load_network(plan.paths.run(run.id))
    for step, bias in ((0, 0.5), (30, 0.0)):
        network.last.bias.data.fill_(bias)
        folder = history_folder(plan.paths.history(run.id), step)
        save_network(folder / "model.safetensors", network, run.train.network)
    found = measured(plan)
    assert found["kept_step"].values.tolist() == [0, 30]
    np.testing.assert_array_equal(found["density_history"].sel(kept_step=30), found["density"])
    x = found["density_x"].values
    tilted = np.exp((0.5 * x - np.sqrt(1 + x**2)) / 0.2)  # the score is more by 0.5/σ
    expected = tilted / np.trapezoid(tilted, x)
    np.testing.assert_allclose(
        found["density_history"].sel(kept_step=0), expected, rtol=2e-3, atol=1e-6
    )


def test_score_field_of_two_dimensional_points(tmp_path: Path) -> None:
    plan = make_plan(tmp_path, PLANE)
    found = measured(plan)
    np.testing.assert_allclose(found["field_sigma"], [2.0, 1.0, 0.2])
    oracle = load_exact_score(plan.paths.dataset_store(plan.runs[0].dataset.id))
    x = torch.from_numpy(found["field_x"].values)
    radial = -x / (1 + x.square().mean(dim=1, keepdim=True)).sqrt()
    for sigma, learned in zip([2.0, 1.0, 0.2], found["field_score"], strict=True):
        np.testing.assert_allclose(learned, radial / sigma, rtol=1e-4, atol=1e-6)
    for sigma, exact in zip([2.0, 1.0, 0.2], found["field_exact"], strict=True):
        expected = oracle(x, torch.full((len(x),), sigma))
        np.testing.assert_allclose(exact, expected, rtol=1e-4, atol=1e-6)


def test_modes_of_test_samples(tmp_path: Path) -> None:
    plan = make_plan(
        tmp_path, LINE, metrics=["modes", "mmd", "energy_distance", "sliced_wasserstein"]
    )
    reference(plan, plan.runs[0].dataset.id, "pixels")
    store = plan.paths.dataset_store(plan.runs[0].dataset.id)
    test = read_split(store, "test").model_space()
    found = measure(plan, test)
    right = float((test > 0).double().mean())
    np.testing.assert_allclose(found["mode_share"], [1 - right, right], atol=0.011)
    np.testing.assert_allclose(found["mode_weight"], [0.25, 0.75])
    assert found["mode_share"].dims == ("mode",)
    assert "extractor" not in found["mode_share"].attrs
    assert float(found["mode_error"]) == pytest.approx(abs(found["mode_share"][0] - 0.25))
    assert float(found["mode_error"]) == pytest.approx(float(found["mode_error_real"]))
    assert float(found["mode_error_low"]) <= float(found["mode_error"])
    assert not {"mode_weight_real", "mode_weight_low"} & set(found.data_vars)
    for name in ("energy_distance_pixels", "sliced_wasserstein_pixels"):
        assert float(found[name]) == pytest.approx(float(found[f"{name}_real"]))
        assert float(found[f"{name}_noise"]) > 2 * float(found[name])


def test_shares_of_shapes(tmp_path: Path) -> None:
    shares = {"triangle": 0.13, "circles": 0.13}
    dataset = {"name": "shapes", "shares": shares, "train_count": 50, "test_count": 100}
    plan = make_plan(tmp_path, dataset, metrics=["shapes"], resamplings=0)
    reference(plan, plan.runs[0].dataset.id, "pixels")
    store = plan.paths.dataset_store(plan.runs[0].dataset.id)
    split = read_split(store, "test")
    found = measure(plan, split.model_space())
    asked = {"triangle": 0.13, "bar": 0.74 / 3, "circles": 0.13, "disc": 0.74 / 3}
    for name, share in asked.items():
        assert float(found["shape_asked"].sel({"class": name})) == pytest.approx(share)
    present = np.bincount(split.labels, minlength=5) / 100
    np.testing.assert_allclose(found["shape_share"], present)
    assert float(found["shape_mass_outside"]) == 0
    assert float(found["shape_mass_outside_noise"]) > 0.4
    assert float(found["shape_error"]) < 0.02 < float(found["shape_error_noise"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["modes"]}, "metrics: modes: .*'gaussian_mixture'"),
        ({"metrics": ["shapes"]}, "metrics: shapes: .*'shapes'"),
        ({"density_bins": 31}, "score_error_samples .*62, found 60"),
    ],
)
def test_metrics_that_need_other_data_are_refused_before_anything_runs(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        make_plan(tmp_path, {"name": "moons"}, **options)


def test_network_options_do_not_affect_sample_metrics(tmp_path: Path) -> None:
    before = make_plan(tmp_path, PLANE)
    after = make_plan(tmp_path, PLANE, density_bins=5, asymmetry_probes=1)
    assert before.evaluate_hash() == after.evaluate_hash()
    assert before.score_error_hash() != after.score_error_hash()
    assert before.settings[0].id == after.settings[0].id
