"""Score networks: modules called as `network(x, sigma)` that return the score itself."""

from __future__ import annotations

from scoresweep.networks.base import ScoreNetwork
from scoresweep.networks.mlp import MLP
from scoresweep.networks.ncsnv2 import NCSNv2

__all__ = ["MLP", "NCSNv2", "ScoreNetwork"]
