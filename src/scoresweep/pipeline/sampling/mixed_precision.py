"""The score of a network in the precision that a setting asks for."""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.study import Sample
from scoresweep.score import Score, has_log_density

__all__ = ["score_in_precision"]


def score_in_precision(network: ScoreNetwork, options: Sample) -> Score:
    """Return the score, in bf16 autocast if `sample.precision` is "bf16".

    Exact scores stay in full precision.
    """
    if options.precision == "no" or has_log_density(network):
        return network

    def score(x: Tensor, sigma: Tensor) -> Tensor:
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            output: Tensor = network(x, sigma).to(x.dtype)
        return output

    return score
