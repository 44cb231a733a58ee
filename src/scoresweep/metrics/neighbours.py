"""Metrics of nearest neighbours.

B_k(x) is the ball about x up to its k-th nearest neighbour in its own set. For real points x_i and
generated points y_j (Kynkäänniemi et al. 2019; Naeem et al. 2020):

    precision  share of y_j in at least one B_k(x_i)
    recall     share of x_i in at least one B_k(y_j)
    density    mean over j of #{i: y_j ∈ B_k(x_i)} / k
    coverage   share of B_k(x_i) with at least one y_j
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoresweep.metrics.distances import nearest_distances, squared_distances
from scoresweep.metrics.features import Features, MetricValue, Options
from scoresweep.metrics.memorised import find_copies, without_duplicates
from scoresweep.metrics.standard_errors import error_of_mean, error_of_share

__all__ = ["nearest", "prdc", "precision_recall_density_coverage"]

ROUNDING = 1e-9
"""Relative enlargement of a ball, so that rounding does not exclude the neighbour on its rim."""

CAVEATS = {
    "precision": "a few good samples, repeated, reach 1 too",
    "recall": "widely scattered samples, such as noise, reach 1 too",
    "density": "samples concentrated where real ones are densest score higher than real ones",
}
"""Failures that score well, so these are not used for ranking; coverage has no such failure."""


def precision_recall_density_coverage(
    real: Tensor, generated: Tensor, k: int
) -> tuple[float, float, float, float]:
    """Return the four metrics above for `real` (N, D) and `generated` (M, D).

    Raises:
        ValueError: if a set has `k` samples or fewer.
    """
    holders, recalled, covered = _count_in_balls(real, generated, k, squared_radius(real, k))
    return (
        float((holders > 0).double().mean()),
        float(recalled.double().mean()),
        float(holders.double().mean() / k),
        float(covered.double().mean()),
    )


def _count_in_balls(
    real: Tensor, generated: Tensor, k: int, radius: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the points in balls; `radius` (N,) is the squared radius of real balls.

    The results are the number of real balls around each generated point (M,), whether each real
    point is in a generated ball (N,), and whether each real ball has a generated point (N,).
    """
    if min(len(real), len(generated)) <= k:
        raise ValueError(
            f"expected more samples than the {k} neighbours, found {len(real)} real and "
            f"{len(generated)} generated samples"
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
    """Return the squared radius of the ball about each of `points` (N, D), (N,)."""
    # k + 1, because each point is its own nearest neighbour.
    return nearest_distances(points, points, k + 1)[:, -1].square() * (1 + ROUNDING)


def prdc(real: Features, generated: Features, options: Options) -> dict[str, MetricValue]:
    """Measure `precision`, `recall`, `density` and `coverage`, from balls of nearest neighbours.

    Balls shrink as their set grows, so the larger set is subsampled to the size of the other.
    """
    count, k = min(len(real), len(generated)), options.neighbours
    real, generated = (features.subsample(count, options.seed) for features in (real, generated))
    radius = real.cached(("radius", k), lambda: squared_radius(real.values, k))
    holders, recalled, covered = _count_in_balls(real.values, generated.values, k, radius)
    precision, recall, coverage = (
        float(inside.double().mean()) for inside in (holders > 0, recalled, covered)
    )
    error_of_precision = float(error_of_share(precision, count))
    values: dict[str, tuple[float, float | None, float]] = {
        "precision": (precision, error_of_precision, 0.0),
        "recall": (recall, None, float(error_of_share(recall, count))),
        # A sample in at least one real ball is in about k of them, so it adds about 1.
        "density": (
            float(holders.double().mean() / k),
            max(error_of_mean(holders / k), error_of_precision),
            0.0,
        ),
        "coverage": (coverage, None, _min_error_of_coverage(precision, coverage, count, k)),
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
            min_standard_error=min_error,
        )
        for name, (value, error, min_error) in values.items()
    }


def _min_error_of_coverage(precision: float, coverage: float, count: int, k: int) -> float:
    """Return the error of coverage due to the number of samples in real balls alone.

    At first, one more sample in a real ball covers about k of the `count` balls; later fewer,
    because others are covered already. The increase is at most k times the uncovered share, and at
    most the average number of balls that a sample has covered (with the two added samples of
    `error_of_share`).
    """
    average = (coverage * count + 2 * k) / (precision * count + 2)
    increase = min(k * (1 - coverage), average)
    error = increase * float(error_of_share(precision, count))
    return max(error, float(error_of_share(coverage, count)))


def nearest(real: Features, generated: Features, options: Options) -> dict[str, MetricValue]:  # noqa: ARG001
    """Measure `nearest_distance` to the training samples, and `nearest_memorised`, the copies.

    A sample counts as memorised if it is a copy of a training sample (`memorised.find_copies`),
    independently of the scale of the features. Compare the mean distance with that of real test
    samples.

    Raises:
        ValueError: if there are fewer than two different real samples.
    """
    different = real.cached("different", lambda: without_duplicates(real.values))
    is_copy, distances = find_copies(generated.values, different)
    share = float(is_copy.double().mean())
    return {
        "nearest_distance": MetricValue(
            float(distances.mean()),
            "mean distance to the nearest training sample",
            n_real=len(real),
            minimum=0.0,
            units="feature units",
            error=error_of_mean(distances),
        ),
        "nearest_memorised": MetricValue(
            share,
            "share of samples three times nearer to one training sample than to any different one",
            n_real=len(real),
            better="lower",
            minimum=0.0,
            maximum=1.0,
            caveat="noise is not a copy of a training sample either",
            error=error_of_share(share, len(generated)),
        ),
    }
