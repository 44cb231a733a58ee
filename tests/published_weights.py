"""Weights as the public NCSN and NCSNv2 programs name and shape them, made of waves.

`published_weights.json` holds the names and shapes of the parameters that the authors' programs
give their networks, for 4 channels, images of 2 channels and 5 levels. It was made by building
those networks.
"""

import json
import math
import zlib
from pathlib import Path

import torch

SHAPES = json.loads((Path(__file__).parent / "published_weights.json").read_text())


def published_weights(network, images=2):
    """Return the float64 parameters of a published network: each a sine of its position."""
    return {
        name: wave(name, [images if size == 2 else size for size in shape])
        for name, shape in SHAPES[network].items()
    }


def wave(name, shape):
    """Return a sine of the position, scaled by the fan-in; scales of norms lie around one."""
    count = math.prod(shape)
    values = torch.sin(torch.arange(count, dtype=torch.float64) + count + len(name)).reshape(shape)
    if name.endswith("embed.weight"):
        scales = 2 * shape[1] // 3
        return torch.cat([1 + 0.2 * values[:, :scales], values[:, scales:]], 1)
    if name.endswith(("alpha", "gamma")):
        return 1 + 0.2 * values
    return values / math.prod(shape[1:]) ** 0.5


def phased_wave(name, shape):
    """Return a wave in float32 whose phase depends on the whole name, not only on its length."""
    return wave(name + zlib.crc32(name.encode()) % 97 * " ", shape).float()


def images(*size):
    """Return images of cosines."""
    return torch.cos(torch.arange(math.prod(size), dtype=torch.float64)).reshape(size)
