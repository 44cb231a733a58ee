"""`scoresweep suggest` prints what `init` writes, for several σ_L, beside what a study has."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from scoresweep.noise import levels_by_technique_2
from scoresweep.pipeline.commands.init import init
from scoresweep.pipeline.commands.start.ladder_numbers import ladder_numbers
from scoresweep.pipeline.commands.suggest import suggest
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import Plan, load_study, parse_study, plan_study


def suggested(plan: Plan):
    console = Console(file=io.StringIO(), width=160)
    found = suggest(plan, console)
    assert isinstance(console.file, io.StringIO)
    return found, console.file.getvalue()


@pytest.mark.parametrize(
    ("sigma_max", "dimension", "levels", "step_size"),
    [(50.0, 3 * 32**2, 232, 6.18e-6), (90.0, 3 * 64**2, 500, 3.34e-6)],
)
def test_the_numbers_published_for_cifar10_and_celeba(
    sigma_max: float, dimension: int, levels: int, step_size: float
) -> None:
    numbers = ladder_numbers(sigma_max, 0.01, dimension, steps_per_level=5)
    assert numbers.levels == levels
    assert numbers.step_size == pytest.approx(step_size, rel=2e-3)
    assert numbers.step_size_limit == pytest.approx(2e-4)


def test_few_dimensions_have_the_levels_of_ncsn() -> None:
    assert ladder_numbers(1.0, 0.01, 4, 5).levels == 10
    assert ladder_numbers(1.0, 0.01, 5, 5).levels == levels_by_technique_2(1.0, 0.01, 5) != 10


def test_a_new_study_has_the_suggested_numbers(tmp_path: Path, staged: Path) -> None:
    init(tmp_path / "my.yaml", "digits", "cpu", staged)
    plan = plan_study(load_study(tmp_path / "my.yaml"), staged)
    found, text = suggested(plan)
    rows = {row.sigma_min: row for row in found["digits"]}
    assert list(rows) == [0.1, 0.05, 0.02, 0.01, 0.005]
    noise, sampler = plan.runs[0].train.noise, plan.settings[0].sample.sampler
    assert len(noise.known_sigmas()) == rows[0.1].levels
    assert sampler.arguments()["step_size"] == float(f"{rows[0.1].step_size:.2g}")
    marked = [line for line in text.splitlines() if "sigma_min of the study" in line]
    assert [line.split("│")[1].strip() for line in marked] == ["0.1"]


def test_a_study_has_its_own_steps_and_smallest_levels(staged: Path) -> None:
    content = {
        "study": "own",
        "dataset": {"name": "digits"},
        "train": {
            "network": {"name": "mlp"},
            "noise": {"name": "geometric", "sigma_max": "max_rms", "sigma_min": 0.03, "levels": 4},
            "steps": 1,
        },
        "sample": {
            "sampler": {"name": "annealed_langevin", "step_size": "auto"},
            "grid": {"sampler.steps_per_level": [2, 7], "sampler.step_size": ["auto", 1e-4]},
        },
    }
    found, text = suggested(plan_study(parse_study(content, "own.yaml"), staged))
    rows = [(row.sigma_min, row.steps_per_level) for row in found["digits"]]
    assert rows == [(s, t) for s in (0.1, 0.05, 0.03, 0.02, 0.01, 0.005) for t in (2, 7)]
    own = [line for line in text.splitlines() if "auto, 0.0001" in line]
    assert len(own) == 2
    assert all("0.0018" in line for line in own)  # 2 · 0.03²


def test_data_that_are_not_staged_are_an_error(tmp_path: Path, staged: Path) -> None:
    content = load_study(Path(__file__).parents[3] / "config/config.yaml")
    with pytest.raises(InputError, match="scoresweep stage"):
        suggest(plan_study(content, tmp_path))
