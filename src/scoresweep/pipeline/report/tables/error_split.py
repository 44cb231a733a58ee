"""Split distances into the sampler's and the network's part, using samples of the exact score.

For a distance d to the real samples, in every setting,

    sampler cost  d(samples of the exact score) − d(real test samples)
    network cost  d(samples of the network) − d(samples of the exact score)

so that a value is the sum of the value of real samples and both costs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from scoresweep.pipeline.report.tables.axes import Grid
from scoresweep.pipeline.study import Run

__all__ = ["COSTS", "distances", "split_errors"]

COSTS = {
    "sampler_cost": "what the sampler costs: exact score minus real test samples",
    "network_cost": "what the network costs: trained network minus exact score",
}
"""Suffix of the variable to the end of its long name."""


def distances(sampling: xr.Dataset) -> list[str]:
    """Return the metrics that are distances to real samples.

    Those rank settings, are better if lower, and have a value for real test samples.
    """
    return [
        str(name)
        for name, variable in sampling.data_vars.items()
        if variable.attrs.get("better") == "lower"
        and "caveat" not in variable.attrs
        and f"{name}_real" in sampling
    ]


def split_errors(
    sampling: xr.Dataset, grid: Grid, runs: Sequence[Run], counts: xr.DataArray | None = None
) -> xr.Dataset:
    """Return `<metric>_sampler_cost` and `<metric>_network_cost` of every distance.

    The sampler's cost lacks the dimensions that distinguish the exact score from trained networks;
    the network's is NaN for the exact score. The result is empty if no run has the exact score, or
    if its settings cannot be matched with those of networks. A network's cost is NaN if
    `counts`, the numbers of samples, differ between it and the exact score.
    """
    exact = [not run.train.network.is_trained for run in runs]
    point = _point(grid, exact)
    if point is None:
        return xr.Dataset()
    trained = xr.DataArray(np.zeros(tuple(grid.shape.values()), dtype=bool), dims=tuple(grid.shape))
    for position, is_exact in zip(grid.positions, exact, strict=True):
        trained.values[position] = not is_exact
    if counts is not None:
        trained = trained & (counts == counts.isel(point, drop=True))
    parts = {}
    for name in distances(sampling):
        value = sampling[name]
        of_exact = value.isel(point, drop=True)
        sampler = of_exact - sampling[f"{name}_real"].isel(point, drop=True)
        network = (value - of_exact).where(trained).transpose(*value.dims)
        for suffix, cost in (("sampler_cost", sampler), ("network_cost", network)):
            attrs = {k: v for k, v in value.attrs.items() if k in ("units", "extractor", "seed")}
            long_name = f"{value.attrs.get('long_name', name)}, {COSTS[suffix]}"
            parts[f"{name}_{suffix}"] = cost.drop_attrs().assign_attrs(attrs, long_name=long_name)
    return xr.Dataset(parts)


def _point(grid: Grid, exact: Sequence[bool]) -> dict[str, int] | None:
    """Return the index of the exact score along the dimensions that distinguish it from networks.

    Along those dimensions all its runs have the same index, and networks have others.
    """
    at = np.array(grid.positions).reshape(len(grid.positions), len(grid.shape))
    is_exact = np.array(exact)
    if not is_exact.any():
        return None
    point = {}
    for axis, dim in enumerate(grid.shape):
        places = set(at[is_exact, axis].tolist())
        if len(places) == 1 and not places >= set(at[~is_exact, axis].tolist()):
            point[dim] = places.pop()
    return point if point or is_exact.all() else None
