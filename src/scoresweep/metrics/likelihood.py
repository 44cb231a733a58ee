"""Likelihood of data under a score, by the probability-flow ODE (Song et al. 2021, section 4.3).

The ODE dx/dσ = −σ s(x, σ) carries noise x ~ N(0, σ_1² I) at the largest level to samples at the
smallest, σ_L. Along its path, d log p/dσ = −div(−σ s) = σ tr ∇s (Chen et al. 2018), so that the
density of its samples is

    log p(x_L) = log N(x_1; 0, σ_1² I) − ∫ σ tr ∇s(x, σ) dσ,   from σ_L to σ_1,

where x_1 is where the ODE leads from x_L. It is solved in u = log σ by the Runge-Kutta method of
fourth order with equal steps: a sample's likelihood does not depend on the rest of its batch, as it
does with steps that adapt to the batch.

The trace is exact, or estimated with random v of entries ±1, tr J = E vᵀJv (Hutchinson 1990); each
sample keeps its v along the path.

In bits per dimension, with D dimensions: −log₂ p(x)/D. Images of n integer levels 0 … n−1 are
dequantised (Theis et al. 2016): x = (v + u)/n with u ~ U[0, 1)^D. As E log₂ p(x) − D log₂ n is a
lower bound of the log probability of v, log₂ n is added: 8 for n = 256.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from scoresweep.score import Score

__all__ = ["bits_per_dimension", "dequantise", "log_likelihood"]

MAX_EXACT = 16
"""Maximum number of dimensions for which the trace is exact by default."""


def dequantise(values: Tensor, levels: int, generator: torch.Generator) -> Tensor:
    """Return (v + u)/n for integers v = `values` (N, ...) in 0 … n−1, with u ~ U[0, 1), float32.

    Args:
        values: integers, on the CPU.
        levels: n.
        generator: source of u, on the CPU.

    Raises:
        ValueError: if a value is outside its range.
    """
    if int(values.min()) < 0 or int(values.max()) >= levels:
        raise ValueError(
            f"values from {int(values.min())} to {int(values.max())}: expected 0 to {levels - 1}"
        )
    return (values + torch.rand(values.shape, generator=generator)) / levels


def bits_per_dimension(log_likelihoods: Tensor, dimension: int, levels: int = 1) -> Tensor:
    """Return log likelihoods (N,) in nats as bits per dimension, (N,).

    Args:
        log_likelihoods: log p(x), with x dequantised if `levels` is above 1.
        dimension: D.
        levels: number n of levels of the data before dequantisation; 1: continuous data.
    """
    return -log_likelihoods / (dimension * math.log(2)) + math.log2(levels)


def log_likelihood(
    score: Score,
    x: Tensor,
    sigma_min: float,
    sigma_max: float,
    *,
    steps: int = 100,
    probes: int | None = None,
    generator: torch.Generator,
    batch_size: int = 256,
    advance: Callable[[int], None] | None = None,
) -> Tensor:
    """Return log p(x) in nats of samples `x` (N, ...) under `score`, (N,), float64.

    Args:
        score: the score, differentiable in x, at all levels between the two.
        x: samples, taken as samples at the level `sigma_min`.
        sigma_min: σ_L, above 0.
        sigma_max: σ_1, above σ_L.
        steps: number of steps, 1 or more; each computes the score and its trace four times.
        probes: number of vectors v for each sample; 0: the exact trace, one backward pass for each
            dimension; None: 0 for up to `MAX_EXACT` dimensions, else 1.
        generator: source of v, on the CPU.
        batch_size: number of samples of a batch.
        advance: called with the number of samples of each finished batch.

    Raises:
        ValueError: unless 0 < `sigma_min` < `sigma_max`.
    """
    if not 0 < sigma_min < sigma_max:
        raise ValueError(
            f"the likelihood needs levels 0 < sigma_min < sigma_max, found {sigma_min:g} and "
            f"{sigma_max:g}"
        )
    if probes is None:
        probes = 0 if x[0].numel() <= MAX_EXACT else 1
    signs = torch.randint(0, 2, (probes, *x.shape), generator=generator).to(x) * 2 - 1
    ends = math.log(sigma_min), math.log(sigma_max)
    parts = []
    for part, v in zip(torch.split(x, batch_size), torch.split(signs, batch_size, 1), strict=True):
        end, change = _integrate(score, part, v, *ends, steps)
        parts.append(_log_normal(end, sigma_max) - change)
        if advance is not None:
            advance(len(part))
    return torch.cat(parts)


def _integrate(
    score: Score, x: Tensor, v: Tensor, start: float, stop: float, steps: int
) -> tuple[Tensor, Tensor]:
    """Return x at log σ = `stop` and ∫ σ tr ∇s dσ up to there, (N,), from x at `start`.

    `v` (K, N, ...) are the vectors that estimate the trace; the trace is exact if there is none.
    """
    h = (stop - start) / steps
    integral = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    for i in range(steps):
        u = start + i * h
        a, trace_a = _slope(score, x, u, v)
        b, trace_b = _slope(score, x + 0.5 * h * a, u + 0.5 * h, v)
        c, trace_c = _slope(score, x + 0.5 * h * b, u + 0.5 * h, v)
        d, trace_d = _slope(score, x + h * c, u + h, v)
        x = x + h / 6 * (a + 2 * b + 2 * c + d)
        integral += h / 6 * (trace_a + 2 * trace_b + 2 * trace_c + trace_d)
    return x, integral


def _slope(score: Score, x: Tensor, log_sigma: float, v: Tensor) -> tuple[Tensor, Tensor]:
    """Return dx/du = −σ² s and σ² tr ∇s, (N,), float64."""
    variance = math.exp(2 * log_sigma)
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        value = score(x, x.new_full((len(x),), math.exp(log_sigma)))
        trace = _trace(value, x, v)
    return -variance * value.detach(), variance * trace


def _trace(value: Tensor, x: Tensor, v: Tensor) -> Tensor:
    """Return tr ∂`value`/∂`x` of each sample, (N,), float64: exact if there is no `v`."""
    total = torch.zeros(len(x), dtype=torch.float64, device=x.device)
    if len(v):
        for each in v:
            (product,) = torch.autograd.grad(value, x, each, retain_graph=True)
            total += (product * each).flatten(1).double().sum(dim=1) / len(v)
        return total
    for i, column in enumerate(value.flatten(1).unbind(dim=1)):
        (row,) = torch.autograd.grad(column.sum(), x, retain_graph=True)
        total += row.flatten(1)[:, i].double()
    return total


def _log_normal(x: Tensor, sigma: float) -> Tensor:
    """Return log N(x; 0, σ² I) of `x` (N, ...), (N,), float64."""
    flat = x.flatten(1).double() / sigma
    return -0.5 * flat.square().sum(dim=1) - flat.shape[1] * math.log(
        sigma * math.sqrt(2 * math.pi)
    )
