"""`scoresweep plan` prints what words such as `max_distance` and `auto` stand for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faked_study import CONTENT, fake_plan

from scoresweep.pipeline.commands.estimate import levels
from scoresweep.pipeline.commands.estimate.resolved_values import resolved_values
from scoresweep.pipeline.results import examine_results
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.study import Plan

LADDER = {"name": "geometric", "sigma_max": "max_distance", "sigma_min": 0.01, "levels": "auto"}
AUTO: dict[str, Any] = {
    "train": {"network": {"name": "mlp"}, "noise": LADDER, "steps": 1, "grid": {"seed": [0, 1]}},
    "sample": {
        "sampler": {"name": "annealed_langevin", "step_size": "auto"},
        "grid": {"sampler.steps_per_level": [1, 5]},
    },
    "evaluate": {"extractors": ["pixels"]},
}


def values(plan: Plan) -> dict[str, str]:
    """Return what each line says after "is", by the words before."""
    pairs = [line.split(" is ", 1) for line in resolved_values(plan, examine_results(plan))]
    return dict(pairs)  # type: ignore[arg-type]


def corners(root: Path) -> dict[str, Any]:
    """Return images of which two are √64 = 8 apart."""
    pixels = np.repeat(np.array([0, 255], np.uint8), 10)
    np.save(root / "corners.npy", np.broadcast_to(pixels[:, None, None], (20, 8, 8)))
    return {"name": "array", "path": str(root / "corners.npy"), "layout": "NHW", "title": "c"}


def test_a_study_of_numbers_has_nothing_to_resolve(tmp_path: Path) -> None:
    assert values(fake_plan(tmp_path)) == {}


def test_values_of_data_are_known_when_it_is_staged(tmp_path: Path) -> None:
    plan = fake_plan(tmp_path, dataset=corners(tmp_path), **AUTO)
    before = values(plan)
    assert list(before) == [
        "train.noise.sigma_max: max_distance",
        "train.noise.levels: auto",
        "sample.sampler.step_size: auto",
    ]
    assert all("scoresweep stage" in value for value in before.values())
    stage(plan, plan.study.dataset[0].id)
    lines = resolved_values(plan, examine_results(plan))
    assert lines[0].startswith("train.noise.sigma_max: max_distance is 8 on c_")
    # Technique 2 in 64 dimensions, by bisection: γ = 1.34055, so L = 1 + ln 800/ln γ = 23.8.
    assert lines[1].startswith("train.noise.levels: auto is 23 levels, 8 to 0.01, on c_")
    assert [line.split(" on ")[0].split(" is ")[1] for line in lines[2:]] == [
        "4.554e-05 for 23 levels of 1 steps",  # Technique 4 on a fine grid
        "2.386e-05 for 23 levels of 5 steps",
    ]


def test_ladders_that_differ_in_other_options_share_a_line(tmp_path: Path) -> None:
    noise = LADDER | {"levels": 10}
    train = AUTO["train"] | {"noise": noise, "grid": {"noise.levels": [10, 30]}}
    plan = fake_plan(tmp_path, dataset=corners(tmp_path), train=train)
    stage(plan, plan.study.dataset[0].id)
    (line,) = resolved_values(plan, examine_results(plan))
    assert line.startswith("train.noise.sigma_max: max_distance is 8 on c_")


def test_measured_ladders_are_kept_until_the_data_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = fake_plan(tmp_path, dataset=corners(tmp_path), **AUTO)
    dataset, noise = plan.study.dataset[0], plan.runs[0].train.noise
    stage(plan, dataset.id)
    first = levels.ladder_levels(plan, noise, dataset)
    assert first is not None
    assert first[0] == 8
    cache = plan.paths.dataset_ladders(dataset.id)
    content = json.loads(cache.read_text())
    content["ladders"] = {key: [2.0, 1.0] for key in content["ladders"]}
    cache.write_text(json.dumps(content))
    assert levels.ladder_levels(plan, noise, dataset) == [2.0, 1.0]
    manifest = plan.paths.dataset_manifest(dataset.id)
    manifest.write_text(manifest.read_text() + " ")
    assert levels.ladder_levels(plan, noise, dataset) == first


def test_published_data_need_no_staging_for_the_dimension(tmp_path: Path) -> None:
    train = CONTENT["train"] | {"noise": LADDER | {"sigma_max": 50.0}, "grid": {}}
    found = values(fake_plan(tmp_path, dataset={"name": "cifar10"}, train=train))
    assert found == {"train.noise.levels: auto": "232 levels, 50 to 0.01, on cifar10"}


def test_exact_scores_of_mixtures_and_of_other_data(tmp_path: Path) -> None:
    datasets = [{"name": "gaussian_mixture"}, {"name": "moons"}, corners(tmp_path)]
    train = AUTO["train"] | {"network": {"name": "oracle"}, "noise": CONTENT["train"]["noise"]}
    plan = fake_plan(tmp_path, **AUTO | {"dataset": datasets, "train": train})
    lines = [line for line in resolved_values(plan, examine_results(plan)) if "network" in line]
    assert [line.split(" is ")[1].split()[0] for line in lines] == [
        "mixture",
        "training_set",
        "known",
    ]
