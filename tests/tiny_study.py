"""The study that most tests use: trained, sampled and measured in seconds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
import yaml

from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml
from scoresweep.pipeline.training.weights import build_network, save_network

__all__ = ["TINY", "give_data", "save_untrained_networks", "tiny_plan", "untrained_plan"]

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


def give_data(root: Path, staged: Path) -> None:
    """Copy the data of `staged` to `root`, so that additions affect no other test."""
    shutil.copytree(staged / "data", root / "data")


def tiny_plan(root: Path, **train: object) -> Plan:
    """Plan the tiny study in `root`; keywords replace parts of `train`."""
    content = parse_yaml(TINY, "tiny.yaml")
    content["train"].update(train)
    (root / "study.yaml").write_text(yaml.safe_dump(content))
    return plan_study(parse_study(content, "study.yaml"), root)


def untrained_plan(
    root: Path, staged: Path, content: dict[str, Any], seed: int | None = None
) -> Plan:
    """Plan a study in `root`; if it is new, add data, their features and untrained networks."""
    is_new = not root.exists()
    if is_new:
        give_data(root, staged)
    (root / "study.yaml").write_text(yaml.safe_dump(content))
    plan = plan_study(parse_study(content, "study.yaml"), root)
    if is_new:
        reference(plan, "digits", "pixels")
        save_untrained_networks(plan, seed)
    return plan


def save_untrained_networks(plan: Plan, seed: int | None = None) -> None:
    """Write a network with random weights, drawn from `seed` or its own, for each run of digits."""
    for run in plan.runs:
        torch.manual_seed(run.train.seed if seed is None else seed)
        sigmas = torch.tensor(run.train.noise.known_sigmas(), dtype=torch.float64)
        network = build_network(run.train.network, (1, 8, 8), sigmas)
        save_network(plan.paths.weights(run.id), network, run.train.network)
