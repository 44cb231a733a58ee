"""A study with a plugin, and the plugin's file."""

from __future__ import annotations

from pathlib import Path

import yaml
from tiny_study import TINY

from scoresweep.pipeline.study import Plan, load_study, plan_study
from scoresweep.pipeline.study.load import parse_yaml

__all__ = ["METHODS", "install", "plan_in", "write_study"]

METHODS = '''
"""A sampler and a network."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from scoresweep.plugins import network, sampler


@sampler
def heavy_ball(
    score, x, sigmas, *, step_size: Annotated[float, Field(gt=0)], momentum: float = 0.5,
    generator=None, observe=None,
):
    """Annealed Langevin dynamics with momentum.

    Args:
        step_size: step size of the last level.
        momentum: share of the last step that is
            added.
    """
    x, velocity = x.clone(), torch.zeros_like(x)
    for level, sigma in enumerate(sigmas.tolist()):
        step = step_size * (sigma / float(sigmas[-1])) ** 2
        drift = score(x, x.new_full((len(x),), sigma))
        velocity = momentum * velocity + step * drift
        noise = torch.empty_like(x).normal_(generator=generator)
        x = x + velocity + (2 * step) ** 0.5 * noise
        if observe is not None:
            observe(level, x, drift)
    return x


@network(predicts="noise")
class Small(torch.nn.Module):
    def __init__(self, shape, *, channels: int = 4):
        super().__init__()
        self.first = torch.nn.Conv2d(shape[0], channels, 3, padding=1)
        self.last = torch.nn.Conv2d(channels, shape[0], 3, padding=1)

    def forward(self, x, sigma):
        return self.last(torch.relu(self.first(x)))
'''


def write_study(folder: Path, methods: str = METHODS, **blocks: object) -> Path:
    """Write the tiny study and its plugin `my_methods.py`; keywords replace blocks."""
    content = parse_yaml(TINY, "tiny.yaml") | {"plugins": ["my_methods.py"]}
    for name, block in blocks.items():
        content[name] = content[name] | block if isinstance(block, dict) else block
    (folder / "my_methods.py").write_text(methods)
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    return folder / "study.yaml"


def plan_in(folder: Path, methods: str = METHODS, **blocks: object) -> Plan:
    """Plan the study that `write_study` writes."""
    path = write_study(folder, methods, **blocks)
    return plan_study(load_study(path), folder, where=str(path))


def install(folder: Path, **points: str) -> None:
    """Put a package with `METHODS` into `folder`, which offers them by entry points."""
    about = folder / "balls_to_install-1.0.dist-info"
    about.mkdir(parents=True)
    (folder / "balls_to_install.py").write_text(METHODS)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: balls-to-install\nVersion: 1.0\n")
    lines = [f"{name} = balls_to_install:{attribute}\n" for name, attribute in points.items()]
    (about / "entry_points.txt").write_text("".join(["[scoresweep.methods]\n", *lines]))
