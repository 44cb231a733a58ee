"""The tree holds the numbers of a study's files under their labels."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from faked_study import (
    CONTENT,
    NOISE,
    REAL,
    fake_measurements,
    fake_metrics,
    fake_plan,
    fake_run,
    fake_score_error,
    fake_study,
    frechet,
    sigmas,
)

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.report.tables.collect import collect
from scoresweep.pipeline.report.tables.frames import long_table, wide_table
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.study import Plan


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    plan = fake_plan(tmp_path_factory.mktemp("study"))
    fake_study(plan)
    return plan


@pytest.fixture(scope="module")
def data(plan: Plan) -> ReportData:
    return collect(plan, collect_jobs(plan))


@pytest.fixture(scope="module")
def reopened(data: ReportData, tmp_path_factory: pytest.TempPathFactory) -> Iterator[xr.DataTree]:
    path = tmp_path_factory.mktemp("report") / "report.nc"
    data.tree.to_netcdf(path, engine="h5netcdf")
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        yield tree


def without_label(tree: xr.DataTree) -> list[str]:
    """Return the variables and coordinates without a long name, and the metrics without a unit."""
    return [
        f"{group}/{name}"
        for group in tree.groups
        for name, variable in tree[group].variables.items()
        if "long_name" not in variable.attrs
        or (variable.dtype.kind == "f" and "units" not in variable.attrs)
    ]


def test_every_value_is_found_by_its_axes(plan: Plan, reopened: xr.DataTree) -> None:
    distance = reopened["sampling/frechet_classifier"]
    assert distance.dims == ("levels", "seed", "step_size")
    for run in plan.runs:
        for setting in plan.settings:
            point = distance.sel(run.axes).sel(setting.axes, method="nearest")
            assert point.item() == frechet(run, setting)
            assert reopened["sampling/run"].sel(run.axes).item() == run.id
            assert reopened["sampling/setting"].sel(setting.axes).item() == setting.id


def test_each_question_takes_one_line(reopened: xr.DataTree) -> None:
    distance = reopened["sampling/frechet_classifier"]
    mean = distance.mean("seed")
    assert mean.sel(levels=6).idxmin().item() == 2e-5
    assert mean.sel(step_size=2.1e-5, method="nearest").idxmin().item() == 6
    assert mean.sel(levels=4, step_size=2e-5).item() == pytest.approx(0.2 + 0.3 / 4 + 0.025)


def test_attributes_describe_the_measurement(plan: Plan, reopened: xr.DataTree) -> None:
    about = reopened["sampling/frechet_classifier"].attrs
    assert about["long_name"] == "Fréchet distance"
    assert about["extractor"] == "classifier"
    assert (about["n_real"], about["n_generated"], about["seed"]) == (30, 20, 0)
    assert reopened.attrs["schema_version"] == 1
    assert reopened.attrs["study"] == "faked"
    assert '"step_size": 2e-05' in reopened.attrs["config"]
    assert "torch" in reopened.attrs["versions"]


def test_every_variable_has_a_long_name_and_units(plan: Plan, reopened: xr.DataTree) -> None:
    assert not without_label(reopened)
    training, sampling = reopened["training"], reopened["sampling"]
    assert sampling["step_size"].attrs == {
        "long_name": "step size",
        "option": "sample.sampler.step_size",
        "units": "data^2",
    }
    assert sampling["levels"].attrs["option"] == "train.noise.levels"
    assert training["sigma"].attrs == {"long_name": "noise level", "units": "data"}
    assert training["images_per_second"].attrs["units"] == "samples/s"
    assert "units" not in sampling["run"].attrs


def test_repeats_are_named_in_the_attributes(tmp_path: Path) -> None:
    grid = {"sampler.step_size": [8e-5, 2e-5], "seed": [0, 1, 2]}
    plan = fake_plan(tmp_path, sample=CONTENT["sample"] | {"grid": grid})
    fake_measurements(plan)
    plan.paths.metrics(plan.runs[0].id, plan.settings[0].id).unlink()
    data = collect(plan, collect_jobs(plan))
    sampling = data.tree["sampling"]
    repeats = {str(name): c.attrs.get("repeats") for name, c in sampling.coords.items()}
    assert {name: level for name, level in repeats.items() if level} == {
        "seed": "networks",
        "sample_seed": "samplings",
    }
    assert sampling.attrs["networks_of_a_configuration"] == 2
    assert sampling.attrs["samplings_of_a_configuration"] == 3
    rows = long_table(data)
    rows = rows[rows["metric"] == "frechet_classifier"]
    assert set(rows["networks"]) == {2}
    lost = (rows["levels"] == plan.runs[0].axes["levels"]) & (rows["step_size"] == 8e-5)
    assert set(rows["samplings"][lost]) == {5}
    assert set(rows["samplings"][~lost]) == {6}


def test_the_compute_cost_is_recorded(plan: Plan, reopened: xr.DataTree) -> None:
    point = {**plan.runs[0].axes, **plan.settings[0].axes}
    training, sampling = reopened["training"], reopened["sampling"]
    assert training["seconds"].dims == ("levels", "seed")
    assert training["seconds"].attrs["units"] == "s"
    assert (training["seconds"] * training["devices"]).sum().item() == 4 * 2.0 * 2
    assert (sampling["seconds"] * sampling["devices"]).sum().item() == 12 * 3.0 * 4
    assert (sampling["evaluate_seconds"] * sampling["evaluate_devices"]).sum().item() == 12 * 5 * 2
    assert sampling["evaluate_device"].sel(point).item() == "cpu"
    assert reopened["score_error/seconds"].sel(plan.runs[0].axes).item() == 4.0
    features = reopened["reference/seconds"].sel(dataset="digits", extractor="classifier")
    assert features.item() == 6.0
    assert training["device"].sel(plan.runs[0].axes).item() == "cpu"
    assert sampling["device"].sel(point).item() == "cpu"


def test_shorter_ladders_are_padded(plan: Plan, reopened: xr.DataTree) -> None:
    error = reopened["score_error/score_error_sigma2"].sel(split="test", seed=1)
    short = error.sel(levels=4)
    assert short.isel(level=slice(4, 6)).isnull().all()
    np.testing.assert_allclose(short[:4], 2 / sigmas(plan.runs[-1]))
    np.testing.assert_allclose(error.sel(levels=6), 2 / sigmas(plan.runs[0]))
    np.testing.assert_allclose(
        reopened["score_error/sigma"].sel(levels=4, seed=0)[:4], sigmas(plan.runs[-1])
    )


def test_training_curves_keep_steps_and_gaps(reopened: xr.DataTree) -> None:
    training = reopened["training"]
    assert training["step"].values.tolist() == [25, 50, 75, 100]
    assert training["loss"].sel(levels=4, seed=0, step=50).item() == 50.0
    assert training["level_loss"].sel(levels=6, seed=0, step=25, level=1).isnull()
    assert training["level_loss"].sel(levels=6, seed=0, step=50, level=6).item() == 75.0


def test_a_swept_option_and_a_curve_of_the_same_name_are_kept(tmp_path: Path) -> None:
    grid = {"optimizer.learning_rate": [0.01, 0.002], "seed": [0, 1]}
    plan = fake_plan(tmp_path, train=CONTENT["train"] | {"grid": grid})
    fake_measurements(plan)
    report = collect(plan, collect_jobs(plan)).tree
    curve = report["training"]["learning_rate"]
    assert curve.dims == ("optimizer_learning_rate", "seed", "step")
    assert curve.sel(optimizer_learning_rate=0.01, seed=1).values.tolist() == [1e-3] * 4
    distance = report["sampling"]["frechet_classifier"]
    assert distance["optimizer_learning_rate"].values.tolist() == [0.002, 0.01]


def test_a_metric_named_like_an_axis_is_refused(tmp_path: Path) -> None:
    plan = fake_plan(tmp_path)
    fake_measurements(plan)
    path = plan.paths.metrics(plan.runs[0].id, plan.settings[0].id)
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        measured = dataset.load().assign(levels=3.0)
    path.unlink()
    measured.to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError, match=r"sampling cannot hold .* of the same name: levels"):
        collect(plan, collect_jobs(plan))


def test_missing_results_are_nan_and_have_a_state(tmp_path: Path) -> None:
    plan = fake_plan(tmp_path)
    for run in plan.runs[:3]:
        fake_run(plan, run)
        for setting in plan.settings[:2]:
            fake_metrics(plan, run, setting)
    damaged = plan.paths.metrics(plan.runs[0].id, plan.settings[0].id)
    damaged.write_bytes(damaged.read_bytes()[:1000])
    drawn = plan.paths.samples_manifest(plan.runs[0].id, plan.settings[0].store)
    drawn.parent.mkdir(parents=True)
    drawn.write_text('{"seconds": 5.0, "devi')
    data = collect(plan, collect_jobs(plan))
    sampling = data.tree["sampling"]
    lost = {**plan.runs[1].axes, **plan.settings[2].axes}
    assert sampling["frechet_classifier"].sel(lost).isnull()
    assert sampling["state"].sel(lost).item() == "missing"
    assert (sampling["state"] == "done").sum() == 5
    assert sampling["seconds"].isnull().all()
    assert sampling["evaluate_seconds"].notnull().sum() == 5
    assert data.tree["reference/seconds"].isnull().all()
    assert data.tree["training/seconds"].sel(plan.runs[3].axes).isnull()
    assert data.tree["training/device"].sel(plan.runs[3].axes).item() == ""
    cut = {**plan.runs[0].axes, **plan.settings[0].axes}
    assert sampling["state"].sel(cut).item() == "failed"
    reasons = {(gap.part, gap.run, gap.setting): gap.reason for gap in data.missing}
    assert "delete it" in reasons["sampling", plan.runs[0].id, plan.settings[0].id]
    last = plan.runs[3].id
    assert reasons["training", last, None] == "not started"
    assert "its network is not trained" in reasons["sampling", last, plan.settings[0].id]
    assert len([gap for gap in data.missing if gap.part == "sampling"]) == 7
    assert len([gap for gap in data.missing if gap.part == "score error"]) == 4


def test_evaluation_axes_are_dimensions_too(tmp_path: Path) -> None:
    evaluate = {"extractors": ["classifier"], "grid": {"neighbours": [5, 3]}}
    plan = fake_plan(tmp_path, evaluate=evaluate)
    run, setting = plan.runs[0], plan.settings[0]
    fake_run(plan, run)
    fake_score_error(plan, run)
    fake_metrics(plan, run, setting)
    data = collect(plan, collect_jobs(plan))
    value = data.tree["sampling/frechet_classifier"].sel({**run.axes, **setting.axes})
    assert value.sel(neighbours=3).item() == frechet(run, setting)
    assert sorted(wide_table(data)["neighbours"]) == [3, 5]


def test_curves_of_other_lengths_share_one_axis(tmp_path: Path) -> None:
    plan = fake_plan(tmp_path)
    for run in plan.runs[:2]:
        fake_run(plan, run)
    path = plan.paths.training_curves(plan.runs[1].id)
    with xr.open_dataset(path, engine="h5netcdf") as dataset:
        longer = dataset.load().pad(step=(0, 1)).assign_coords(step=[25, 40, 50, 100, 200])
    longer["loss"][:] = np.arange(5.0)
    path.unlink()
    longer.to_netcdf(path, engine="h5netcdf")
    loss = collect(plan, collect_jobs(plan)).tree["training/loss"]
    assert loss["step"].values.tolist() == [25, 40, 50, 75, 100, 200]
    assert loss.sel(plan.runs[1].axes).sel(step=[40, 200]).values.tolist() == [1.0, 4.0]
    assert loss.sel(plan.runs[0].axes).sel(step=75).item() == pytest.approx(30 + 1000 / 75)
    assert loss.sel(plan.runs[0].axes).sel(step=200).isnull()


def test_tables_hold_the_same_numbers(plan: Plan, data: ReportData) -> None:
    wide, long = wide_table(data), long_table(data)
    assert len(wide) == 12
    run, setting = plan.runs[2], plan.settings[1]
    value = frechet(run, setting)
    row = wide[(wide["run"] == run.id) & (wide["setting"] == setting.id)].iloc[0]
    assert row["frechet_classifier"] == value
    assert row["step_size"] == setting.axes["step_size"]
    same = (long["run"] == run.id) & (long["setting"] == setting.id)
    line = long[same & (long["metric"] == "frechet_classifier")].iloc[0]
    expected = [value, value - 0.01, value + 0.02, REAL, NOISE, 20, "classifier"]
    columns = ["value", "low", "high", "real", "noise", "n_generated", "extractor"]
    assert line[columns].tolist() == expected
    errors = long[(long["metric"] == "score_error_sigma2") & (long["run"] == run.id)]
    assert len(errors) == 2 * 4
    test = errors[errors["split"] == "test"].sort_values("level")
    np.testing.assert_allclose(test["value"] * test["sigma"], 2.0)


def test_whole_numbers_are_written_as_in_the_study(tmp_path: Path) -> None:
    """Also those of settings, which score errors do not have."""
    grid = {"sampler.steps_per_level": [1, 20], "sampler.step_size": [1.0e-5, 8.0e-5]}
    plan = fake_plan(tmp_path, sample=CONTENT["sample"] | {"grid": grid})
    fake_measurements(plan)
    rows = csv.DictReader(long_table(collect(plan, collect_jobs(plan))).to_csv().splitlines())
    rows = [row for row in rows if row["metric"] in ("score_error", "frechet_classifier")]
    errors, settings = ([row for row in rows if bool(row["setting"]) is k] for k in (False, True))
    assert {row["steps_per_level"] for row in errors} == {""}
    assert {row["steps_per_level"] for row in settings} == {"1", "20"}
    assert {row["step_size"] for row in settings} == {"1e-05", "8e-05"}
    assert {row["n_generated"] for row in settings} == {"20"}
    assert {row["level"] for row in errors} == set("123456")


def test_a_study_without_axes_has_one_row(tmp_path: Path) -> None:
    train = {k: v for k, v in CONTENT["train"].items() if k != "grid"}
    sample = {k: v for k, v in CONTENT["sample"].items() if k != "grid"}
    plan = fake_plan(tmp_path, train=train, sample=sample)
    fake_measurements(plan)
    data = collect(plan, collect_jobs(plan))
    assert data.tree["sampling/frechet_classifier"].shape == ()
    assert wide_table(data)["frechet_classifier"].tolist() == [
        frechet(plan.runs[0], plan.settings[0])
    ]
    assert set(long_table(data)["metric"]) >= {"frechet_classifier", "score_error"}


def test_the_exact_score_counts_as_one_network(tmp_path: Path) -> None:
    train = CONTENT["train"] | {"network": {"name": "oracle"}, "grid": {"seed": [0, 1]}}
    plan = fake_plan(tmp_path, train=train)
    fake_measurements(plan)
    rows = long_table(collect(plan, collect_jobs(plan)))
    rows = rows[rows["metric"] == "frechet_classifier"]
    assert set(rows["run"]) == {run.id for run in plan.runs}
    assert (len(plan.runs), set(rows["networks"]), set(rows["samplings"])) == (2, {1}, {2})
