"""Score networks: modules called as `network(x, sigma)` that return the score itself."""

from __future__ import annotations

from scoresweep.networks.mlp import MLP
from scoresweep.networks.ncsn import NCSN
from scoresweep.networks.ncsnpp import NCSNpp
from scoresweep.networks.ncsnv2 import NCSNv2, NCSNv2Deeper, NCSNv2Deepest
from scoresweep.networks.oracle import Oracle
from scoresweep.networks.plain_mlp import PlainMLP
from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.networks.unet import UNet

__all__ = [
    "MLP",
    "NCSN",
    "NCSNpp",
    "NCSNv2",
    "NCSNv2Deeper",
    "NCSNv2Deepest",
    "Oracle",
    "PlainMLP",
    "ScoreNetwork",
    "UNet",
]
