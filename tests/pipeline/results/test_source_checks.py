"""Data that cannot be staged are named before anything runs; a staged store needs no files."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faked_study import fake_plan
from PIL import Image

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.results.source_checks import check_sources
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.study import Plan


def check(plan: Plan) -> None:
    check_sources(plan, examine_results(plan))


def plan_of(root: Path, *datasets: dict[str, Any]) -> Plan:
    return fake_plan(root, dataset=list(datasets), evaluate={"extractors": ["pixels"]})


def write_images(folder: Path) -> dict[str, Any]:
    folder.mkdir()
    for i, image in enumerate(np.random.default_rng(0).integers(0, 256, (8, 4, 4), np.uint8)):
        Image.fromarray(image).save(folder / f"{i}.png")
    return {"name": "folder", "path": str(folder), "test_fraction": 0.25}


def test_every_dataset_that_is_missing_or_empty_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.npz").touch()
    datasets = [
        {"name": "digits"},
        write_images(tmp_path / "images"),
        {"name": "folder", "path": str(tmp_path / "nowhere")},
        {"name": "folder", "path": str(tmp_path / "empty")},
        {"name": "array", "path": str(tmp_path / "empty.npz")},
        {"name": "mnist", "source": {"path": str(tmp_path / "no_mnist")}},
    ]
    with pytest.raises(InputError) as caught:
        check(plan_of(tmp_path, *datasets))
    lines = str(caught.value).splitlines()
    named = [tmp_path / name for name in ("nowhere", "empty", "empty.npz", "no_mnist")]
    assert len(lines) == len(named)
    assert all(f"{path}:" in line for path, line in zip(named, lines, strict=True))


def test_staged_data_need_no_files_unless_these_have_changed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, write_images(tmp_path / "images"))
    check(plan)
    stage(plan, plan.study.dataset[0].id)
    shutil.rmtree(tmp_path / "images")
    check(plan)
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match="images: found no images"):
        check(plan)
