"""Labels of blocks: names for the report that nothing computed depends on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import xarray as xr
from faked_study import CONTENT, fake_measurements, fake_plan, fake_report, fake_study
from halved_study import HALVING, measure_due

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.report.paper_figure import paper_charts
from scoresweep.pipeline.report.paper_table.layout import paper_table
from scoresweep.pipeline.report.saved_summary import read_summary
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.results.report_state import report_state
from scoresweep.pipeline.rules.report import report
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.labels import labels_hash

Block = dict[str, Any]

LANGEVIN: Block = {"name": "annealed_langevin", "step_size": 2e-5}
LONGER: Block = LANGEVIN | {"steps_per_level": 9}
FLOW: Block = {"name": "probability_flow"}


def labelled(block: Block, label: Any) -> Block:
    return block | {"label": label}


def plan_of(root: Path, samplers: list[Any], **more: Any) -> Plan:
    sample = {key: CONTENT["sample"][key] for key in ("count",)}
    sample |= {"sampler": LANGEVIN, "grid": {"sampler": samplers}}
    return fake_plan(root, sample=sample | more.pop("sample", {}), **more)


def ids(plan: Plan) -> list[Any]:
    points = [*plan.runs, *plan.settings]
    return [(point.id, point.axes) for point in points] + [plan.evaluate_hash()]


def test_a_label_changes_no_id_and_no_value_of_an_axis(tmp_path: Path) -> None:
    plain = plan_of(tmp_path, [LANGEVIN, FLOW])
    plan = plan_of(
        tmp_path,
        [labelled(LANGEVIN, "ALS"), FLOW],
        dataset=labelled(CONTENT["dataset"], "Digits, 8×8"),
        train=CONTENT["train"]
        | {
            "network": labelled(CONTENT["train"]["network"], "MLP"),
            "objective": {"name": "dsm", "label": "DSM"},
            "noise": labelled(CONTENT["train"]["noise"], "geometric"),
        },
    )
    assert ids(plan) == ids(plain)
    assert plan.settings[0].sample == plain.settings[0].sample
    assert plan.runs[0].config() == plain.runs[0].config()
    assert plan.runs[0].train.network.arguments() == plain.runs[0].train.network.arguments()
    assert plan.labels == {"sampler": {"annealed_langevin(step_size=2e-05)": "ALS"}}
    assert plain.labels == {}


def test_a_block_that_is_not_swept_at_a_point_keeps_its_label(tmp_path: Path) -> None:
    """Points of `include` have the sampler of the block."""
    sample = {"sampler": labelled(LANGEVIN, "ALS"), "include": [{"seed": 3}], "exclude": []}
    plan = plan_of(tmp_path, [labelled(LONGER, "long"), FLOW], sample=sample)
    assert sorted(plan.labels["sampler"].values()) == ["ALS", "long"]
    # An entry of `exclude` may leave the label out.
    sample = {"exclude": [{"sampler": LONGER}]}
    plan = plan_of(tmp_path, [labelled(LONGER, "long"), FLOW], sample=sample)
    assert len(plan.settings) == 1


@pytest.mark.parametrize(
    ("samplers", "more", "named"),
    [
        (
            [labelled(LANGEVIN, "A"), labelled(FLOW, "A")],
            {},
            ["sample.sampler", "'A'", "probability_flow"],
        ),
        ([labelled(LANGEVIN, "probability_flow"), FLOW], {}, ["'probability_flow'"]),
        ([labelled(LANGEVIN, "A"), labelled(LANGEVIN, "B")], {}, ["'A'", "'B'", "sample.grid"]),
        ([labelled(LANGEVIN, "A b"), labelled(FLOW, "A-B")], {}, ["'A-B'"]),
        ([labelled(LANGEVIN, "")], {}, ["sampler.label", "1 to 60"]),
        ([labelled(LANGEVIN, "a\nb")], {}, ["sampler.label", "1 to 60"]),
        ([labelled(LANGEVIN, 3)], {}, ["sampler.label", "string"]),
        (
            [LANGEVIN],
            {
                "sampler": labelled(LANGEVIN | {"denoise": True}, "A"),
                "grid": {"sampler.name": ["annealed_langevin", "consistent"]},
            },
            ["sample.sampler.name", "consistent"],
        ),
        ([LANGEVIN], {"grid": {"sampler.label": ["A", "B"]}}, ["sample.grid.sampler.label"]),
    ],
    ids=[
        "twice",
        "a name",
        "two labels",
        "file names",
        "empty",
        "lines",
        "number",
        "swept name",
        "swept label",
    ],
)
def test_labels_that_do_not_name_one_block_are_refused(
    tmp_path: Path, samplers: list[Any], more: Block, named: list[str]
) -> None:
    with pytest.raises(InputError) as error:
        plan_of(tmp_path, samplers, sample=more)
    assert [name for name in named if name not in str(error.value)] == []


def due(plan: Plan) -> list[tuple[str, str]]:
    return [(result.rule, result.reason) for result in examine_results(plan).due]


def test_a_new_label_makes_the_report_again_and_nothing_else(tmp_path: Path) -> None:
    plain = plan_of(tmp_path, [LANGEVIN, FLOW])
    fake_study(plain)
    fake_report(plain)
    assert due(plain) == []
    plan = plan_of(tmp_path, [labelled(LANGEVIN, "A"), FLOW])
    assert due(plan) == [("report", "the study has other labels")]
    others = [plan, plain, plan_of(tmp_path, [labelled(LANGEVIN, "B"), FLOW])]
    others.append(plan_of(tmp_path, [LANGEVIN], sample={"sampler": labelled(LANGEVIN, "A")}))
    assert len({labels_hash(each.study, each.labels) for each in others}) == 4


def test_labels_name_values_everywhere_but_in_coordinates(
    tmp_path: Path, blank_figures: None
) -> None:
    samplers = [labelled(LANGEVIN, "ALS & co"), FLOW]
    datasets = [labelled({"name": "digits"}, "Digits"), {"name": "digits", "subset": 90}]
    network = labelled(CONTENT["train"]["network"], "small MLP")
    train = CONTENT["train"] | {"network": network, "grid": {}}
    plan = plan_of(tmp_path, samplers, dataset=datasets, train=train)
    fake_measurements(plan)
    report(plan)
    assert report_state(plan, examine_results(plan)).reason != "the study has other labels"
    value = "annealed_langevin(step_size=2e-05)"
    with xr.open_dataset(plan.paths.report, group="sampling", engine="h5netcdf") as file:
        assert file["sampler"].values.tolist() == [value, "probability_flow"]
        assert file["dataset"].values.tolist()[0] == "digits"
    page = plan.paths.report_page.read_text(encoding="utf-8")
    assert "ALS &amp; co" in page.split('id="table"')[1].split("</table>")[0]
    # Among the facts it is beside its label; the page keeps the number on one line.
    assert page.split("<details>")[0].count("annealed_langevin(step_size") == 1
    assert "small MLP: mlp (width 8" in page
    # Charts show the label; the address of the page holds the value.
    numbers = json.loads(page.split('id="data">')[1].split("</script>")[0])
    axis = next(axis for axis in numbers["explorer"]["axes"] if axis["key"] == "sampler")
    assert axis["values"] == ["ALS & co", "probability_flow"]
    assert axis["keys"] == [value, "probability_flow"]
    table = pd.read_csv(plan.paths.summary_table)
    assert set(table["sampler"]) == {value, "probability_flow"}
    assert set(table["sampler_label"]) == {"ALS & co", "probability_flow"}
    saved = read_summary(plan.paths.report)
    written = paper_table(saved, ["sampler"], at=["dataset=digits"])
    assert [names for names, _ in written.rows] == [["ALS & co"], ["probability_flow"]]
    assert "At dataset Digits." in written.caption
    for name in ("ALS & co", value):
        assert len(paper_table(saved, ["dataset"], at=[f"sampler={name}"]).rows) == 2
    (chart,) = paper_charts(saved, "dataset", ["sampler"])
    assert [line.name for line in chart.lines[:2]] == [
        "sampler ALS & co",
        "sampler probability_flow",
    ]


def test_labels_in_zip_name_the_values_of_successive_halving(
    tmp_path: Path, blank_figures: None
) -> None:
    network, noise = CONTENT["train"]["network"], CONTENT["train"]["noise"]
    networks = [labelled(network, "small"), network | {"width": 9}]
    noises = [labelled(noise, "four"), labelled(noise | {"levels": 6}, "six")]
    train = CONTENT["train"] | {"grid": {}, "zip": [{"network": networks, "noise": noises}]}
    samplers, seeds = [labelled(LANGEVIN, "ALS"), labelled(LONGER, "long"), FLOW], [5, 6, 7]
    zipped = {"zip": [{"sampler": samplers, "seed": seeds}], "halving": HALVING}
    sample = {"sampler": LANGEVIN, "count": CONTENT["sample"]["count"]} | zipped
    plan = fake_plan(tmp_path, train=train, sample=sample)
    fake_study(plan, metrics=False)
    measure_due(plan)
    report(plan)
    assert [*plan.labels] == ["network", "train_noise", "sampler"]
    table = pd.read_csv(plan.paths.summary_table).query("metric == 'frechet_classifier'")
    counts = table.groupby(["network_label", "sampler_label"])["count"].max().unstack()
    assert counts.loc["small"].to_dict() == {"ALS": 20, "long": 15, "probability_flow": 10}
    saved = read_summary(plan.paths.report)
    assert [*saved.at(["train_noise=six"]).rows["network"].unique()] == ["mlp(width=9, blocks=1)"]
    # Each setting is at the largest count that it reached; those of unequal count are not compared.
    with pytest.raises(InputError, match=r"unequal count.* count \(20, 15, 10\).*--at count="):
        paper_table(saved, ["sampler"], ["network"])
    written = paper_table(saved, ["sampler"], ["network"], at=["count=15"])
    assert [names for names, _ in written.rows] == [["long"]]
    assert "At count 15." in written.caption
    assert "; n = 15 samples" in written.caption[0]
    assert "n = 20 samples" in paper_table(saved, ["network"], at=["count=20"]).caption[0]
