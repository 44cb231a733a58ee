"""The figures of a report with their captions."""

from scoresweep.pipeline.report.sections.captioned_figure import CaptionedFigure
from scoresweep.pipeline.report.sections.maps import cost_maps, metric_maps
from scoresweep.pipeline.report.sections.network_figures import (
    density_animations,
    errors_by_density,
    recovered_densities,
    score_errors,
    training_curves,
    vector_fields,
)
from scoresweep.pipeline.report.sections.samples import (
    SampleGrids,
    neighbours,
    overview,
    sample_grids,
    signals_to_noise,
    trajectory_figures,
)
from scoresweep.pipeline.report.sections.shares import shares

__all__ = [
    "CaptionedFigure",
    "SampleGrids",
    "cost_maps",
    "density_animations",
    "errors_by_density",
    "metric_maps",
    "neighbours",
    "overview",
    "recovered_densities",
    "sample_grids",
    "score_errors",
    "shares",
    "signals_to_noise",
    "training_curves",
    "trajectory_figures",
    "vector_fields",
]
