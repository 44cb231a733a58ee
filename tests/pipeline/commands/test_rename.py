"""A renamed study keeps its results, its comments and everything that is finished."""

import pytest
import yaml
from faked_study import CONTENT, fake_plan, fake_report, fake_study

from scoresweep.pipeline.commands.rename import rename
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.rules import report as report_rule
from scoresweep.pipeline.system.job_state import JobState

TRAIN = {"train": {**CONTENT["train"], "grid": {}}}


@pytest.fixture
def plan(tmp_path):
    plan = fake_plan(tmp_path, **TRAIN)
    text = yaml.safe_dump(CONTENT | TRAIN, sort_keys=False)
    text = "# My study\n" + text.replace("study: faked", "study: 'faked'  # its name", 1)
    (tmp_path / "study.yaml").write_text(text)
    fake_study(plan)
    return plan


def test_results_move_and_comments_stay(plan, tmp_path, monkeypatch):
    fake_report(plan)
    reported = []
    monkeypatch.setattr(report_rule, "report", lambda plan: reported.append(plan.study.study))
    states = {key: result.state for key, result in examine_results(plan).by_key.items()}
    rename(plan, tmp_path / "study.yaml", "other")
    text = (tmp_path / "study.yaml").read_text()
    assert text.startswith("# My study\nstudy: other  # its name\n")
    assert not plan.paths.results.exists()
    renamed = fake_plan(tmp_path, **TRAIN, study="other")
    assert {key: result.state for key, result in examine_results(renamed).by_key.items()} == states
    assert reported == ["other"]


def test_wrong_name_or_running_job_is_an_error_and_changes_nothing(plan, tmp_path):
    path = tmp_path / "study.yaml"
    before = path.read_bytes()
    (tmp_path / "results" / "taken").mkdir()
    for name, problem in (("taken", "results/taken: exists"), ("a/b", "study: 'a/b'")):
        with pytest.raises(InputError, match=problem):
            rename(plan, path, name)
    run = plan.runs[0].id
    plan.paths.weights(run).unlink()
    JobState("running", 1, 100).write(plan.paths.progress(run))
    with pytest.raises(InputError, match=rf"running, such as {run}"):
        rename(plan, path, "other")
    assert path.read_bytes() == before
    assert plan.paths.results.exists()


def test_name_inside_a_flow_mapping_is_an_error(plan, tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(CONTENT | TRAIN, default_flow_style=True, width=10**6))
    with pytest.raises(InputError, match="study: other"):
        rename(plan, path, "other")
