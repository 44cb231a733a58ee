"""Which figures a report shows, with their captions."""

from scoresweep.pipeline.report.sections.base import Picture, is_apart
from scoresweep.pipeline.report.sections.maps import cost_maps, metric_maps
from scoresweep.pipeline.report.sections.networks import (
    errors_by_density,
    fits,
    recovered_densities,
    score_errors,
    training_curves,
    vector_fields,
)
from scoresweep.pipeline.report.sections.samples import (
    Sheets,
    neighbours,
    overview,
    sample_sheets,
    signals_to_noise,
    walks,
)
from scoresweep.pipeline.report.sections.shares import shares

__all__ = [
    "Picture",
    "Sheets",
    "cost_maps",
    "errors_by_density",
    "fits",
    "is_apart",
    "metric_maps",
    "neighbours",
    "overview",
    "recovered_densities",
    "sample_sheets",
    "score_errors",
    "shares",
    "signals_to_noise",
    "training_curves",
    "vector_fields",
    "walks",
]
