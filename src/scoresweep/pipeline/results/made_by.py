"""Which code made a result: recorded in the result itself, so that an edited program is noticed.

Every kind of result has the hash of the files that compute its numbers, not of all files: an edited
sampler makes samples outdated, and no trained network. JSON files hold the record under the key
`made_by`, HDF5 (NetCDF) files as an attribute of that name, which `made_by_of` finds without a
library, so that thousands of files can be asked in seconds.
"""

from __future__ import annotations

import functools
import hashlib
import json
import mmap
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from scoresweep.pipeline.system.provenance import PACKAGE, commit_name

__all__ = [
    "FILES",
    "KEY",
    "UNKNOWN",
    "Kind",
    "MadeBy",
    "as_made_by",
    "files_of",
    "joined",
    "made_by",
    "made_by_of",
    "other_code",
]

Kind = Literal["data", "networks", "samples", "features", "score_error", "metrics"]

KEY = "made_by"

SCORES = ("networks", "noise.py", "distributions.py", "score.py", "seeds.py")
TENSORS = ("pipeline/system/safetensors_io.py",)
READING = tuple(
    f"pipeline/data/{name}.py"
    for name in ("exact_score", "manifest", "model_space", "split", "store", "zarr_shards")
)

FILES: dict[Kind, tuple[str, ...]] = {
    "data": (
        *READING,
        *("distributions.py", "metrics/shape_masks.py", "pipeline/rules/stage.py"),
        *("pipeline/data/array_files", "pipeline/data/image_files", "pipeline/data/sources"),
        *("pipeline/data/file_formats.py", "pipeline/data/file_hashes.py"),
        "pipeline/data/splitting.py",
    ),
    "networks": (
        *SCORES,
        *TENSORS,
        *READING,
        *("objectives", "pipeline/training", "pipeline/rules/import_checkpoint.py"),
        *("pipeline/data/memory_loader.py", "pipeline/data/shard_loader.py"),
        "pipeline/system/file_kinds.py",
    ),
    "samples": (
        *SCORES,
        *TENSORS,
        *READING,
        *("samplers", "pipeline/sampling", "pipeline/rules/sample.py"),
        *("pipeline/training/compile.py", "pipeline/training/noise_levels.py"),
        "pipeline/training/weights.py",
    ),
    "features": (
        *TENSORS,
        *READING,
        *("metrics/extractors", "metrics/features.py", "seeds.py"),
        *("pipeline/evaluation/extractor_weights.py", "pipeline/evaluation/extractors.py"),
        *("pipeline/evaluation/real_features.py", "pipeline/rules/reference.py"),
    ),
    "score_error": (
        *SCORES,
        *TENSORS,
        *READING,
        *("metrics", "pipeline/rules/score_error.py", "pipeline/training/weights.py"),
        *("pipeline/evaluation/network_metrics.py", "pipeline/evaluation/sample_metrics.py"),
    ),
    "metrics": (
        *SCORES,
        *TENSORS,
        *READING,
        *("metrics", "pipeline/data/sources/shapes.py", "pipeline/training/weights.py"),
        *("pipeline/evaluation", "pipeline/rules/evaluate.py", "pipeline/sampling/sample_store.py"),
    ),
}
"""Files and folders of the package that compute the numbers of each kind of result."""

AND = " and "
"""Between the codes of a result to which several have contributed."""

RECORD = re.compile(rb'\{"made_by": (\{[^{}]*\})\}')


class MadeBy(NamedTuple):
    """The code that made a result."""

    code: str
    """First twelve digits of the hash of the files of its kind; "" if unknown."""
    commit: str
    """Commit that was checked out, with "+" if files were changed; "" if unknown."""

    def record(self) -> dict[str, str]:
        """Return the record as a JSON file holds it under `KEY`."""
        return self._asdict()

    def attribute(self) -> dict[str, str]:
        """Return the attribute that holds the record in a NetCDF file."""
        return {KEY: json.dumps({KEY: self.record()})}

    def __str__(self) -> str:
        if not self.code:
            return "unknown code" + (f" (commit {self.commit})" if self.commit else "")
        return f"code {self.code}" + (f" (commit {self.commit})" if self.commit else "")


UNKNOWN = MadeBy("", "")
"""Of results of versions that did not record it."""


@functools.cache
def made_by(kind: Kind) -> MadeBy:
    """Return which code makes results of `kind` in this process.

    It is read once: call this before the work begins, since files may change while it runs.
    """
    package, digest = PACKAGE, hashlib.sha256()
    for file in files_of(kind, package):
        digest.update(f"{file.relative_to(package).as_posix()}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return MadeBy(digest.hexdigest()[:12], commit_name())


def files_of(kind: Kind, package: Path) -> list[Path]:
    """Return the files that compute results of `kind`, sorted."""
    paths = [package / name for name in FILES[kind]]
    return sorted({f for path in paths for f in ([path] if path.is_file() else path.rglob("*.py"))})


def made_by_of(path: Path) -> MadeBy:
    """Return which code made the result in a JSON or NetCDF file; `UNKNOWN` if it does not say.

    Raises `OSError` if there is no such file.
    """
    try:
        if path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            # Of trainings, earlier versions recorded the commit.
            return as_made_by(content.get(KEY) or {"commit": content.get("commit", "")[:12]})
        with (
            path.open("rb", buffering=0) as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            found = RECORD.search(content)
            return as_made_by(json.loads(found[1])) if found else UNKNOWN
    except (ValueError, AttributeError):  # damaged or empty
        return UNKNOWN


def other_code(path: Path, kind: Kind) -> str:
    """Say which code made a result if it is not the code of this process; "" if it is.

    Raises `OSError` if there is no such file.
    """
    code, now = made_by_of(path), made_by(kind)
    return "" if code.code == now.code else f"made by {code}; this is {now}"


def joined(codes: Iterable[MadeBy]) -> MadeBy:
    """Return the code of a result to which all of `codes` have contributed."""
    parts = [zip(*(text.split(AND) for text in code), strict=True) for code in codes]
    different = [MadeBy(*pair) for pair in dict.fromkeys(pair for part in parts for pair in part)]
    if len({code.code for code in different}) == 1:
        return different[0]
    return MadeBy(
        *(AND.join(text or "unknown" for text in texts) for texts in zip(*different, strict=True))
    )


def as_made_by(record: Any) -> MadeBy:
    """Return the code that a record names; `UNKNOWN` if there is no record."""
    if not isinstance(record, Mapping):
        return UNKNOWN
    return MadeBy(str(record.get("code", "")), str(record.get("commit", "")))
