# Your own sampler, network and metric; docs/plugins.md explains them.
import torch

from scoresweep.plugins import metric, network, sampler


@sampler
def heavy_ball(
    score, x, sigmas, *, step_size: float, steps: int = 5, momentum: float = 0.5, generator
):
    """Annealed Langevin dynamics with momentum (Chen, Fox and Guestrin 2014, Eq. 15)."""
    v = torch.zeros_like(x)
    for last, sigma in zip([sigmas[0], *sigmas[:-1]], sigmas, strict=True):
        eta, v = step_size * (sigma / sigmas[-1]) ** 2, v * sigma / last  # std of v: √η
        for _ in range(steps):
            noise = torch.empty_like(x).normal_(generator=generator)
            v = momentum * v + (2 * eta * (1 - momentum)) ** 0.5 * noise
            v = v + eta * score(x, sigma.expand(len(x)))
            x = x + v
    return x


@network(predicts="noise", needs_images=True)
class SmallConv(torch.nn.Sequential):
    """Four convolutions that predict the noise; log σ is an input channel."""

    def __init__(self, *, shape, width: int = 64):
        sizes = [(shape[0] + 1, width), (width, width), (width, width), (width, shape[0])]
        layers = [[torch.nn.Conv2d(*size, 3, padding=1), torch.nn.SiLU()] for size in sizes]
        super().__init__(*[module for layer in layers for module in layer][:-1])

    def forward(self, x, sigma):
        sigma = sigma.view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
        return super().forward(torch.cat([x / (1 + sigma**2) ** 0.5, sigma.log()], dim=1))


@metric(better="lower", minimum=0.0)
def brightness(real, generated):
    """Difference of the mean pixel values."""
    return (real.mean() - generated.mean()).abs()
