"""Fixtures of the tests of rules."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_study import TINY, untrained_plan

from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.load import parse_yaml


@pytest.fixture
def make_setting(staged: Path, tmp_path: Path) -> Callable[..., Plan]:
    """Make a plan of one setting and untrained networks; keywords replace parts of `sample`.

    The networks of all runs are the same.
    """

    def make(folder: str = "work", **changes: Any) -> Plan:
        content = parse_yaml(TINY, "tiny.yaml")
        content["sample"] |= {"grid": {}, "trajectories": 25} | changes
        return untrained_plan(tmp_path / folder, staged, content, seed=0)

    return make
