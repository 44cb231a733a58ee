"""Reproducible ablation studies of noise-conditional score networks.

The *library* (`score`, `noise`, `distributions`, `objectives`, `networks`, `samplers`, `metrics`)
is pure: tensors in, tensors out. The *pipeline* (`scoresweep.pipeline`) reads and writes files and
calls the library. `load_network` loads a network that a study has trained.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scoresweep.pipeline.training.weights import load_network

__all__ = ["__version__", "load_network"]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import `load_network` on first use: it needs PyTorch, which takes seconds to import."""
    if name == "load_network":
        from scoresweep.pipeline.training.weights import load_network

        return load_network
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
