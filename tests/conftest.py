"""What several tests need: a staged dataset, small studies, the command line."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from scoresweep.study import Plan, parse_study, plan_study
from scoresweep.study.load import parse_yaml

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)

TINY = """
study: tiny
dataset: {name: digits}
train:
  network: {name: mlp, width: 16, blocks: 1}
  noise: {name: geometric, sigma_max: 8.0, sigma_min: 0.1, levels: 5}
  steps: 120
  batch_size: 64
  checkpoint: {steps: 40}
  log: {scalars: 25, images: 60, image_count: 4}
  grid: {seed: [0, 1]}
sample:
  sampler: {name: annealed_langevin, step_size: 2e-3, steps_per_level: 2}
  count: 50
  chunk: 20
  grid: {sampler.step_size: [2e-3, 4e-3]}
evaluate:
  metrics: [score_error, frechet]
  extractors: [pixels]
  score_error_samples: 32
  resamplings: 0
"""


def tiny_plan(root: Path, **train: object) -> Plan:
    """Plan the tiny study in `root`; keywords replace parts of `train`."""
    content = parse_yaml(TINY, "tiny.yaml")
    content["train"].update(train)
    (root / "study.yaml").write_text(yaml.safe_dump(content))
    return plan_study(parse_study(content, "study.yaml"), root)


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose data/ holds the digits."""
    from scoresweep.pipeline.stage import stage

    root = tmp_path_factory.mktemp("staged")
    stage(tiny_plan(root), "digits")
    return root


@pytest.fixture
def make_plan(staged: Path, tmp_path: Path) -> Callable[..., Plan]:
    """Make a plan of the tiny study in a folder of its own; keywords replace parts of `train`."""

    def make(folder: str = "work", **train: object) -> Plan:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        if not (root / "data").exists():
            (root / "data").symlink_to(staged / "data")
        return tiny_plan(root, **train)

    return make


@pytest.fixture
def scoresweep() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a process of its own."""

    def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from scoresweep.cli import main; main()"]
        return subprocess.run(
            [*command, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
        )

    return run
