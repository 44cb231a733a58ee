"""Results of earlier versions stay valid: `finished_study.zip` is the tiny study, made by 0.1.0."""

import shutil
from pathlib import Path

import pytest

from scoresweep import load_network
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.study import Plan, load_study, plan_study

ARCHIVE = Path(__file__).with_name("finished_study.zip")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    shutil.unpack_archive(ARCHIVE, tmp_path)
    return plan_study(load_study(tmp_path / "study.yaml"), tmp_path)


def test_a_finished_study_plans_nothing(plan: Plan) -> None:
    found = examine_results(plan)
    assert {result.state for result in found.by_key.values()} == {"done"}
    assert found.due == []


def test_only_the_deleted_result_is_made_again(plan: Plan) -> None:
    run, setting = plan.runs[0].id, plan.settings[0].id
    plan.paths.metrics(run, setting).unlink()
    due = {key for key, result in examine_results(plan).by_key.items() if result.is_due}
    assert due == {("evaluate", run, setting), ("report",)}


def test_a_network_of_the_study_is_loaded(plan: Plan) -> None:
    network = load_network(plan.paths.run(plan.runs[0].id))
    assert network.sigmas.tolist()[0] == pytest.approx(8.0)
    assert network.shape == (1, 8, 8)
