"""Datasets with long or unusual names."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from checkout import ROOT
from forked import call
from PIL import Image
from tiny_study import TINY

from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.study import parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml

SNAKEFILE = ROOT / "Snakefile"
LONG = "x" * 240


def study(root, *names, **options):
    """A study of folders with these names, four images each."""
    datasets = []
    for name in names:
        (root / name).mkdir(parents=True)
        for index in range(4):
            Image.fromarray(np.full((8, 8), index, np.uint8)).save(root / name / f"{index}.png")
        datasets.append(
            {"name": "folder", "path": str(root / name), "test_fraction": 0.5} | options
        )
    return parse_yaml(TINY, "tiny.yaml") | {"dataset": datasets}


@pytest.mark.parametrize("name", [LONG, "é" * 120, "{a}b", "a{b", "a'b c$d"])
@pytest.mark.parametrize("title", [None, "t" * 200])
def test_a_folder_of_any_name_is_staged(tmp_path, name, title):
    content = study(tmp_path, name, title=title)
    plan = plan_study(parse_study(content, "s.yaml"), tmp_path)
    dataset = plan.study.dataset[0]
    stage(plan, dataset.id)
    assert read_split(plan.paths.dataset_store(dataset.id), "train").shape == (1, 8, 8)
    assert not set("{}") & set(dataset.id)
    for path in (
        plan.paths.reference(dataset.id, "efficientnet_lite0", 1_000_000),
        plan.paths.extractor_weights(dataset.id, "efficientnet_lite0"),
    ):
        assert len(path.name.encode()) <= 255


def test_short_names_keep_their_id(tmp_path):
    content = study(tmp_path, "a'b c", "birds", "n" * 190)
    ids = [dataset.id for dataset in parse_study(content, "s.yaml").dataset]
    assert [name[:-9] for name in ids] == ["a'b c", "birds", "n" * 190]


@pytest.mark.parametrize("key", ["study", "title"])
def test_long_dataset_names(tmp_path, key):
    content = study(tmp_path, "a")
    (content if key == "study" else content["dataset"][0])[key] = "x" * 201
    with pytest.raises(InputError, match=rf"{key}: 'x+\.\.\.: .*200"):
        parse_study(content, "s.yaml")


def test_snakemake_plans_paths_with_braces(tmp_path):
    root = tmp_path / "in {braces}"
    content = study(root, "{cells}", "cells" + LONG[5:])
    (root / "{s}.yaml").write_text(yaml.safe_dump(content))
    options = ["--snakefile", SNAKEFILE, "--configfile", "{s}.yaml", "--forceall"]
    planned = call("snakemake.cli:main", "-n", *options, cwd=root)
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "data/-cells-_" in planned.stdout
