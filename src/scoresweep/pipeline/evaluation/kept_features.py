"""Features of generated samples, kept in one file per sample store and extractor.

The file holds features for the first samples of the store, in order, and a hash of each of these
samples. A feature is used again if the hash of its sample is the same now, so the file suits any
number of samples and grows with the store.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from scoresweep.metrics.features import Features
from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.study.methods.metrics import SAMPLE_HASH_BYTES
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.pipeline.system.console import say
from scoresweep.pipeline.system.safetensors_io import save_safetensors, sha256_of_tensors

__all__ = ["KeptFeatures", "hash_samples"]

BLOCK = 1024
"""Samples that are copied at a time to hash them."""


@dataclass(frozen=True)
class KeptFeatures:
    """The file of the features of a sample store."""

    path: Path
    origin: Mapping[str, str]
    """What else the features depend on: the extractor, its weights and its code."""

    def read(self, hashes: Tensor) -> Features | None:
        """Return the features of the first samples, at most as many as there are `hashes`.

        They end before the first sample whose hash has changed. None if there are none, or the file
        is damaged or of another origin.
        """
        try:
            with safe_open(self.path, framework="pt") as file:
                about = json.loads((file.metadata() or {})["features"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if about["origin"] != dict(self.origin):
                raise ValueError("was computed by another extractor, other weights or other code")
            if about["sha256"] != sha256_of_tensors(tensors):
                raise ValueError("is damaged (its SHA-256 does not match)")
            count = _first_difference(tensors["sample_hash"], hashes)
        except FileNotFoundError:
            return None
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            reason = error if isinstance(error, ValueError) else f"cannot be read ({error})"
            say(f"{self.path} {reason}; extracting the features again")
            return None
        probabilities = tensors.get("probabilities")
        return Features(
            tensors["features"][:count], None if probabilities is None else probabilities[:count]
        )

    def write(self, features: Features, hashes: Tensor) -> None:
        """Write the features of samples with these `hashes` (N, 16).

        Features are a cache: if the file cannot be written, this is reported but no error.
        """
        tensors = {"features": features.values, "sample_hash": hashes}
        if features.probabilities is not None:
            tensors["probabilities"] = features.probabilities
        about = {"origin": dict(self.origin), "sha256": sha256_of_tensors(tensors)}
        try:
            with atomic_write(self.path) as temporary:
                save_safetensors(temporary, tensors, {"features": json.dumps(about)})
        except (RunError, OSError) as error:
            say(f"{self.path}: the features are not kept ({error})")


def hash_samples(samples: Tensor) -> Tensor:
    """Return a hash of each of `samples` (N, ...): uint8 (N, 16)."""
    blocks = (block.flatten(1).contiguous().numpy() for block in torch.split(samples, BLOCK))
    rows = itertools.chain.from_iterable(blocks)
    digests = b"".join(hashlib.sha256(row).digest()[:SAMPLE_HASH_BYTES] for row in rows)
    return torch.frombuffer(bytearray(digests), dtype=torch.uint8).reshape(-1, SAMPLE_HASH_BYTES)


def _first_difference(kept: Tensor, hashes: Tensor) -> int:
    """Return the number of samples before the first whose hash differs."""
    count = min(len(kept), len(hashes))
    differs = (kept[:count] != hashes[:count]).any(dim=1).nonzero()
    return int(differs[0]) if len(differs) else count
