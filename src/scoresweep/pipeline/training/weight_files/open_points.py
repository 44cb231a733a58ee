"""What a published checkpoint does not record about its network."""

from __future__ import annotations

from scoresweep.networks.ncsn import NCSN
from scoresweep.networks.ncsnpp import NCSNpp
from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.training.weight_files.published import Published

__all__ = ["open_points"]


def open_points(published: Published, network: ScoreNetwork) -> dict[str, str]:
    """Return what the file leaves open about the network, and what is assumed."""
    is_ncsnpp = isinstance(network, NCSNpp)
    points = {
        "activation": "ELU (nonlinearity: elu)",
        "data range": "images in [0, 1] (rescaled, logit_transform: false; no image_mean)",
    }
    if is_ncsnpp:
        points = {
            "activation": "SiLU (nonlinearity: swish)",
            "data range": "images in [0, 1] (centered: false)",
            "noise": "added to the image, which is not scaled (sde: vesde)",
            "options": "fir, skip_rescale, scale_by_sigma and sizes of attention of the run",
        }
    elif published.sigmas is None and not isinstance(network, NCSN):
        # The program of consistent sampling saves no ladder, and divides by sigma outside.
        points["output"] = "divided by sigma, the score (target: gaussian; not std)"
        points["dilation"] = "that of NCSNv2 (not no_dilation)"
    if published.sigmas is None:
        points["ladder"] = "that of the run (train.noise), the largest level first"
    if published.averaged is None:
        points["averages"] = "the parameters, averaged or not"
    return points
