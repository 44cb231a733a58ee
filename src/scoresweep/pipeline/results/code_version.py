"""Which code computed a result, to detect edited code.

A result records a hash of the files that compute results of its kind, not of all files: after an
edit to a sampler, samples are of other code but trained networks are not. JSON files hold the
record under the key `made_by`, NetCDF files in an attribute of that name. `recorded_code` finds the
attribute without opening the NetCDF file, so that thousands of files are read in seconds.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from scoresweep.pipeline.system.provenance import PACKAGE, commit_name

__all__ = [
    "FILES",
    "MADE_BY",
    "UNKNOWN",
    "CodeVersion",
    "Kind",
    "current_code",
    "describe_other_code",
    "files_of",
    "find_code",
    "join_codes",
    "parse_code",
    "recorded_code",
]

Kind = Literal["data", "networks", "samples", "features", "score_error", "metrics"]

MADE_BY = "made_by"
"""Key or attribute of the record."""

SCORES = ("networks", "noise.py", "distributions.py", "score.py", "seeds.py")
TENSORS = ("pipeline/system/safetensors_io.py",)
RANDOM = "pipeline/system/random_state.py"
LOADING = (RANDOM, "pipeline/training/plugin_network.py", "pipeline/training/weights.py")
READING = tuple(
    f"pipeline/data/{name}.py"
    for name in ("dataset_store", "exact_score", "split", "store_manifest", "zarr_shards")
)

METRIC_FILES = (
    *(
        "extractor_loading",
        "extractor_weights",
        "feature_sets",
        "kept_features",
        "measurement_files",
        "metric_cache",
        "plugin_extractor",
        "plugin_metric",
    ),
    *(
        "real_data",
        "real_features",
        "real_moments",
        "sample_metrics",
        "subsets",
        "trajectory_metrics",
    ),
)

FILES: dict[Kind, tuple[str, ...]] = {
    "data": (
        *READING,
        *("distributions.py", "metrics/shape_masks.py", "pipeline/rules/stage.py"),
        *("pipeline/data/array_files", "pipeline/data/image_files", "pipeline/data/sources"),
        *("pipeline/data/file_formats.py", "pipeline/data/user_files.py"),
        *("pipeline/data/loaded_dataset.py", "pipeline/data/plugin_dataset.py"),
        "pipeline/data/stratify.py",
        *("pipeline/data/split_names.py", RANDOM),
    ),
    "networks": (
        *SCORES,
        *TENSORS,
        *READING,
        *("adamw.py", "objectives", "pipeline/training", "pipeline/rules/import_checkpoint.py"),
        *("pipeline/data/memory_loader.py", "pipeline/data/shard_loader.py", RANDOM),
        *(f"pipeline/system/{name}.py" for name in ("file_kinds", "file_parts", "pickle_globals")),
    ),
    "samples": (
        *SCORES,
        *TENSORS,
        *READING,
        *("samplers", "pipeline/sampling", "pipeline/rules/sample.py"),
        *("pipeline/training/compile.py", "pipeline/training/noise_levels.py"),
        *LOADING,
    ),
    "features": (
        *TENSORS,
        *READING,
        *("adamw.py", "metrics/extractors", "metrics/features.py", "seeds.py"),
        *("pipeline/evaluation/extractor_weights.py", "pipeline/evaluation/extractor_loading.py"),
        *("pipeline/evaluation/real_features.py", "pipeline/evaluation/subsets.py"),
        *("pipeline/evaluation/plugin_extractor.py", "pipeline/rules/reference.py", RANDOM),
    ),
    "score_error": (
        *SCORES,
        *TENSORS,
        *READING,
        *("metrics", "intervals.py", "pipeline/rules/score_error.py", *LOADING),
        *("pipeline/evaluation/measurement_files.py", "pipeline/evaluation/network_metrics.py"),
        *("pipeline/evaluation/network_likelihood.py", "pipeline/evaluation/subsets.py"),
    ),
    "metrics": (
        *SCORES,
        *TENSORS,
        *READING,
        *("metrics", "intervals.py", "metric_names.py", "pipeline/data/sources/shapes.py"),
        *LOADING,
        *(f"pipeline/evaluation/{name}.py" for name in METRIC_FILES),
        "pipeline/study/real_statistics.py",
        "pipeline/rules/evaluate.py",
        *(f"pipeline/sampling/{name}.py" for name in ("drawn_samples", "sample_store")),
        "pipeline/sampling/store_files.py",
    ),
}
"""Files and folders of the package that compute the numbers of each kind of result."""

SEPARATOR = " and "
"""Between the code versions that contributed to one result."""

RECORD = re.compile(rb'\{"made_by": (\{[^{}]*\})\}')


class CodeVersion(NamedTuple):
    """A version of the code that computes one kind of result."""

    code: str
    """First twelve digits of the hash of its files; "" if unknown."""
    commit: str
    """Commit that was checked out, with "+" if files were changed; "" if unknown."""

    def record(self) -> dict[str, str]:
        """Return the record that a JSON file holds under `MADE_BY`."""
        return self._asdict()

    def attribute(self) -> dict[str, str]:
        """Return the NetCDF attribute that holds the record."""
        return {MADE_BY: json.dumps({MADE_BY: self.record()})}

    def __str__(self) -> str:
        name = f"code {self.code}" if self.code else "unknown code"
        return name + (f" (commit {self.commit})" if self.commit else "")


UNKNOWN = CodeVersion("", "")
"""Code of results that do not record it."""


@functools.cache
def current_code(kind: Kind) -> CodeVersion:
    """Return the code of this process for results of `kind`.

    Call this before the work begins: files may change while it runs. The result is cached.
    """
    package, digest = PACKAGE, hashlib.sha256()
    for file in files_of(kind, package):
        digest.update(f"{file.relative_to(package).as_posix()}\0".encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return CodeVersion(digest.hexdigest()[:12], commit_name())


def files_of(kind: Kind, package: Path) -> list[Path]:
    """Return the files that compute results of `kind`, sorted."""
    paths = [package / name for name in FILES[kind]]
    return sorted({f for path in paths for f in ([path] if path.is_file() else path.rglob("*.py"))})


def recorded_code(path: Path) -> CodeVersion:
    """Return the code recorded in a JSON or NetCDF file, or `UNKNOWN`.

    Raises:
        OSError: if there is no such file.
    """
    try:
        if path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
            # Earlier versions recorded only the commit of a training run.
            return parse_code(content.get(MADE_BY) or {"commit": content.get("commit", "")[:12]})
        return find_code(path.read_bytes())
    except (ValueError, AttributeError):  # damaged
        return UNKNOWN


def find_code(content: bytes) -> CodeVersion:
    """Return the code recorded in the content of a NetCDF file, or `UNKNOWN`."""
    match = RECORD.search(content)
    try:
        return parse_code(json.loads(match[1])) if match else UNKNOWN
    except ValueError:  # damaged
        return UNKNOWN


def describe_other_code(code: CodeVersion, kind: Kind) -> str:
    """Describe the code that computed a result if it is not this code; else return ""."""
    now = current_code(kind)
    return "" if code.code == now.code else f"made by {code}; this is {now}"


def join_codes(codes: Iterable[CodeVersion]) -> CodeVersion:
    """Return the code of a result to which all `codes` contributed."""
    versions = dict.fromkeys(
        CodeVersion(*pair)
        for code in codes
        for pair in zip(*(text.split(SEPARATOR) for text in code), strict=True)
    )
    if len({version.code for version in versions}) == 1:
        return next(iter(versions))
    return CodeVersion(
        SEPARATOR.join(version.code or "unknown" for version in versions),
        SEPARATOR.join(version.commit or "unknown" for version in versions),
    )


def parse_code(record: Any) -> CodeVersion:
    """Return the code that a record names, or `UNKNOWN` if there is no record."""
    if not isinstance(record, Mapping):
        return UNKNOWN
    return CodeVersion(str(record.get("code", "")), str(record.get("commit", "")))
