"""What a result was made from: the hashes of its inputs, recorded in the result itself.

JSON files hold the record under the key `made_from`. HDF5 (NetCDF) files hold it as an attribute of
that name; `recorded_in` finds it without a library, so that thousands of files can be compared in
seconds.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scoresweep.pipeline.system.atomic_files import sha256_of, write_json

__all__ = [
    "KEY",
    "as_attribute",
    "data_sha256",
    "differences",
    "network_sha256",
    "recorded_in",
    "training_sha256",
    "write_manifest",
]

KEY = "made_from"
RECORD = re.compile(rb'\{"made_from": (\{[^{}]*\})\}')
HEADER_LIMIT = 100_000_000
"""Most bytes of a safetensors header (a limit of that format)."""


def as_attribute(inputs: Mapping[str, str | None]) -> dict[str, str]:
    """Return the attribute that records the known hashes of `inputs` in a NetCDF file."""
    record = {name: sha256 for name, sha256 in inputs.items() if sha256}
    return {KEY: json.dumps({KEY: record})}


def recorded_in(path: Path) -> dict[str, str]:
    """Return the record of an HDF5 file, which must not be empty; nothing if it has none."""
    with (
        path.open("rb", buffering=0) as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        found = RECORD.search(content)
        return dict(json.loads(found[1])) if found else {}


def differences(record: Mapping[str, str], inputs: Mapping[str, str | None]) -> list[str]:
    """Return the names of inputs whose hash is not the recorded one.

    An input that is unknown, now or in the record, contradicts nothing.
    """
    return [
        name
        for name, sha256 in inputs.items()
        if sha256 and record.get(name) and record[name] != sha256
    ]


def data_sha256(manifest: Mapping[str, Any]) -> str:
    """Return a hash of the content of a staged dataset, from its manifest.

    It covers the arrays of both splits, the pixel range and the names of the classes, and nothing
    that says where or when the data were staged.
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


def network_sha256(weights: Path) -> str | None:
    """Return the hash of its tensors that a weights file states in its header; None if none.

    Only the header is read. `load_network` compares the hash with the tensors.
    """
    try:
        with weights.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > HEADER_LIMIT:
                return None
            header = json.loads(file.read(size))
        return str(json.loads(header["__metadata__"]["model"])["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def training_sha256(manifest: Mapping[str, Any]) -> str:
    """Return the hash of the training samples of a staged dataset, from its manifest."""
    arrays = manifest["splits"]["train"]
    return str(arrays["image" if "image" in arrays else "point"]["sha256"])


def write_manifest(weights: Path, manifest: Path, record: Mapping[str, str]) -> None:
    """Write the manifest of a weights file; `record` says what the weights were made from."""
    hashes = {"sha256": network_sha256(weights), "file_sha256": sha256_of(weights)}
    write_json(manifest, {"weights": weights.name, **hashes, KEY: dict(record)})
