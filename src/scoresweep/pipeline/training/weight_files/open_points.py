"""What a published checkpoint does not record about its network."""

from __future__ import annotations

from scoresweep.networks.ncsn import NCSN
from scoresweep.networks.ncsnpp import NCSNpp
from scoresweep.networks.ncsnpp_blocks import ResidualBlock
from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.training.weight_files.diffusers_folder import PROGRAM as DIFFUSERS
from scoresweep.pipeline.training.weight_files.published import Published

__all__ = ["open_points"]

DDPM_GROUPS = 32
"""Groups of each norm in score_sde's network `ddpm`, whatever its width."""


def open_points(published: Published, network: ScoreNetwork | None = None) -> dict[str, str]:
    """Return what the file leaves open about the network, and what is assumed.

    `network` may be None if the file states its network.
    """
    points = _about_network(published, network)
    if published.sigmas is None:
        points["ladder"] = "that of the run (train.noise), the largest level first"
    if published.averaged is None:
        points["averages"] = "the parameters, averaged or not"
    return points


def _about_network(published: Published, network: ScoreNetwork | None) -> dict[str, str]:
    """Return what is assumed about the network; a file that states its network leaves less open."""
    noise = "added to the image, which is not scaled (sde: vesde)"
    if published.network is not None:
        is_open = published.network.program == DIFFUSERS and published.sigmas is None
        return {"noise": noise} if is_open else {}
    points = {
        "activation": "ELU (nonlinearity: elu)",
        "data range": "images in [0, 1] (rescaled, logit_transform: false; no image_mean)",
    }
    if isinstance(network, NCSNpp):
        points = {
            "activation": "SiLU (nonlinearity: swish)",
            "data range": "images in [0, 1] (centered: false)",
            "noise": noise,
            "options": "fir, skip_rescale, scale_by_sigma and sizes of attention of the run",
        }
        if _may_have_other_groups(network):
            points["groups of norms"] = "as in ncsnpp (model.name: ddpm has 32 at every width)"
    elif published.sigmas is None and not isinstance(network, NCSN):
        # The program of consistent sampling saves no ladder, and divides by sigma outside.
        points["output"] = "divided by sigma, the score (target: gaussian; not std)"
        points["dilation"] = "that of NCSNv2 (not no_dilation)"
    return points


def _may_have_other_groups(network: NCSNpp) -> bool:
    """Return whether the network fits the program's `ddpm` too, which then has other norms."""
    return network.fourier is None and any(
        isinstance(layer, ResidualBlock)
        and layer.block_type == "ddpm"
        and layer.norm1.num_groups != DDPM_GROUPS
        for layer in network.modules()
    )
