"""Results of changed data are kept until they are recomputed, once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from faults.in_process import train_run
from tiny_study import TINY

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml

pytestmark = pytest.mark.usefixtures("fresh_process")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    save(tmp_path, 0)
    content = parse_yaml(TINY, "study.yaml")
    content["dataset"] = {"name": "array", "path": str(tmp_path / "own.npy")}
    content["train"] |= {"steps": 4, "batch_size": 8, "grid": {}}
    content["sample"] |= {"count": 4, "grid": {}}
    return plan_study(parse_study(content, "study.yaml"), tmp_path)


def save(root: Path, seed: int) -> None:
    """Write user data."""
    np.save(root / "own.npy", np.random.default_rng(seed).normal(size=(40, 2)).astype(np.float32))


def due(plan: Plan) -> set[str]:
    """Return the rules of due jobs, except measurements."""
    return {result.rule for result in examine_results(plan).due} & {"stage", "train", "sample"}


def test_changed_data_retrain_and_resample_once(plan: Plan) -> None:
    (run,), (setting,), (data,) = plan.runs, plan.settings, plan.study.dataset
    paths = plan.paths

    def make_all() -> tuple[bytes, bytes]:
        stage(plan, data.id)
        train_run(plan)
        sample(plan, run.id, setting.id)
        manifest = paths.samples_manifest(run.id, setting.store)
        return paths.weights(run.id).read_bytes(), manifest.read_bytes()

    before = make_all()
    assert due(plan) == set()
    save(paths.root, 1)
    assert due(plan) == {"stage", "train", "sample"}
    stage(plan, data.id)
    assert due(plan) == {"train", "sample"}
    assert paths.weights(run.id).read_bytes() == before[0]
    paths.weights_manifest(run.id).unlink()  # as an earlier version left it
    assert due(plan) == {"train", "sample"}
    after = make_all()
    assert all(one != other for one, other in zip(before, after, strict=True))
    assert due(plan) == set()
    assert make_all() == after


def test_data_that_cannot_be_staged_change_nothing(plan: Plan) -> None:
    (data,) = plan.study.dataset
    stage(plan, data.id)
    manifest = plan.paths.dataset_manifest(data.id).read_bytes()
    np.save(plan.paths.root / "own.npy", np.full((40, 2), np.nan))
    with pytest.raises(InputError, match="NaN"):
        stage(plan, data.id)
    assert plan.paths.dataset_manifest(data.id).read_bytes() == manifest
    assert examine_results(plan)["stage", data.id].state == "outdated"
