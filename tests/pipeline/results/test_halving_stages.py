"""Which settings each stage of successive halving works on, from metrics and choice files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from faked_study import CONTENT, fake_metrics, fake_plan, fake_samples, fake_study
from halved_study import STEPS, halving_plan, measure_due

from scoresweep.pipeline.results import examine_results, outcomes
from scoresweep.pipeline.results.halving_choice import write_choice
from scoresweep.pipeline.results.result import Results
from scoresweep.pipeline.study import Plan


def steps(results: Results, run: str, count: int) -> list[float]:
    return [setting.axes["step_size"] for setting in results.settings_at(run, count)]


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything but metrics."""
    root = tmp_path_factory.mktemp("sampled")
    fake_study(halving_plan(root), metrics=False)
    return root


@pytest.fixture
def study(sampled: Path, tmp_path: Path) -> Plan:
    shutil.copytree(sampled, tmp_path, dirs_exist_ok=True)
    return halving_plan(tmp_path)


def test_the_first_stage_is_every_setting_at_the_first_count(study):
    results = examine_results(study)
    for run in study.runs:
        assert steps(results, run.id, 10) == STEPS
        assert {s.sample.count for s in results.settings[run.id]} == {10}
        assert all(results["evaluate", run.id, s.at(10).id].is_due for s in study.settings)
    assert results.choices == {}


def test_the_best_share_goes_on_at_each_stage(study):
    results = measure_due(study)
    for run in study.runs:
        assert steps(results, run.id, 15) == [2e-5, 4e-5, 1e-5]
        assert len(steps(results, run.id, 20)) == 2
        assert 2e-5 in steps(results, run.id, 20)


def test_a_choice_waits_until_every_setting_of_its_run_is_measured(study):
    first, second = study.runs
    for setting in study.settings[:-1]:
        fake_metrics(study, first, setting.at(10))
    for setting in study.settings:
        fake_metrics(study, second, setting.at(10))
    results = examine_results(study)
    assert steps(results, first.id, 15) == []
    assert steps(results, second.id, 15) == [2e-5, 4e-5, 1e-5]
    over_study = halving_plan(study.paths.root, {"over": "study"})
    assert steps(examine_results(over_study), second.id, 15) == []


def test_over_a_study_the_runs_compete(tmp_path):
    study = halving_plan(tmp_path, {"over": "study", "keep": 0.25})
    fake_study(study, metrics=False)
    results = measure_due(study)
    # 0.05 better with six levels than with four: of 12, three go on, then one.
    better, worse = (run.id for run in study.runs)
    assert steps(results, better, 20) == [2e-5]
    assert steps(results, worse, 20) == []
    (choice,) = {id(c): c for (_, n), c in results.choices.items() if n == 15}.values()
    assert (choice.group, len(choice.configurations)) == ("digits", 12)


def test_the_choice_file_holds_every_value_and_is_used(study):
    results, run = measure_due(study), study.runs[0]
    choice = results.choices[run.id, 15]
    write_choice(study, choice)
    path = study.paths.halving_choice(run.id, 15)
    content = json.loads(path.read_text())
    values = {
        one["setting"]: (one["value"], one["low"], one["high"])
        for made in content["configurations"]
        for one in made["settings"]
    }
    assert len(values) == len(STEPS)
    for low, value, high in ((v - 0.01, v, v + 0.02) for v, *_ in values.values()):
        assert (value, low, high) in values.values()
    assert sum(made["kept"] for made in content["configurations"]) == 3
    assert examine_results(study).choices == results.choices
    # What the file says is used as it stands: the metrics are not read again.
    content["configurations"][0]["kept"] = False
    path.write_text(json.dumps(content))
    assert len(examine_results(study).settings_at(run.id, 15)) == 2 + 1  # and one measured before


@pytest.mark.parametrize("damage", ["{", "{}", "[]", ""])
def test_a_damaged_choice_file_is_made_again(study, damage):
    results, run = measure_due(study), study.runs[0]
    path = study.paths.halving_choice(run.id, 15)
    path.parent.mkdir(parents=True)
    path.write_text(damage)
    assert examine_results(study).choices == results.choices
    write_choice(study, results.choices[run.id, 15])
    assert json.loads(path.read_text())["count"] == 10


