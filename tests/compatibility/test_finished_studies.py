"""Results of earlier versions stay valid: `finished_study.zip` is the tiny study, made by 0.1.0."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scoresweep import load_network
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.sampling import chunks as chunk_module
from scoresweep.pipeline.sampling.sample_store import read_levels, read_samples
from scoresweep.pipeline.study import Plan, load_study, parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml

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


def with_count(plan: Plan, counts: list[int]) -> Plan:
    """Return the study with other numbers of samples."""
    content = parse_yaml((plan.paths.root / "study.yaml").read_text(), "study.yaml")
    content["sample"].pop("count")
    content["sample"]["grid"] |= {"count": counts}
    return plan_study(parse_study(content, "study.yaml"), plan.paths.root)


def test_a_raised_count_extends_the_samples(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    raised = with_count(plan, [50, 90])
    run, store = plan.runs[0].id, plan.settings[0].store
    assert {setting.store for setting in raised.settings} == {s.store for s in plan.settings}
    before = read_samples(plan.paths.samples(run, store), 50).values
    diagnostics = read_levels(plan.paths.samples(run, store), 3)
    chunks, draw_chunk = [], chunk_module._draw_chunk

    def draw(job: Any, chunk: int, inputs: Any) -> Any:
        chunks.append(chunk)
        return draw_chunk(job, chunk, inputs)

    monkeypatch.setattr(chunk_module, "_draw_chunk", draw)
    large = next(s for s in raised.settings if s.store == store and s.sample.count == 90)
    sample(raised, run, large.id)
    assert chunks == [2, 3, 4]
    found = read_samples(plan.paths.samples(run, store), 90).values
    np.testing.assert_array_equal(found[:50], before)
    for name, values in read_levels(plan.paths.samples(run, store), 3).items():
        np.testing.assert_allclose(values, diagnostics[name], rtol=1e-15)
    results = examine_results(
        plan_study(load_study(plan.paths.root / "study.yaml"), plan.paths.root)
    )
    assert results.due == [], "the smaller number of samples"
    again = with_count(plan, [50, 90])
    assert [s.store for s in again.settings] == [s.store for s in raised.settings]
    due = {key for key, result in examine_results(again).by_key.items() if result.is_due}
    assert ("sample", run, large.id) not in due
    assert ("evaluate", run, large.id) in due
    small = {("evaluate", r.id, s.id) for r in plan.runs for s in plan.settings}
    assert not small & due


def test_a_lowered_count_draws_nothing(plan: Plan) -> None:
    due = {key[0] for key, r in examine_results(with_count(plan, [30])).by_key.items() if r.is_due}
    assert "sample" not in due
    assert "evaluate" in due
