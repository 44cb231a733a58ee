"""The facts of a study on the page."""

from faked_study import CONTENT, fake_measurements, fake_plan

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.report.page.study_facts import study_facts, study_size
from scoresweep.pipeline.report.tables.collect import collect


def objective_of(root, **train):
    plan = fake_plan(root, train=CONTENT["train"] | train)
    fake_measurements(plan)
    return dict(study_facts(plan, collect(plan, collect_jobs(plan))))["objective"]


def test_options_without_effect_are_not_shown(tmp_path):
    edm = {"name": "dsm", "weighting": "edm"}
    assert "data std" not in objective_of(tmp_path / "sigma2", objective={"name": "dsm"})
    assert "data std 0.5" in objective_of(tmp_path / "edm", objective=edm)
    swept = {"noise.levels": [6, 4], "objective.weighting": ["sigma2", "edm"]}
    assert "data std 0.5" in objective_of(tmp_path / "swept", grid=swept)


def test_the_lead_names_a_dataset_by_its_label(tmp_path):
    plan = fake_plan(tmp_path, dataset={"name": "digits", "label": "Digits, 8×8"})
    assert study_size(plan).endswith(" on Digits, 8×8.")
