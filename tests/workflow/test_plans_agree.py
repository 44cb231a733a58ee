"""`scoresweep plan`, `scoresweep status` and `snakemake -n` plan the same jobs.

They decide from the content of files. The studies are fake; only plans are compared.
"""

from __future__ import annotations

import io
import math
import os
import random
import re
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from checkout import ROOT
from faked_study import CONTENT, fake_plan, fake_report, fake_run, fake_study
from forked import call
from rich.console import Console

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.commands.plan import print_plan
from scoresweep.pipeline.results import batch_results, examine_results
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.study import Plan, load_study, plan_study
from scoresweep.pipeline.study.batches import split_into_batches

CORES = 2
ALL = {"train": 4, "score_error": 4, "sample": 12, "evaluate": 12, "sweep": 4}


def to_do(plan: Plan, *targets: str, **changes: Any) -> dict[str, int]:
    """Return the number of due jobs and tasks of each rule; check that all three agree."""
    root = plan.paths.root
    content = CONTENT | changes
    (root / "study.yaml").write_text(yaml.safe_dump(content))
    os.chdir(root)
    here = fake_plan(Path(), **changes)
    results = examine_results(here)
    results.by_key |= batch_results(here, results, split_into_batches(here, CORES))
    due = results.due
    planned = {result.rule: 0 for result in due}
    printed = io.StringIO()
    size = math.ceil((len(here.settings) + 1) * len(here.runs) / (2 * CORES))
    for rule in print_plan(here, False, Console(file=printed), size):
        if rule.total - rule.done:
            planned[rule.name] = rule.total - rule.done
    assert planned == Counter(result.rule for result in due)
    assert all(result.reason in printed.getvalue() for result in due if result.state == "outdated")
    states = collect_jobs(here)
    assert planned.get("train", 0) == sum(j.state != "done" for j in states if j.setting is None)
    settings = Counter(job.state for job in states if job.setting is not None)
    assert planned.get("evaluate", 0) == settings.total() - settings["done"]
    assert planned.get("sample", 0) == settings.total() - settings["done"] - settings["sampled"]
    assert dry_run(*targets) == {str(result.output) for result in results.due_jobs}
    return planned


OWN_EXTRACTORS = """
from scoresweep.plugins import extractor

@extractor
def halves(x):
    return x.flatten(1) / 2

@extractor
def Filters(x):
    return x.flatten(1)
"""


def snakemake_dry_run(*targets: str) -> tuple[int, str]:
    """Return exit code and output of `snakemake -n`."""
    options = ("--snakefile", ROOT / "Snakefile", "--cores", str(CORES), "--dry-run")
    ended = call("snakemake.cli:main", *options, "--configfile", "study.yaml", "--", *targets)
    return ended.returncode, ended.stdout + ended.stderr


def dry_run(*targets: str) -> set[str]:
    """Return the first output of each job of `snakemake -n`."""
    code, output = snakemake_dry_run(*targets)
    assert code == 0, output
    blocks = re.split(r"^(?:local)?rule (\w+):$", output, flags=re.MULTILINE)[1:]
    named = dict[str, str]()
    for rule, block in zip(blocks[::2], blocks[1::2], strict=True):
        first = re.search(r"^ +output: ([^\s,]+)", block, re.MULTILINE)
        if first and rule != "outdated":
            named[first[1]] = rule
    assert named or "Nothing to be done" in output
    return set(named)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    plan = fake_plan(tmp_path_factory.mktemp("finished"))
    fake_study(plan)
    fake_report(plan)
    return plan


