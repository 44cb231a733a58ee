"""The report of successive halving: counts, marks, and no comparison of unequal counts."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from faked_study import CONTENT, fake_metrics, fake_plan, fake_samples, fake_study, frechet
from halved_study import STEPS, halving_plan, measure_due

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.report.best_configurations import best_configurations
from scoresweep.pipeline.report.page.best_setting import best_setting_cards
from scoresweep.pipeline.report.page.explorer import explorer
from scoresweep.pipeline.report.page.halving_table import doubt_note, halving_rows
from scoresweep.pipeline.report.page.number_tables import best_rows, number_table
from scoresweep.pipeline.report.paper_figure import paper_charts
from scoresweep.pipeline.report.paper_table.layout import paper_table
from scoresweep.pipeline.report.saved_report import read_report
from scoresweep.pipeline.report.saved_summary import read_summary
from scoresweep.pipeline.report.sections import metric_maps, sample_grids
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.summarise import with_summary
from scoresweep.pipeline.report.tables.collect import collect
from scoresweep.pipeline.report.tables.frames import long_table, wide_table
from scoresweep.pipeline.report.tables.ranking import ranking_metrics
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.rules.report import report
from scoresweep.pipeline.study import Plan


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    study = halving_plan(tmp_path_factory.mktemp("study"))
    fake_study(study, metrics=False)
    measure_due(study)
    return study


@pytest.fixture(scope="module")
def data(plan: Plan) -> ReportData:
    return collect(plan, collect_jobs(plan))


def test_every_setting_has_its_value_and_its_count(plan, data):
    sampling = data.tree["sampling"].to_dataset()
    assert sampling["frechet_classifier"].dims == ("levels", "step_size")
    assert sampling.coords["count"].dims == ("levels", "step_size")
    assert (sampling["state"] == "done").all()
    for run, setting in itertools.product(plan.runs, plan.settings):
        at = sampling.sel(run.axes).sel(setting.axes)
        assert at["frechet_classifier"].item() == frechet(run, setting)
    six = sampling.sel(levels=6)
    counts = dict(zip(six["step_size"].values, six["count"].values, strict=True))
    assert counts == {8e-5: 10, 5e-6: 10, 1e-6: 10, 2e-5: 20, 1e-5: 20, 4e-5: 15}
    dropped = dict(zip(six["step_size"].values, six["dropped_at"].values, strict=True))
    assert dropped == {8e-5: 10, 5e-6: 10, 1e-6: 10, 2e-5: 0, 1e-5: 0, 4e-5: 15}
    doubt = dict(zip(six["step_size"].values, six["dropped_in_doubt"].values, strict=True))
    assert doubt == {8e-5: "no", 5e-6: "no", 1e-6: "no", 2e-5: "", 1e-5: "", 4e-5: "yes"}
    assert np.array_equal(sampling["n_generated"], sampling["count"])


def test_the_table_of_all_numbers_has_counts_and_marks(data):
    table = long_table(data)
    rows = table[(table["metric"] == "frechet_classifier") & (table["levels"] == 6)]
    by_step = rows.set_index("step_size")
    assert by_step.loc[4e-5, ["count", "dropped_at", "dropped_in_doubt"]].tolist() == [
        15,
        15,
        "yes",
    ]
    best = by_step.loc[2e-5]
    assert (best["count"], best["dropped_in_doubt"]) == (20, "")
    assert best["dropped_at"] is pd.NA


def test_a_row_names_its_metrics_file(plan, data):
    table = long_table(data)
    rows = table[table["metric"] == "frechet_classifier"]
    for run, setting, count in zip(
        rows["run"], rows["setting_at_count"], rows["count"], strict=True
    ):
        assert plan.paths.metrics(run, setting).exists()
        assert plan.setting(setting).sample.count == count


def test_the_samples_of_a_dropped_setting_are_shown(tmp_path: Path):
    study = halving_plan(tmp_path)
    fake_study(study, metrics=False)
    measure_due(study)
    run, dropped = study.runs[0], study.settings[STEPS.index(8e-5)]
    fake_samples(study, run, dropped.at(10))
    data = collect(study, collect_jobs(study))
    grids = sample_grids(study, data, wide_table(data), None, ["digits"])
    assert grids.settings == len(study.runs) * len(study.settings)


def test_only_settings_of_the_largest_count_are_best(data):
    wide = wide_table(data)
    # The best value of all is one that was dropped at a smaller count.
    wide.loc[wide["dropped_at"] == 10, "frechet_classifier"] = 0.001
    metrics = ranking_metrics(data.tree["sampling"].to_dataset(), wide)
    data = with_summary(data, wide, metrics)
    finalists = data.finalists(data.ranked(wide))
    assert set(finalists["count"]) == {20}
    (top,) = best_configurations(data, finalists, metrics[0])
    assert (top.row["step_size"], top.row["count"], top.of) == (2e-5, 20, 4)
    # It is named by its step size also if no other one reached that count.
    only = finalists[finalists["step_size"] == 2e-5]
    (top,) = best_configurations(data, only, metrics[0])
    assert top.where == "levels 6, step size 2e-5, count 20"


def test_real_samples_are_those_of_the_shown_count(data):
    wide = wide_table(data)
    wide["frechet_classifier_real"] = 1 / wide["count"]
    metrics = ranking_metrics(data.tree["sampling"].to_dataset(), wide)
    shown = explorer(with_summary(data, wide, metrics), wide, metrics, {})
    assert shown is not None
    measure = shown["measures"][0]
    reals = {at: each["real"] for at, each in measure["references"].items()}
    assert reals[""] is None, "of several counts"
    assert [reals[at] for at in "012"] == pytest.approx([1 / 10, 1 / 15, 1 / 20], rel=1e-4)


def test_the_number_of_samples_is_that_of_the_finalists(data):
    rows = pd.DataFrame({"count": [20, 20], "dropped_at": [0, 0]})
    metric = RankedMetric("kid", "KID", "lower", {}, {"": [10, 15, 20], "real": 12})
    (made,) = data.metrics_of_finalists(rows, [metric])
    assert made.sizes == {"": [20], "real": 12}
    other = RankedMetric("coverage", "coverage", "higher", {}, {"": 8})
    assert data.metrics_of_finalists(rows, [other]) == [other]


def test_each_count_has_maps_of_its_own(data, blank_figures):
    wide = wide_table(data)
    metrics = ranking_metrics(data.tree["sampling"].to_dataset(), wide)[:1]
    data = with_summary(data, wide, metrics)
    names = [figure.name for figure in metric_maps(data, wide, metrics)]
    assert {name.rpartition("_")[2] for name in names} == {"10", "20", "15"}


def test_the_numbers_on_the_page_are_sorted_within_each_count(data):
    wide = wide_table(data)
    metrics = ranking_metrics(data.tree["sampling"].to_dataset(), wide)
    table = number_table(with_summary(data, wide, metrics), wide, metrics)
    at = table["axes"].index("count")
    counts = [int(row["axes"][at]["text"]) for row in table["rows"]]
    assert counts == sorted(counts, reverse=True)
    means = [float(row["cells"][0]["mean"]) for row in table["rows"]]
    for count in set(counts):
        part = [mean for mean, n in zip(means, counts, strict=True) if n == count]
        assert part == sorted(part)
    assert not table["is_sorted"]
    marks = [row["mark"] for row in table["rows"]]
    assert marks == [""] * 4 + ["dropped, in doubt"] * 2 + ["dropped"] * 6


def test_the_page_lists_the_choices(data):
    rows = halving_rows(data.choices)
    assert [(row["count"], row["measured"], row["kept"], row["in_doubt"]) for row in rows] == [
        ("10", "6", "3", "0"),
        ("10", "6", "3", "0"),
        ("15", "3", "2", "1"),
        ("15", "3", "2", "1"),
    ]
    assert doubt_note(data.choices).startswith("2 of 8 ")


def test_costs_of_unequal_counts_are_not_computed(tmp_path):
    networks = [{"name": "mlp", "width": 8, "blocks": 1}, {"name": "oracle"}]
    study = halving_plan(tmp_path)
    train = CONTENT["train"] | {"grid": {"network": networks}}
    study = fake_plan(
        tmp_path, train=train, sample=study.study.sample.model_dump(exclude_unset=True)
    )
    fake_study(study, metrics=False)
    network, oracle = study.runs
    for count, kept in ((10, STEPS), (15, STEPS), (20, STEPS)):
        for setting in study.settings:
            if setting.axes["step_size"] in kept:
                fake_metrics(study, network, setting.at(count))
            if count == 10 or setting.axes["step_size"] == 2e-5:
                fake_metrics(study, oracle, setting.at(count))
    sampling = collect(study, collect_jobs(study)).tree["sampling"].to_dataset()
    cost = sampling["frechet_classifier_network_cost"].sel(network=sampling["network"][0])
    known = dict(zip(cost["step_size"].values, cost.notnull().values, strict=True))
    assert known == {step: step == 2e-5 for step in STEPS}


def test_the_whole_report(plan, blank_figures):
    report(plan)
    with xr.open_datatree(plan.paths.report, engine="h5netcdf") as tree:
        assert tree["sampling"].coords["count"].attrs["long_name"]
        assert tree["sampling"].coords["dropped_at"].sel(levels=6, step_size=4e-5).item() == 15
    page = plan.paths.report_page.read_text()
    assert 'id="halving"' in page
    assert set(pd.read_csv(plan.paths.metrics_table)["count"].dropna()) == {10, 15, 20}
    saved = read_report(plan.paths.report)
    assert set(saved.rows["count"]) == {20}
    # A table of one count names that count only.
    table = paper_table(read_summary(plan.paths.report), ["levels", "step_size"], at=["count=20"])
    assert "; n = 20 samples;" in table.caption[0]
    # The value of real samples depends on the count.
    summary = read_summary(plan.paths.report)
    (along,) = paper_charts(summary, "count", ["step_size"], at=["levels=6"])
    assert {line.name: line.x for line in along.lines}["real samples"] == [10, 15, 20]
    (beside,) = paper_charts(summary, "step_size", ["count"], at=["levels=6"])
    assert "real samples" not in {line.name for line in beside.lines}


def test_other_options_of_the_choice_write_the_report_again(tmp_path: Path, blank_figures):
    study = halving_plan(tmp_path)
    fake_study(study, metrics=False)
    measure_due(study)
    report(study)
    assert not examine_results(study)["report",].is_due
    less = halving_plan(tmp_path, {"keep": 0.2})
    results = examine_results(less)
    assert [result.rule for result in results.due] == ["report"]
    report(less)
    assert not examine_results(less).due
    for (group, count), choice in results.choices.items():
        content = json.loads(less.paths.halving_choice(group, count).read_text())
        assert content["made_from"] == choice.made_from


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{")])
def test_a_lost_choice_file_is_written_by_the_next_report(tmp_path: Path, damage, blank_figures):
    study = halving_plan(tmp_path)
    fake_study(study, metrics=False)
    measure_due(study)
    report(study)
    path = study.paths.halving_choice(study.runs[0].id, 15)
    before = path.read_bytes()
    damage(path)
    assert [result.rule for result in examine_results(study).due] == ["report"]
    report(study)
    assert path.read_bytes() == before
    assert not examine_results(study).due


def test_values_of_a_swept_count_are_those_of_their_count(tmp_path: Path):
    study = fake_plan(tmp_path, sample=CONTENT["sample"] | {"grid": {"count": [10, 20]}})
    fake_study(study, metrics=False)
    for run, setting in itertools.product(study.runs, study.settings):
        fake_samples(study, run, setting)
        fake_metrics(study, run, setting)
        with h5py.File(study.paths.metrics(run.id, setting.id), "r+") as file:
            file["frechet_classifier"][...] = setting.sample.count
    results = examine_results(study)
    tree = collect(study, collect_jobs(study, results), {}, results).tree
    for count in (10, 20):  # the two share a sample store
        values = tree["sampling"]["frechet_classifier"].sel(count=count)
        assert (values == count).all()


def test_a_swept_count_is_not_compared(tmp_path: Path):
    study = fake_plan(tmp_path, sample=CONTENT["sample"] | {"grid": {"count": [10, 20]}})
    fake_study(study, metrics=False)
    for run, setting in itertools.product(study.runs, study.settings):
        fake_samples(study, run, setting)
        fake_metrics(study, run, setting)
    data = collect(study, collect_jobs(study))
    wide = wide_table(data)
    metrics = ranking_metrics(data.tree["sampling"].to_dataset(), wide)
    data = with_summary(data, wide, metrics)
    best = list(best_configurations(data, data.finalists(wide), metrics[0]))
    assert [top.row["count"] for top in best] == [10, 20]
    sizes = {"": [10, 20], "real": [10, 20], "noise": 8}
    metric = replace(metrics[0], sizes=sizes)
    rows = best_rows(data, data.finalists(wide), [metric])
    shown = [
        [row[name].replace("\N{NO-BREAK SPACE}", "") for name in ("n", "n_real", "n_noise")]
        for row in rows
    ]
    assert shown == [["n=10", "n=10", "n=8"], ["n=20", "n=20", "n=8"]]
    cards = best_setting_cards(study, data, data.finalists(wide), [metric])
    assert [" or " in card["detail"] for card in cards] == [False, False]
