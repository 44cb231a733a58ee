"""Every valid study gets a report, even if results are missing, failed or not finite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr
from faked_study import CONTENT, fake_plan, fake_study
from tiny_study import TINY, give_data

from scoresweep.pipeline.cluster import Resources
from scoresweep.pipeline.report.sections.network_figures import final_level_loss
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.rules.report import report
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.rules.score_error import score_error
from scoresweep.pipeline.rules.train import train
from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml
from scoresweep.pipeline.system.job_state import JobState

ONE = {"train": CONTENT["train"] | {"grid": {}}, "sample": CONTENT["sample"] | {"grid": {}}}
"""A fake study of one network and one setting."""


def results(plan: Plan) -> list[Path]:
    """Return the NetCDF files that the report reads."""
    run, setting = plan.runs[0].id, plan.settings[0].id
    layout = plan.paths
    return [layout.training_curves(run), layout.score_error(run), layout.metrics(run, setting)]


def test_a_study_of_only_the_exact_score(tmp_path: Path, staged: Path, blank_figures: None) -> None:
    """It has five levels but no training steps and so no losses."""
    give_data(tmp_path, staged)
    content = parse_yaml(TINY, "tiny.yaml")
    content["train"] |= {"network": {"name": "oracle"}, "grid": {}}
    content["sample"] |= {"grid": {}, "count": 20}
    content["evaluate"]["score_error_samples"] = 16
    plan = plan_study(parse_study(content, "study.yaml"), tmp_path)
    run, setting = plan.runs[0].id, plan.settings[0].id
    reference(plan, "digits", "pixels")
    train(plan, run, Resources())
    score_error(plan, run)
    sample(plan, run, setting)
    evaluate(plan, run, setting)
    plan.paths.tensorboard(run).mkdir(exist_ok=True)
    report(plan)
    with xr.open_datatree(plan.paths.report, engine="h5netcdf") as tree:
        assert tree["training/state"].item() == "done"
        assert "loss" not in tree["training"]
        assert tree["training/sigma"].sizes == {"level": 5}
        assert float(tree["score_error/score_error_sigma2"].max()) < 1e-12
        assert float(tree["sampling/frechet_pixels"]) > 0
    assert len(list(plan.paths.tensorboard(run).glob("*.hparams"))) == 1


def test_a_study_without_finite_values(tmp_path: Path, blank_figures: None) -> None:
    plan = fake_plan(tmp_path, **ONE)
    fake_study(plan)
    plan.paths.tensorboard(plan.runs[0].id).mkdir()
    for path in results(plan):
        with xr.open_dataset(path, engine="h5netcdf") as content:
            measured = content.load()
        for name, variable in measured.data_vars.items():
            if name != "sigma":
                measured[name] = (variable.dims, np.full_like(variable, np.nan), variable.attrs)
        if path == plan.paths.metrics(plan.runs[0].id, plan.settings[0].id):
            measured["signal_to_noise"] = ("level", np.zeros(4))  # of a score of 0
            levels = np.arange(1, 5)
            measured = measured.assign_coords(level=levels, sigma=("level", 1.0 / levels))
        path.unlink()
        measured.to_netcdf(path, engine="h5netcdf")
    report(plan)
    with xr.open_datatree(plan.paths.report, engine="h5netcdf") as tree:
        assert set(tree["sampling/state"].values.flat) == {"done"}
        assert tree["sampling/frechet_classifier"].isnull().all()
    drawn = {path.stem for path in plan.paths.figures.glob("*.png")}
    assert "signal_to_noise" in drawn
    assert not drawn & {"training_loss", "level_loss", "score_error_sigma2", "class_shares"}


def test_a_study_in_which_everything_failed(tmp_path: Path, blank_figures: None) -> None:
    plan = fake_plan(tmp_path, **ONE)
    JobState("failed", 10, 100, message="loss is nan").write(plan.paths.progress(plan.runs[0].id))
    report(plan)
    assert "loss is nan" in plan.paths.report_page.read_text(encoding="utf-8")
    with xr.open_datatree(plan.paths.report, engine="h5netcdf") as tree:
        assert set(tree["training/state"].values.flat) == {"failed"}


def test_final_losses_are_means_of_the_finite_values() -> None:
    """Means over steps 9 and 10 of 10. A level that was never drawn has no row."""
    step = np.arange(1, 11)
    loss = np.stack([step * 1.0, np.where(step == 9, 4.0, np.nan), np.full(10, np.nan)], axis=1)
    dataset = xr.Dataset(
        {"loss": ("step", step * 1.0), "level_loss": (("step", "level"), loss)},
        {"step": step, "level": [1, 2, 3], "sigma": ("level", [3.0, 2.0, 1.0])},
    )
    frame = final_level_loss(dataset.reset_coords("sigma"))
    assert frame["level_loss"].tolist() == [9.5, 4.0]
    assert frame["sigma"].tolist() == [3.0, 2.0]
    assert final_level_loss(dataset.reset_coords("sigma").isel(level=[2, 2])).empty
