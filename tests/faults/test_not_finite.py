"""A loss that is not finite stops its run and no other."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
import yaml
from checkout import ROOT
from tiny_study import TINY

from scoresweep.pipeline.data.memory_loader import InMemoryLoader
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.study import load_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml
from scoresweep.pipeline.training.step_noise import StepNoise

COUNT, BATCH, STEP = 6400, 64, 59


@pytest.fixture
def folder(tmp_path):
    """A study on two datasets; one of them has a point that makes the loss infinite at step 60."""
    points = np.random.default_rng(0).normal(size=(COUNT, 2)).astype(np.float32)
    numbers = Split(np.arange(COUNT, dtype=np.float32)[:, None])
    taken = InMemoryLoader(numbers, BATCH, seed=0).rows(BATCH * STEP, BATCH * (STEP + 1))
    np.savez(tmp_path / "good.npz", train=points, test=points[:200])
    points[int(taken[5])] = 1e38
    np.savez(tmp_path / "bad.npz", train=points, test=points[:200])
    content = parse_yaml(TINY, "tiny.yaml")
    content["dataset"] = [{"name": "array", "path": f"{name}.npz"} for name in ("good", "bad")]
    content["train"]["grid"] = content["sample"]["grid"] = {}
    content["evaluate"] = {"metrics": ["frechet"], "extractors": ["pixels"], "resamplings": 0}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


@pytest.mark.slow
def test_other_runs_continue_and_the_report_covers_them(folder, scoresweep):
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--cores", "2", "--configfile", "study.yaml", "--keep-going"]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env=environment
    )
    plan = plan_study(load_study(folder / "study.yaml"), folder)
    good, bad = plan.runs
    level = int(StepNoise(0, (2,), 5, torch.device("cpu"))(STEP, 5, 6)[0]) + 1
    last = plan.paths.checkpoints(bad.id).relative_to(folder) / "step-00000040"
    message = f"the loss is not finite from step {STEP + 1} on, at level {level} (sigma"
    assert ended.returncode == 1
    assert message in ended.stdout + ended.stderr
    state = json.loads(plan.paths.progress(bad.id).read_text())
    assert state["state"] == "failed"
    assert message in state["message"]
    assert f"The last good checkpoint is {last}." in state["message"]
    assert (folder / last).is_dir()
    assert plan.paths.metrics(good.id, plan.settings[0].id).exists()
    assert scoresweep("report", "study.yaml", cwd=folder).returncode == 0
    with xr.open_datatree(plan.paths.report, engine="h5netcdf") as report:
        found = report["sampling/frechet_pixels"]
        assert found.notnull().sel(dataset=good.dataset.id).all()
        assert found.isnull().sel(dataset=bad.dataset.id).all()
