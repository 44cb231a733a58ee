"""Which figures a report shows, with their captions."""

from scoresweep.report.pictures.base import Picture, is_apart
from scoresweep.report.pictures.maps import cost_maps, metric_maps
from scoresweep.report.pictures.networks import (
    errors_by_density,
    fits,
    recovered_densities,
    score_errors,
    training_curves,
    vector_fields,
)
from scoresweep.report.pictures.samples import (
    Sheets,
    neighbours,
    overview,
    sample_sheets,
    signals_to_noise,
    walks,
)
from scoresweep.report.pictures.shares import shares

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
