"""Successive halving, drawn and measured batch by batch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import xarray as xr
from tiny_study import TINY, untrained_plan

from scoresweep.pipeline import cli
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.results import batch_results, examine_results
from scoresweep.pipeline.rules.evaluate import evaluate
from scoresweep.pipeline.rules.sweep import sweep
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.batches import split_into_batches
from scoresweep.pipeline.study.load import parse_yaml

STEPS = [5e-4, 1e-3, 2e-3, 4e-3]
HALVING = {"measure": "frechet_pixels", "counts": [20, 40], "keep": 0.5}

Make = Callable[..., Plan]


@pytest.fixture
def make(staged: Path, tmp_path: Path) -> Make:
    """Make a plan of runs with random weights; keywords replace parts of `sample`."""

    def plan_in(folder: str = "work", seeds: Sequence[int] = (0,), **changes: Any) -> Plan:
        content = parse_yaml(TINY, "tiny.yaml")
        content["train"]["grid"] = {"seed": list(seeds)}
        content["evaluate"] |= {"metrics": ["frechet"], "resamplings": 4}
        content["sample"] |= {"initial": "data_plus_noise", "count": 80, "halving": HALVING}
        content["sample"] |= {"grid": {"sampler.step_size": STEPS}} | changes
        return untrained_plan(tmp_path / folder, staged, content)

    return plan_in


def run_all(plan: Plan, size: int | None = None) -> list[str]:
    """Run the due batches as the workflow does; return their names."""
    names = []
    for batch in sorted(split_into_batches(plan, 1, size), key=lambda batch: batch.count or 0):
        key = ("sweep", batch.run, batch.name)
        if batch_results(plan, examine_results(plan), [batch])[key].is_due:
            sweep(plan, batch.run, batch.name)
            names.append(batch.name)
    return names


def choices(plan: Plan) -> dict[str, Any]:
    """Return the content of the choice files."""
    folder = plan.paths.results / "halving"
    return {
        str(path.relative_to(folder)): json.loads(path.read_text())
        for path in folder.rglob("*.json")
    }


def counts(plan: Plan) -> list[int]:
    """Return the number of samples in each store, in rising order."""
    folder = plan.paths.results / "samples"
    return sorted(
        json.loads(path.read_text())["count"] for path in folder.glob("*/*_????????.json")
    )


def values(plan: Plan) -> dict[str, float]:
    """Return the measure in each file of metrics."""
    found = {}
    for path in (plan.paths.results / "metrics").rglob("*.nc"):
        with xr.open_dataset(path, engine="h5netcdf") as file:
            found[f"{path.parent.name}/{path.stem}"] = file["frechet_pixels"].item()
    return found


def test_each_stage_extends_the_samples_of_the_best(make: Make) -> None:
    plan = make()
    run_all(plan)
    assert counts(plan) == [20, 20, 40, 80]
    assert len(values(plan)) == 4 + 2 + 1
    for run in plan.runs:
        made = choices(plan)[f"{run.id}/40.json"]["configurations"]
        measured = {s.at(20).id: values(plan)[f"{run.id}/{s.at(20).id}"] for s in plan.settings}
        assert {m["settings"][0]["setting"]: m["value"] for m in made} == measured
        kept = {m["settings"][0]["setting"] for m in made if m["kept"]}
        assert kept == set(sorted(measured, key=measured.__getitem__)[:2])
    assert {result.rule for result in examine_results(plan).due} == {"report"}
    assert run_all(plan) == []


def test_results_and_choices_do_not_depend_on_batches(make: Make) -> None:
    whole, parts = make("whole"), make("parts")
    run_all(whole)
    assert len(run_all(parts, size=1)) == 4 + 2 + 1
    assert choices(whole) == choices(parts)
    assert values(whole) == values(parts)


def test_results_equal_those_of_a_study_with_that_count(make: Make) -> None:
    halved, plain = make(), make("plain", halving=None, count=40)
    run_all(halved)
    sweep(plain, plain.runs[0].id, "1-of-1")
    found, expected = values(halved), values(plain)
    at_40 = {name: value for name, value in found.items() if name in expected}
    assert len(at_40) == 2
    assert all(value == expected[name] for name, value in at_40.items())


def test_a_stage_waits_for_the_one_before(make: Make) -> None:
    plan = make()
    run = plan.runs[0].id
    sweep(plan, run, "1-of-2-at-20")
    with pytest.raises(RunError, match="2 settings are not measured"):
        sweep(plan, run, "1-of-1-at-40")
    assert choices(plan) == {}


def test_by_hand_a_failed_run_does_not_stop_the_others(make: Make) -> None:
    plan = make(seeds=(0, 1))
    plan.paths.weights(plan.runs[0].id).unlink()
    with pytest.raises(RunError, match=plan.runs[0].id):
        cli.sweep(plan.paths.root / "study.yaml", root=plan.paths.root)
    assert counts(plan) == [20, 20, 40, 80]
    assert {name.partition("/")[0] for name in values(plan)} == {plan.runs[1].id}


@pytest.mark.parametrize("both_input", [True, False])
def test_by_hand_an_input_error_stops_no_other_run_and_hides_no_failure(
    make: Make, monkeypatch: pytest.MonkeyPatch, both_input: bool
) -> None:
    plan = make(seeds=(0, 1, 2), halving=None)
    first, second, third = (run.id for run in plan.runs)
    problems = {first: InputError("of the first"), second: RunError("of the second")}
    if both_input:
        problems[second] = InputError("of the first")

    def failing(plan: Plan, run: str, *arguments: Any, **options: Any) -> None:
        if run in problems:
            raise problems[run]
        sweep(plan, run, *arguments, **options)

    monkeypatch.setattr("scoresweep.pipeline.rules.sweep.sweep", failing)
    with pytest.raises(InputError if both_input else RunError) as error:
        cli.sweep(plan.paths.root / "study.yaml", root=plan.paths.root)
    expected = "of the first" if both_input else "of the first\nof the second"
    assert str(error.value) == expected
    assert {name.partition("/")[0] for name in values(plan)} == {third}


def test_an_interrupted_stage_goes_on_where_it_stopped(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, whole = make(), make("whole")
    run, measured = plan.runs[0].id, []

    def interrupted(*arguments: Any) -> None:
        if len(measured) == 1:
            raise KeyboardInterrupt
        measured.append(arguments[2])
        evaluate(*arguments)

    sweep(plan, run, "1-of-1-at-20")
    with monkeypatch.context() as patch:
        patch.setattr("scoresweep.pipeline.rules.sweep.evaluate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sweep(plan, run, "1-of-1-at-40")
    before = plan.paths.metrics(run, measured[0]).stat().st_mtime_ns
    run_all(plan)
    run_all(whole)
    assert plan.paths.metrics(run, measured[0]).stat().st_mtime_ns == before
    assert (choices(plan), values(plan)) == (choices(whole), values(whole))


def test_an_added_setting_starts_at_the_first_count(make: Make) -> None:
    plan = make()
    run_all(plan)
    files = {path: path.stat().st_mtime_ns for path in plan.paths.results.rglob("metrics/*/*.nc")}
    more = make(grid={"sampler.step_size": [*STEPS, 8e-3]})
    results = examine_results(more)
    due = {key[2] for key, result in results.by_key.items() if result.is_due and len(key) == 3}
    assert due == {more.settings[-1].at(20).id}
    run_all(more)
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert len(choices(more)[f"{more.runs[0].id}/40.json"]["configurations"]) == 5
    assert {result.rule for result in examine_results(more).due} == {"report"}


def test_over_a_study_a_stage_waits_for_all_runs(make: Make) -> None:
    plan = make(seeds=(0, 1), halving=HALVING | {"over": "study"})
    first = plan.runs[0].id
    sweep(plan, first, "1-of-1-at-20")
    with pytest.raises(RunError, match=r"successive halving of digits: .* 4 settings"):
        sweep(plan, first, "1-of-1-at-40")
    run_all(plan)
    # The two runs differ in their seed: its settings go on together.
    assert choices(plan).keys() == {"digits/40.json", "digits/80.json"}
    assert counts(plan) == [20] * 4 + [40] * 2 + [80] * 2


def test_no_value_at_all_is_an_error(make: Make) -> None:
    plan = make()
    run = plan.runs[0].id
    sweep(plan, run, "1-of-1-at-20")
    for setting in plan.settings:
        path = plan.paths.metrics(run, setting.at(20).id)
        with xr.open_dataset(path, engine="h5netcdf") as file:
            content = file.load().drop_vars("frechet_pixels")
        content.to_netcdf(path, engine="h5netcdf")
    with pytest.raises(RunError, match="no setting has a value of frechet_pixels at 20"):
        sweep(plan, run, "1-of-1-at-40")
    states = batch_results(plan, examine_results(plan), split_into_batches(plan, 1))
    assert states["sweep", run, "1-of-2-at-40"].is_due


@pytest.mark.parametrize(
    ("halving", "name"), [(HALVING, "1-of-2"), (HALVING, "1-of-2-at-30"), (None, "1-of-2-at-20")]
)
def test_a_batch_of_another_stage_is_refused(make: Make, halving: Any, name: str) -> None:
    plan = make(halving=halving)
    with pytest.raises(InputError, match=f"--batch {name}"):
        sweep(plan, plan.runs[0].id, name)