def test_another_share_makes_another_choice(study):
    results, run = measure_due(study), study.runs[0]
    write_choice(study, results.choices[run.id, 15])
    more = measure_due(halving_plan(study.paths.root, {"keep": 0.9}))
    assert len(more.settings_at(run.id, 15)) == 6
    assert more.choices[run.id, 15].keep == 0.9


def test_an_added_setting_starts_at_the_first_count_and_only_it_is_due(study):
    measure_due(study)
    more = halving_plan(study.paths.root, grid={"sampler.step_size": [*STEPS, 2.1e-5]})
    for run in more.runs:
        fake_samples(more, run, more.settings[-1])
    results = examine_results(more)
    added = more.settings[-1]
    due = {key[2] for key, r in results.by_key.items() if r.is_due and key[0] == "evaluate"}
    assert due == {added.at(10).id}
    # The values of earlier stages stay in the report meanwhile.
    run = more.runs[0].id
    reached = [
        o.setting.sample.count for (name, _), o in outcomes(more, results).items() if name == run
    ]
    assert sorted(reached) == [10, 10, 10, 10, 15, 20, 20]
    results = measure_due(more)
    assert added.axes["step_size"] in steps(results, run, 20)


def test_nothing_changes_without_halving(study):
    measure_due(study)
    grid = CONTENT["sample"] | {"grid": {"sampler.step_size": STEPS}}
    train = CONTENT["train"] | {"grid": {"noise.levels": [6, 4]}}
    without = fake_plan(study.paths.root, train=train, sample=grid)
    results = examine_results(without)
    run = without.runs[0]
    assert results.settings[run.id] == without.settings
    done = [s for s in without.settings if not results["evaluate", run.id, s.id].is_due]
    assert len(done) == 2  # those that went on to the last count


def test_new_data_are_measured_from_the_first_stage_on(study):
    measure_due(study)
    results = examine_results(halving_plan(study.paths.root))
    assert not results.due or [r.rule for r in results.due] == ["report"]
    for run in study.runs:
        study.paths.weights(run.id).unlink()
    results = examine_results(study)
    for run in study.runs:
        assert {s.sample.count for s in results.settings[run.id]} == {10}
        assert all(results["evaluate", run.id, s.at(10).id].is_due for s in study.settings)


def test_outcomes_say_where_settings_were_dropped_and_if_that_is_in_doubt(study):
    results, run = measure_due(study), study.runs[0].id
    found = {
        setting.axes["step_size"]: outcomes(study, results)[run, setting.store]
        for setting in study.settings
    }
    assert {step: o.setting.sample.count for step, o in found.items()} == {
        8e-5: 10,
        5e-6: 10,
        1e-6: 10,
        2e-5: 20,
        1e-5: 20,
        4e-5: 15,  # as good as 1e-5, and later by name
    }
    dropped = {step for step, outcome in found.items() if outcome.is_dropped}
    assert dropped == {8e-5, 5e-6, 1e-6, 4e-5}
    assert {step for step in dropped if found[step].in_doubt} == {4e-5}


def test_what_an_earlier_choice_measured_further_is_marked_as_dropped(study):
    measure_due(study)
    less = halving_plan(study.paths.root, {"keep": 0.2})
    results, run = examine_results(less), study.runs[0].id
    assert not any(result.is_due for result in results.of("evaluate"))
    found = {s.axes["step_size"]: outcomes(less, results)[run, s.store] for s in less.settings}
    assert found[4e-5].setting.sample.count == 15
    assert found[4e-5].is_dropped
    assert not found[1e-5].is_dropped  # it has all samples


def test_without_any_value_nothing_goes_on(study):
    import h5py

    measure_due(study)
    run = study.runs[0]
    for setting in study.settings:
        with h5py.File(study.paths.metrics(run.id, setting.at(10).id), "r+") as file:
            del file["frechet_classifier"]
    results = examine_results(study)
    assert not any(made.kept for made in results.choices[run.id, 15].configurations)
