"""Sample stores that the tests write from tensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoresweep.pipeline.sampling.sample_store import channels_last, sample_array, write_arrays


def write_samples(
    store: Path,
    x: Tensor,
    *,
    levels: dict[str, Tensor],
    chunk_seed: Tensor | None = None,
    trajectory: Tensor | None = None,
    attributes: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Write samples (N, *sample) in model space to a store; return the entries of its manifest.

    `levels` holds diagnostics (L,) or (chunk, L), `trajectory` states (K, L, *sample); the default
    of `chunk_seed` (N,) is zeros.
    """
    seeds = torch.zeros(len(x), dtype=torch.int64) if chunk_seed is None else chunk_seed
    name = "image" if x.ndim == 4 else "point"
    arrays = {name: sample_array(x), "chunk_seed": seeds.numpy()}
    arrays |= {level: values.double().numpy() for level, values in levels.items()}
    if trajectory is not None:
        arrays["trajectory"] = channels_last(trajectory).numpy()
    return write_arrays(store, arrays, attributes or {})
