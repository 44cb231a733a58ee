"""The network that published parameters belong to, by their names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from scoresweep.networks.ncsn_checkpoints import published_options, to_published
from scoresweep.networks.ncsnpp import NCSNpp
from scoresweep.networks.refinenet import RefineNet
from scoresweep.networks.score_sde_checkpoints import score_sde_shapes
from scoresweep.networks.score_sde_options import score_sde_options

__all__ = ["network_options", "published_shapes", "shapes_of"]


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each of `tensors`."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def published_shapes(network: RefineNet | NCSNpp) -> dict[str, tuple[int, ...]]:
    """Return the published names and shapes of the parameters of `network`."""
    if isinstance(network, NCSNpp):
        return score_sde_shapes(network)
    return shapes_of(to_published(network))


def network_options(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return "network", its options and "image channels", {} if no published network fits."""
    if not any(name.startswith("all_modules.") for name in shapes):
        return dict(published_options(shapes))
    try:
        options = score_sde_options(shapes)
    except ValueError:
        return {"network": "ncsnpp"}
    image_channels = options.pop("shape")[0]
    return {"network": "ncsnpp", **options, "image channels": image_channels}
