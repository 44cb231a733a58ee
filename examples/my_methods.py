"""Your own sampler and network; docs/plugins.md explains them."""

from typing import Annotated

import torch
from pydantic import Field
from torch import nn

from scoresweep.plugins import network, sampler


@sampler(num_score_evaluations=lambda levels, steps_per_level: levels * steps_per_level)
def heavy_ball(
    score,
    x,
    sigmas,
    *,
    step_size: Annotated[float, Field(gt=0, description="Step size ε at the last level.")],
    steps_per_level: Annotated[int, Field(ge=1)] = 5,
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.5,
    generator,
):
    """Annealed Langevin dynamics with momentum (Chen, Fox and Guestrin 2014, Eq. 15)."""
    velocity, previous = torch.zeros_like(x), sigmas[0]
    for sigma in sigmas:
        eta = step_size * (sigma / sigmas[-1]) ** 2
        velocity = velocity * sigma / previous  # its standard deviation is √η
        for _ in range(steps_per_level):
            noise = torch.randn(x.shape, generator=generator, device=x.device)
            drift = eta * score(x, sigma.expand(len(x)))
            velocity = momentum * velocity + drift + (2 * eta * (1 - momentum)) ** 0.5 * noise
            x = x + velocity
        previous = sigma
    return x


@network(predicts="noise", needs_images=True)
class SmallConv(nn.Module):
    """Four convolutions that predict the noise; log σ is an input channel."""

    def __init__(self, *, shape, channels: int = 64):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(shape[0] + 1, channels, 3, padding=1), nn.SiLU()),
            *(nn.Conv2d(channels, channels, 3, padding=1), nn.SiLU()),
            *(nn.Conv2d(channels, channels, 3, padding=1), nn.SiLU()),
            nn.Conv2d(channels, shape[0], 3, padding=1),
        )

    def forward(self, x, sigma):
        sigma = sigma.view(-1, 1, 1, 1)
        level = sigma.log().expand(-1, 1, *x.shape[2:])
        return self.layers(torch.cat([x / (1 + sigma**2) ** 0.5, level], dim=1))
