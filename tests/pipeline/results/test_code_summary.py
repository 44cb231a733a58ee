"""Results are counted by kind and by the code that computed them."""

import json
import shutil
from collections import Counter

import pytest
import xarray as xr
from faked_study import CONTENT, fake_plan, fake_study
from rich.console import Console

from scoresweep.pipeline.commands.progress.status_table import status
from scoresweep.pipeline.results import code_version as code_version_module
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.results.code_summary import count_codes, mixed_code_lines, other_code_lines
from scoresweep.pipeline.results.code_version import FILES, UNKNOWN, CodeVersion, current_code
from scoresweep.pipeline.rules.report import report
from scoresweep.pipeline.system.atomic_files import write_json

OLD = CodeVersion("0123456789ab", "fedcba987654")


@pytest.fixture
def plan(tmp_path):
    train = {**CONTENT["train"], "grid": {}}
    evaluate = {"extractors": ["pixels"], "metrics": ["frechet"]}
    plan = fake_plan(tmp_path, train=train, evaluate=evaluate)
    fake_study(plan)
    for run in plan.runs:
        write_json(plan.paths.provenance(run.id), {})
    return plan


def mark(path, code):
    """Record `code` in a result."""
    if path.suffix == ".json":
        write_json(path, json.loads(path.read_text()) | {"made_by": code.record()})
        return
    with xr.open_dataset(path, engine="h5netcdf") as file:
        content = file.load()
    content.assign_attrs(code.attribute()).to_netcdf(path, engine="h5netcdf")


def samples(plan):
    return [plan.paths.samples_manifest(r.id, s.store) for r in plan.runs for s in plan.settings]


def mark_all(plan):
    paths = plan.paths
    for path in samples(plan):
        mark(path, current_code("samples"))
    for run in plan.runs:
        mark(paths.provenance(run.id), current_code("networks"))
        for setting in plan.settings:
            mark(paths.metrics(run.id, setting.id), current_code("metrics"))
    mark(paths.dataset_manifest("digits"), current_code("data"))
    mark(plan.reference("digits", "pixels"), current_code("features"))


def code_lines_of_status(plan, capsys):
    status(plan, console=Console(width=200))
    return [line for line in capsys.readouterr().out.splitlines() if line.startswith("code: ")]


def test_results_of_this_code_are_not_mentioned(plan, capsys):
    mark_all(plan)
    found = count_codes(examine_results(plan))
    assert {kind: len(counts) for kind, counts in found.items()} == dict.fromkeys(found, 1)
    assert set(found) == set(FILES) - {"score_error"}
    assert found["samples"] == Counter({current_code("samples"): 3})
    assert (
        other_code_lines(found)
        == mixed_code_lines(found)
        == code_lines_of_status(plan, capsys)
        == []
    )


def test_mixed_and_uniform_results_are_distinguished(plan, capsys):
    mark_all(plan)
    mark(samples(plan)[0], OLD)
    mark(samples(plan)[1], UNKNOWN)
    mark(plan.reference("digits", "pixels"), OLD)
    found = count_codes(examine_results(plan))
    now = current_code("samples")
    assert found["samples"] == Counter({now: 1, OLD: 1, UNKNOWN: 1})
    (mixed,) = mixed_code_lines(found)
    assert mixed == (
        "samples: mixed: 1 by this code, 1 by code 0123456789ab (commit fedcba987654), "
        "1 by unknown code"
    )
    lines = code_lines_of_status(plan, capsys)
    assert [line.removeprefix("code: ").split(":")[0] for line in lines] == [
        "samples",
        "features of real samples",
    ]
    assert "made by code 0123456789ab" in lines[1]
    assert current_code("features").code in lines[1]


def test_results_without_a_record_have_unknown_code(plan, capsys):
    lines = code_lines_of_status(plan, capsys)
    assert len(lines) == 5
    assert all("unknown code" in line for line in lines)
    assert count_codes(examine_results(plan))["metrics"] == Counter({UNKNOWN: 3})


def test_a_network_without_a_record_is_not_retrained(plan):
    mark_all(plan)
    for run in plan.runs:
        plan.paths.provenance(run.id).unlink()
    found = examine_results(plan, this_code=True)
    assert {result.state for result in found.of("train")} == {"done"}
    assert {result.state for result in found.of("sample")} == {"done"}


def test_commits_of_the_same_code_count_as_one(plan):
    mark_all(plan)
    now = current_code("samples")
    mark(samples(plan)[0], CodeVersion(now.code, "111111111111"))
    assert other_code_lines(count_codes(examine_results(plan))) == []


def test_the_report_names_other_code_in_file_page_and_terminal(plan, capsys, blank_figures):
    mark_all(plan)
    mark(samples(plan)[0], OLD)
    report(plan)
    said = capsys.readouterr().err
    assert "samples: mixed: 2 by this code, 1 by code 0123456789ab" in said
    assert "--rerun-triggers code mtime" in said
    page = plan.paths.report_page.read_text()
    assert page.count("samples: mixed: 2 by this code") == 1, "the warning"
    assert "1 by code 0123456789ab" in page.split('id="provenance"')[1]
    attributes = xr.open_datatree(plan.paths.report, engine="h5netcdf").attrs
    rows = [row for row in json.loads(attributes["code"]) if row["kind"] == "samples"]
    assert {(row["code"], row["results"], row["is_this"]) for row in rows} == {
        (current_code("samples").code, 2, True),
        (OLD.code, 1, False),
    }


def test_an_edited_sampler_changes_the_code_of_samples(plan, tmp_path, monkeypatch):
    mark_all(plan)
    copy = tmp_path / "copy"
    shutil.copytree(code_version_module.PACKAGE, copy)
    with (copy / "samplers" / "annealed_langevin.py").open("a") as file:
        file.write("# edited\n")
    monkeypatch.setattr(code_version_module, "PACKAGE", copy)
    current_code.cache_clear()
    try:
        lines = other_code_lines(count_codes(examine_results(plan)))
    finally:
        current_code.cache_clear()
    assert [line.split(":")[0] for line in lines] == ["samples"]
