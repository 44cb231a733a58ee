"""Metrics of nearest neighbours.

With B_k(x) the ball about x that reaches its k-th neighbour in x's own set, of real points x_i and
generated points y_j (Kynkäänniemi et al. 2019; Naeem et al. 2020):

    precision  share of y_j that lie in some B_k(x_i)
    recall     share of x_i that lie in some B_k(y_j)
    density    mean over j of #{i: y_j ∈ B_k(x_i)} / k
    coverage   share of B_k(x_i) that hold some y_j
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.metrics.distances import nearest_distances, squared_distances
from scoresweep.metrics.features import Features, MetricValue, Options
from scoresweep.metrics.memorised import copies, without_duplicates
from scoresweep.metrics.standard_errors import error_of_mean, error_of_share

__all__ = ["nearest", "prdc", "precision_recall_density_coverage"]

ROUNDING = 1e-9
"""A ball holds the neighbour on its rim, whichever way the distance between the two is rounded."""

CAVEATS = {
    "precision": "a few good samples drawn over and over reach 1, too",
    "recall": "samples scattered far apart, noise among them, reach 1, too",
    "density": "samples crowded where real ones are densest score more than real ones do",
}
"""Why these rank nothing by themselves; only good samples of all kinds reach a high coverage."""


def precision_recall_density_coverage(
    real: Tensor, generated: Tensor, k: int
) -> tuple[float, float, float, float]:
    """Return the four shares defined above for `real` (N, D) and `generated` (M, D).

    Raises:
        ValueError: if a set has no more than `k` samples.
    """
    holders, recalled, covered = _held(real, generated, k, squared_radius(real, k))
    return (
        float((holders > 0).double().mean()),
        float(recalled.double().mean()),
        float(holders.double().mean() / k),
        float(covered.double().mean()),
    )


def _held(real: Tensor, generated: Tensor, k: int, radius: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the balls of both sets hold; `radius` (N,) is the squared one of real balls.

    That is how many real balls hold each generated point (M,), which real points lie in a generated
    ball (N,), and which real balls hold a generated point (N,).
    """
    if min(len(real), len(generated)) <= k:
        raise ValueError(
            f"more samples than the {k} neighbours are needed, found {len(real)} real and "
            f"{len(generated)} generated ones"
        )
    own_radius = squared_radius(generated, k)
    holders = torch.zeros(len(generated), dtype=torch.long)
    recalled, covered = (torch.zeros(len(real), dtype=torch.bool) for _ in range(2))
    for rows, columns, squares in squared_distances(generated, real):
        inside = squares <= radius[columns]
        holders[rows] += inside.sum(dim=1)
        covered[columns] |= inside.any(dim=0)
        recalled[columns] |= (squares <= own_radius[rows, None]).any(dim=0)
    return holders, recalled, covered


def squared_radius(points: Tensor, k: int) -> Tensor:
    """Return the squared radius of the ball about each of `points` (N, D): (N,)."""
    # A point is its own nearest neighbour, which does not count.
    return nearest_distances(points, points, k + 1)[:, -1].square() * (1 + ROUNDING)


def prdc(real: Features, generated: Features, options: Options) -> dict[str, MetricValue]:
    """Measure `precision`, `recall`, `density` and `coverage`.

    A ball shrinks as its set grows, so the sets have to be of one size: of the larger one as many
    samples are drawn as the other has.
    """
    count, k = min(len(real), len(generated)), options.neighbours
    chosen, drawn = (features.subsample(count, options.seed) for features in (real, generated))
    radius = chosen.cached(("radius", k), lambda: squared_radius(chosen.values, k))
    holders, recalled, covered = _held(chosen.values, drawn.values, k, radius)
    precision, recall, coverage = (
        float(found.double().mean()) for found in (holders > 0, recalled, covered)
    )
    in_place = float(error_of_share(precision, count))
    values: dict[str, tuple[float, float | None, float]] = {
        "precision": (precision, in_place, 0.0),
        "recall": (recall, None, float(error_of_share(recall, count))),
        # A sample in place counts about one: it lies in k real balls or so.
        "density": (
            float(holders.double().mean() / k),
            max(error_of_mean(holders / k), in_place),
            0.0,
        ),
        "coverage": (coverage, None, _least_error_of_coverage(precision, coverage, count, k)),
    }
    return {
        name: MetricValue(
            value,
            name,
            n_real=count,
            n_generated=count,
            better="higher",
            minimum=0.0,
            maximum=None if name == "density" else 1.0,
            caveat=CAVEATS.get(name),
            error=error,
            min_standard_error=least,
        )
        for name, (value, error, least) in values.items()
    }


def _least_error_of_coverage(precision: float, coverage: float, count: int, k: int) -> float:
    """Return the error of coverage that comes from the number of samples in place alone.

    While few balls are covered one sample more in place covers about k of the `count`; later on
    fewer, since others cover them already: no more than k of those that are left, nor than those
    in place have covered on average (counted with the two more of `error_of_share`).
    """
    on_average = (coverage * count + 2 * k) / (precision * count + 2)
    more = min(k * (1 - coverage), on_average)
    by_place = more * float(error_of_share(precision, count))
    return max(by_place, float(error_of_share(coverage, count)))


def nearest(real: Features, generated: Features, options: Options) -> dict[str, MetricValue]:  # noqa: ARG001
    """Measure `nearest_distance` and `nearest_memorised`.

    A sample counts as memorised if it is a copy of a training sample (`memorised.copies`), whatever
    the scale of the features. How near the samples are beside real test samples, the mean distance
    says.

    Raises:
        ValueError: if there are fewer than two different real samples.
    """
    different = real.cached("different", lambda: without_duplicates(real.values))
    found, first = copies(generated.values, different)
    share = float(found.double().mean())
    return {
        "nearest_distance": MetricValue(
            float(first.mean()),
            "mean distance to the nearest training sample",
            n_real=len(real),
            minimum=0.0,
            units="feature units",
            error=error_of_mean(first),
        ),
        "nearest_memorised": MetricValue(
            share,
            "share of samples three times nearer to one training sample than to any different one",
            n_real=len(real),
            better="lower",
            minimum=0.0,
            maximum=1.0,
            caveat="noise is no copy of a training sample, either",
            error=error_of_share(share, len(generated)),
        ),
    }
