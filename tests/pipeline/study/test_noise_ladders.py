"""Noise ladders as far as they are known when a study is planned."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from math import inf
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from tiny_study import TINY

import scoresweep
from scoresweep.pipeline.study.methods.noise import AnyNoise

ENDS = {"sigma_max": 8.0, "sigma_min": 0.1, "levels": 7}


def parse(options):
    return TypeAdapter(AnyNoise).validate_python(options)


@pytest.mark.parametrize(
    "options",
    [
        {"name": "geometric", **ENDS},
        {"name": "uniform", **ENDS},
        {"name": "cosine", **ENDS},
        {"name": "karras", **ENDS, "rho": 3.0},
        {"name": "explicit", "sigmas": [4.0, 1.0, 0.1]},
    ],
    ids=lambda options: options["name"],
)
def test_known_levels_are_those_of_the_library(options):
    noise = parse(options)
    assert noise.known_sigmas() == pytest.approx(noise.load()(**noise.arguments()).tolist())


@pytest.mark.parametrize("unknown", [{"sigma_max": "max_rms"}, {"levels": "auto"}])
def test_the_last_level_of_a_ladder_from_data_is_known(unknown):
    assert parse({"name": "geometric", **ENDS} | unknown).known_sigmas() == [inf, 0.1]


FUNCTION = """

def squares(sigma_max: float, sigma_min: float, levels: int) -> Tensor:
    roots = torch.linspace(sigma_max**0.5, sigma_min**0.5, levels, dtype=torch.float64)
    return _ladder(roots**2, sigma_max, sigma_min)
"""

OPTIONS = """
class Squares(Ladder):
    target: ClassVar[str] = "scoresweep.noise:squares"
    name: Literal["squares"]


AnyNoise = Annotated[Squares | """


PLAN = """
from scoresweep.pipeline.study import parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml

plan = plan_study(parse_study(parse_yaml(open("study.yaml").read(), "study.yaml"), "study.yaml"))
noise = plan.runs[0].train.noise
print(len(plan.runs), noise.load()(**noise.arguments()).tolist())
"""


@pytest.fixture(scope="module")
def plan_with_squares(tmp_path_factory):
    """Return a function that plans with a copy of the program to which a ladder is added.

    It is added as CONTRIBUTING.md says: a function in `noise.py` and a class in the union
    `AnyNoise`.
    """
    root = tmp_path_factory.mktemp("program")
    package = shutil.copytree(Path(scoresweep.__file__).parent, root / "scoresweep")
    with (package / "noise.py").open("a") as file:
        file.write(FUNCTION)
    options = package / "pipeline/study/methods/noise.py"
    options.write_text(options.read_text().replace("AnyNoise = Annotated[", OPTIONS))

    def plan(study):
        (root / "study.yaml").write_text(study.replace("geometric", "squares"))
        environment = os.environ | {"PYTHONPATH": str(root)}
        options = {"cwd": root, "env": environment, "capture_output": True, "text": True}
        return subprocess.run([sys.executable, "-c", PLAN], check=False, **options)

    return plan


def test_a_study_can_use_a_ladder_added_as_contributing_says(plan_with_squares):
    done = plan_with_squares(TINY)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("2 [8.0, "), done.stdout
    assert done.stdout.endswith(", 0.1]\n"), done.stdout


def test_the_last_level_of_an_added_ladder_limits_samplers(plan_with_squares):
    done = plan_with_squares(TINY.replace("4e-3", "0.03"))
    assert done.returncode != 0
    assert "sample.sampler.step_size: 0.03: " in done.stderr
