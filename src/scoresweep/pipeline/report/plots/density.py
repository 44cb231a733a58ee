"""A one-dimensional score, and the density that it implies."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from scoresweep.pipeline.report.plots.charts import COLOURS
from scoresweep.pipeline.report.plots.style import WIDTH, styled

__all__ = ["score_and_density"]


@styled
def score_and_density(
    x: np.ndarray[Any, Any],
    density: np.ndarray[Any, Any],
    exact: np.ndarray[Any, Any],
    title: str,
) -> Figure:
    """Draw a score on a line and its density (P,), with the exact ones in grey.

    Scores are the slopes of the log densities; the exact score sets the limits of both panels.
    """
    figure = Figure(figsize=(1.3 * WIDTH, 2.9))
    left, right = figure.subplots(1, 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        truth, learned = (np.gradient(np.log(values), x) for values in (exact, density))
    known = truth[np.isfinite(truth)]  # far from all data the density is 0 in float64
    left.plot(x, truth, color="#999999", label="exact")
    left.plot(x, learned, color=COLOURS[0], label="network")
    left.set(xlabel="x", title=title)
    if known.size and np.ptp(known):
        room = 0.2 * np.ptp(known)
        left.set_ylim(known.min() - room, known.max() + room)
    left.legend(loc="upper right")  # scores fall
    right.fill_between(x, exact, color="#cccccc", linewidth=0)
    right.plot(x, density, color=COLOURS[0])
    right.set(xlabel="x", title="density", ylim=(0, 1.4 * exact.max() or 1))
    return figure