@pytest.fixture
def plan(finished: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A copy of the finished study with random modification times, some in the future."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "copy"
    shutil.copytree(finished.paths.root, root)
    draw = random.Random(0)
    for path in root.rglob("*"):
        at = time.time() + draw.uniform(-3600, 3600)
        os.utime(path, (at, at))
    return fake_plan(root)


def test_deleted_results_are_made_again(plan: Plan) -> None:
    paths, (a, b, c, d), (x, y, z) = plan.paths, plan.runs, plan.settings
    shutil.rmtree(paths.run(a.id))
    shutil.rmtree(paths.samples(b.id, x.store))  # its manifest is left
    paths.samples_manifest(b.id, y.store).unlink()
    paths.metrics(b.id, z.id).unlink()
    paths.score_error(c.id).unlink()
    paths.weights(d.id).unlink()  # its manifest is left
    shutil.rmtree(paths.dataset_store("digits"))
    assert to_do(plan) == {
        "stage": 1,
        "train": 2,
        "score_error": 3,
        "sample": 8,
        "evaluate": 9,
        "sweep": 4,
        "report": 1,
    }


def test_a_renamed_copy_has_nothing_to_do_and_needs_no_data(plan: Plan) -> None:
    shutil.rmtree(plan.paths.root / "data")
    plan.paths.results.rename(plan.paths.root / "results" / "renamed")
    assert to_do(plan, study="renamed") == {}
    metrics = {"extractors": ["classifier"], "metrics": ["kid"]}
    assert to_do(plan, study="renamed", evaluate=metrics) == {
        "stage": 1,
        "reference": 1,
        "evaluate": 12,
        "sweep": 4,
        "report": 1,
    }


def test_a_smaller_grid_only_reports_again(plan: Plan) -> None:
    train = CONTENT["train"] | {"grid": {"noise.levels": [6, 4]}}
    assert to_do(plan, train=train) == {"report": 1}


def test_other_weights_outdate_dependent_results(plan: Plan) -> None:
    one, two, *_ = plan.runs
    shutil.copy(plan.paths.weights(one.id), plan.paths.weights(two.id))
    for path in plan.paths.results.rglob("*"):
        os.utime(path, (1, 1))
    assert to_do(plan) == {"score_error": 1, "sample": 3, "evaluate": 3, "sweep": 1, "report": 1}
    batch = plan.paths.batch(two.id, "1-of-1").relative_to(plan.paths.root)
    assert dry_run(str(batch)) == {str(batch)}, "a target of its own"


def without_records(plan: Plan) -> None:
    """Remove the records that an earlier version did not write."""
    for path in plan.paths.results.rglob("*"):
        if path.suffix in (".nc", ".json") and path.is_file():
            path.write_bytes(path.read_bytes().replace(b"made_from", b"xxxx_from"))
    for path in plan.paths.results.rglob("model.json"):
        path.unlink()


def test_results_without_records_are_finished(plan: Plan) -> None:
    without_records(plan)
    found = examine_results(plan)
    assert [result.rule for result in found.due] == ["report"]  # the faked one holds no study
    fake_run(plan, plan.runs[0])  # trained again, by this version
    found = examine_results(plan)
    assert Counter(one.rule for one in found.due) == {"score_error": 1, "report": 1}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, int]]:
    """Return a function that counts the due jobs of a finished study on a folder of images."""
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    pictures = tmp_path / "pictures"
    for name in ("cats", "dogs"):
        (pictures / name).mkdir(parents=True)
        for index in range(4):
            image = np.full((8, 8), 10 * index, np.uint8)
            Image.fromarray(image).save(pictures / name / f"{index}.png")
    dataset = {"name": "folder", "path": str(pictures), "test_fraction": 0.5}
    plan = fake_plan(tmp_path, dataset=dataset)
    stage(plan, plan.study.dataset[0].id)
    fake_study(plan)
    fake_report(plan)
    return lambda: to_do(plan, dataset=dataset)


def test_data_with_the_same_content_run_nothing(
    own: Callable[[], dict[str, int]], tmp_path: Path
) -> None:
    os.utime(tmp_path / "pictures/cats/0.png", (1, 1))
    (tmp_path / "pictures/dogs/.DS_Store").write_bytes(b"Bud1")
    (tmp_path / "pictures/cats").rename(tmp_path / "aside")
    shutil.copytree(tmp_path / "aside", tmp_path / "pictures/cats")
    assert own() == {}
    shutil.rmtree(tmp_path / "pictures")
    assert own() == {}


def test_changed_data_outdate_everything(own: Callable[[], dict[str, int]], tmp_path: Path) -> None:
    file = tmp_path / "pictures/cats/0.png"
    before = file.stat()
    content = (tmp_path / "pictures/cats/3.png").read_bytes()
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert own() == {"stage": 1, "reference": 1, **ALL, "report": 1}


def test_missing_data_end_a_dry_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = CONTENT | {"dataset": {"name": "folder", "path": "nowhere"}}
    Path("study.yaml").write_text(yaml.safe_dump(content))
    code, output = snakemake_dry_run()
    assert code == 1
    assert "dataset.path: nowhere: no such folder" in output


def test_features_of_extractors_of_plugins_are_planned(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(OWN_EXTRACTORS)
    evaluate = {"extractors": ["halves", "Filters", "pixels"]}
    Path("study.yaml").write_text(
        yaml.safe_dump(CONTENT | {"plugins": ["mine.py"], "evaluate": evaluate})
    )
    plan = plan_study(load_study(Path("study.yaml")), Path())
    features = {str(plan.reference("digits", extractor)) for extractor in plan.extractors}
    assert len(features) == 3
    assert features <= dry_run()
