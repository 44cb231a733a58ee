"""The workflow as a module of other workflows, and what the workflow catalogue asks for."""

from __future__ import annotations

import re

import pytest
import yaml
from checkout import ROOT
from forked import call
from tiny_study import TINY

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.workflow_options import module_options, workflow_options

_, OWN = re.findall(r"```python\n(.*?)```", (ROOT / "config/README.md").read_text(), re.DOTALL)


def planned(folder, snakefile):
    """Return the number of jobs of each rule in a dry run."""
    (folder / "Snakefile").write_text(snakefile.replace("../scoresweep", str(ROOT)))
    ended = call("snakemake.cli:main", "--dry-run", "--rerun-triggers", "mtime", cwd=folder)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    table = re.search(r"job +count\n-+  -+\n(.*?)\n\n", ended.stdout + ended.stderr, re.DOTALL)
    assert table is not None, ended.stderr
    return {row.split()[0]: int(row.split()[1]) for row in table[1].splitlines()}


def test_two_studies_in_a_workflow_of_ones_own(tmp_path):
    (tmp_path / "studies").mkdir()
    for name in ("digits", "shapes"):
        (tmp_path / "studies" / f"{name}.yaml").write_text(TINY.replace("tiny", name))
    first = OWN.replace('"studies/digits.yaml"', '"studies/digits.yaml", "settings_per_job": 2')
    results = '"results/digits/report.nc", "results/shapes/report.nc"'
    rule = f"rule both:\n    input: {results}\n\n\n"
    order = "".join(f"ruleorder: digits_{r} > shapes_{r}\n" for r in ("stage", "reference"))
    jobs = planned(tmp_path, rule + first + "\n" + OWN.replace("digits", "shapes") + "\n" + order)
    assert jobs["digits_stage"] == jobs["digits_reference"] == jobs["both"] == 1
    assert jobs["digits_report"] == jobs["shapes_report"] == 1
    assert jobs["digits_train"] == jobs["shapes_train"] == 2
    assert jobs["digits_sweep"] == 4  # of two settings and the score error of each of two runs
    assert "shapes_stage" not in jobs


def test_a_module_runs_the_study_whose_content_it_is_given(tmp_path):
    (tmp_path / "config.yaml").write_text(TINY)
    content = yaml.safe_load(TINY)
    files = [tmp_path / "other.yaml", tmp_path / "config.yaml"]
    files[0].write_text("study: other")
    found = module_options(content | {"settings_per_job": 3}, files)
    assert (found.study, found.settings_per_job) == (str(files[1]), 3)
    for wrong in (content | {"study": "merged"}, {}, {"study_file": "a.yaml", "steps": 3}):
        with pytest.raises(InputError):
            module_options(wrong, files)


def test_the_study_of_the_command_line():
    assert workflow_options({}, []).study == "config/config.yaml"
    assert workflow_options({}, ["mine.yaml"]).study == "mine.yaml"
    assert workflow_options({"settings_per_job": 4}, []).settings_per_job == 4
    for config, files in (({"steps": 3}, []), ({"settings_per_job": None}, []), ({}, ["a", "b"])):
        with pytest.raises(InputError):
            workflow_options(config, files)


def test_the_catalogue_of_workflows_finds_what_it_needs():
    """See "Adding workflows" at https://snakemake.github.io/snakemake-workflow-catalog."""
    settings = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())
    usage = settings["usage"]
    deployment = usage["software-stack-deployment"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment", "report"}
    assert set(deployment) == {"conda", "apptainer", "apptainer+conda"}
    assert all(isinstance(value, bool) for value in (usage["report"], *deployment.values()))
    assert set(usage["mandatory-flags"]) == {"desc", "flags"}
    profile = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    assert usage["mandatory-flags"]["flags"].split() == [
        "--rerun-triggers",
        *profile["rerun-triggers"],
    ]
    assert (ROOT / "workflow/Snakefile").exists()
    assert (ROOT / "config/README.md").exists()
    assert list((ROOT / "workflow/rules").glob("*.smk"))
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme
    assert "workflow" in readme
