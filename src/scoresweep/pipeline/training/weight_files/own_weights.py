"""Read the weights of another run of this program."""

from __future__ import annotations

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.training.weight_files.published import Published
from scoresweep.pipeline.training.weight_files.stated_network import StatedNetwork
from scoresweep.pipeline.training.weights import read_network_file

__all__ = ["PROGRAM", "find_own_weights", "read_own_weights"]

PROGRAM = "scoresweep"
RECORDED = {"network", "shape", "sha256"}
"""Keys of `model` as `save_network` records it; other programs may use that name too."""


def find_own_weights(path: Path) -> Path | None:
    """Return the weights at `path`, a file or the folder of a run; None if it is neither."""
    file = path / "model.safetensors" if path.is_dir() else path
    try:
        with safe_open(file, framework="pt") as opened:
            model = json.loads((opened.metadata() or {}).get("model", "{}"))
    except (SafetensorError, OSError, ValueError):
        return None
    return file if isinstance(model, dict) and model.keys() >= RECORDED else None


def read_own_weights(file: Path) -> Published:
    """Return the parameters and the network of a file that `find_own_weights` found.

    Raises:
        InputError: if it is damaged.
    """
    try:
        model, tensors = read_network_file(file)
        options = {"name": model["network"]["name"], **model["network"]}
        network = StatedNetwork(PROGRAM, options, tuple(model["shape"]), model.get("plugin", {}))
        sigmas = tensors.pop("sigmas").double()
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{file}: is damaged ({reason}); copy it again") from None
    return Published(tensors, sigmas, None, None, (), network)
