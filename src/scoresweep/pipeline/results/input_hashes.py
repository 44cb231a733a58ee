"""Hashes of the inputs that a result was made from, recorded in the result itself.

JSON files hold the record under the key `made_from`, NetCDF files in an attribute of that name.
`find_made_from` finds the attribute without a library, so that thousands of files are compared in
seconds.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scoresweep.pipeline.data.store_manifest import num_held
from scoresweep.pipeline.system.atomic_files import sha256_of, write_json

__all__ = [
    "MADE_FROM",
    "SHA256_OF_FIRST",
    "changed_inputs",
    "dataset_sha256",
    "find_made_from",
    "made_from_attribute",
    "recorded_weights_sha256",
    "samples_sha256",
    "training_sha256",
    "write_weights_manifest",
]

MADE_FROM = "made_from"
"""Key or attribute of the record."""
RECORD = re.compile(rb'\{"made_from": (\{[^{}]*\})\}')
SHA256_OF_FIRST = "sha256_of_first"
"""Key of the hashes of the first n samples in the manifest of a sample store, by n."""
MAX_HEADER_BYTES = 100_000_000
"""Maximum size of a safetensors header, set by the format."""


def made_from_attribute(inputs: Mapping[str, str | None]) -> dict[str, str]:
    """Return the NetCDF attribute that records the known hashes of `inputs`."""
    record = {name: sha256 for name, sha256 in inputs.items() if sha256}
    return {MADE_FROM: json.dumps({MADE_FROM: record})}


def find_made_from(content: bytes) -> dict[str, str]:
    """Return the record in the content of a NetCDF file; {} if it has none."""
    match = RECORD.search(content)
    return dict(json.loads(match[1])) if match else {}


def changed_inputs(record: Mapping[str, str], inputs: Mapping[str, str | None]) -> list[str]:
    """Return the names of inputs whose hash differs from the recorded one.

    An input without a hash, now or in the record, counts as unchanged.
    """
    return [
        name
        for name, sha256 in inputs.items()
        if sha256 and record.get(name) and record[name] != sha256
    ]


def dataset_sha256(manifest: Mapping[str, Any]) -> str:
    """Return a hash of the content of a staged dataset, from its manifest.

    It covers the arrays of both splits, the pixel range and the class names, but not where or when
    the data were staged.
    """
    arrays = {
        f"{split}/{name}": [about["shape"], about["dtype"], about["sha256"]]
        for split, described in manifest["splits"].items()
        for name, about in described.items()
    }
    attributes = manifest["attributes"]
    facts = [attributes.get("pixel_range"), attributes.get("class_names")]
    text = json.dumps([arrays, *facts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def training_sha256(manifest: Mapping[str, Any]) -> str:
    """Return the hash of the training samples of a staged dataset, from its manifest."""
    arrays = manifest["splits"]["train"]
    return str(arrays["image" if "image" in arrays else "point"]["sha256"])


def samples_sha256(manifest: Mapping[str, Any], count: int) -> str | None:
    """Return the hash of the first `count` samples of a store, from its manifest, if recorded."""
    if num_held(manifest, count) == count:
        return manifest.get("sha256")
    sha256: str | None = manifest.get(SHA256_OF_FIRST, {}).get(str(count))
    return sha256


def recorded_weights_sha256(weights: Path) -> str | None:
    """Return the hash of the tensors that a weights file states in its header, if any.

    Reads the header only; `load_network` compares the hash with the tensors.
    """
    try:
        with weights.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > MAX_HEADER_BYTES:
                return None
            header = json.loads(file.read(size))
        return str(json.loads(header["__metadata__"]["model"])["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def write_weights_manifest(weights: Path, manifest: Path, record: Mapping[str, str]) -> None:
    """Write the manifest of a weights file; `record` holds the hashes of its inputs."""
    hashes = {"sha256": recorded_weights_sha256(weights), "file_sha256": sha256_of(weights)}
    write_json(manifest, {"weights": weights.name, **hashes, MADE_FROM: dict(record)})
