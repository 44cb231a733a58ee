"""Reproducible ablation studies of noise-conditional score networks.

The *library* (`score`, `noise`, `distributions`, `objectives`, `networks`, `samplers`, `metrics`)
is pure: tensors in, tensors out. The *pipeline* (`scoresweep.pipeline`) reads and writes files and
calls the library. `load_network` loads a network that a study has trained; `open_run` also draws
samples of it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scoresweep.pipeline.sampling.open_run import open_run
    from scoresweep.pipeline.training.weights import load_network

__all__ = ["__version__", "load_network", "open_run"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import functions on first use: they need PyTorch, which takes seconds to import."""
    if name == "load_network":
        from scoresweep.pipeline.training.weights import load_network

        return load_network
    if name == "open_run":
        from scoresweep.pipeline.sampling.open_run import open_run

        return open_run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
