"""A network of somebody else's repository as a score; docs/plugins.md explains it.

`TheirNetwork` stands for a DDPM network (Ho et al. 2020): images in [-1, 1], a number of steps
instead of a noise level, and the noise z as its output.
"""

import torch
from torch import nn

from scoresweep.plugins import network


class TheirNetwork(nn.Module):
    def __init__(self, image_channels: int, width: int):
        super().__init__()
        self.steps = nn.Embedding(1000, width)
        self.first = nn.Conv2d(image_channels, width, 3, padding=1)
        self.last = nn.Sequential(nn.SiLU(), nn.Conv2d(width, image_channels, 3, padding=1))

    def forward(self, images, steps):
        return self.last(self.first(images) + self.steps(steps)[:, :, None, None])


@network(predicts="noise", needs_images=True)
class Adapted(nn.Module):
    """Somebody else's DDPM network, for images in [0, 1] with noise σ."""

    def __init__(self, *, shape, width: int = 32):
        super().__init__()
        self.network = TheirNetwork(shape[0], width)
        kept = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), dim=0)
        self.register_buffer("noise", ((1 - kept) / kept).sqrt(), persistent=False)

    def forward(self, x, sigma):
        # In [-1, 1] the noise is 2σ; their images are scaled to keep the variance.
        sigma = 2 * sigma.view(-1, 1, 1, 1)
        steps = torch.searchsorted(self.noise, sigma.flatten().contiguous()).clamp(max=999)
        return self.network((2 * x - 1) / (1 + sigma**2).sqrt(), steps)
