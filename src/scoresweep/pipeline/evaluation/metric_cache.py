"""Metrics of the same samples from earlier files, reused when `evaluate` changes.

The attribute `parts` of a file of metrics lists the keys of each metric and extractor with the
options that the metric read and a hash of its inputs. The metric is reused if these are the same
now. Files measured with other options are kept for a while, so that undoing a change computes
nothing either.
"""

from __future__ import annotations

import dataclasses
import glob
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from scoresweep.metrics.features import Options
from scoresweep.pipeline.results.code_version import current_code, recorded_code
from scoresweep.pipeline.study import Evaluate
from scoresweep.pipeline.study.grid import Point
from scoresweep.pipeline.study.real_statistics import statistics_sha256
from scoresweep.pipeline.system.atomic_files import atomic_write

__all__ = ["PARTS", "CachedMetric", "MetricCache", "TrackedOptions", "track_reads"]

PARTS = "parts"
"""Attribute that lists the metrics of a file."""
MAX_EARLIER_FILES = 3
"""Maximum number of files per setting that are kept after a change of options."""

OPTION_NAMES = frozenset(option.name for option in dataclasses.fields(Options))
KID_OPTIONS = frozenset({"kid_subsets", "kid_subset_size"})
"""Read together: the subsets of random halves depend on both."""
COMMON_OPTIONS = frozenset({"seed", "resamplings"})
"""Options of random halves, which any metric may need."""


@dataclass(frozen=True)
class TrackedOptions(Options):
    """Options that record which of them are read."""

    read: set[str] = field(default_factory=set, compare=False)

    def __getattribute__(self, name: str) -> Any:
        if name in OPTION_NAMES:
            object.__getattribute__(self, "read").add(name)
        return object.__getattribute__(self, name)


def track_reads(options: Options, read: set[str]) -> TrackedOptions:
    """Return `options` that add the name of each option that is read to `read`."""
    values = {name: getattr(options, name) for name in OPTION_NAMES}
    return TrackedOptions(**values, read=read)


@dataclass(frozen=True)
class CachedMetric:
    """One metric on one extractor, at one point of the evaluation grid."""

    metric: str
    """Its key."""
    extractor: str
    """Key of the extractor."""
    options: Mapping[str, Any]
    """Options that the metric read, with their values."""
    variables: Mapping[str, xr.Variable]
    problems: Sequence[str]
    """Why variables are missing."""

    @classmethod
    def of(
        cls,
        metric: str,
        extractor: str,
        evaluate: Evaluate,
        read: set[str],
        found: tuple[Mapping[str, xr.Variable], Sequence[str]],
    ) -> CachedMetric:
        """Return a metric that read the options `read`; `found` are its variables and problems."""
        names = read | COMMON_OPTIONS | (KID_OPTIONS if read & KID_OPTIONS else frozenset())
        known = names & type(evaluate).model_fields.keys()
        return cls(metric, extractor, {n: _value(evaluate, n) for n in sorted(known)}, *found)


class _MetricsFile(NamedTuple):
    path: Path
    content: xr.Dataset
    entries: list[dict[str, Any]]
    """Its metrics, as listed in `PARTS`."""


class MetricCache:
    """Metrics of a setting from earlier files, and the list of those for the new file."""

    def __init__(self, path: Path, inputs: Callable[[str], str]) -> None:
        """Look for metrics in `path` and the files that it replaced.

        `inputs` returns a hash of the inputs of all metrics on an extractor.
        """
        self.path, self.inputs = path, inputs
        self.seconds = 0.0
        """Compute time of the current file, if any of its metrics is reused."""
        self.parts: list[tuple[CachedMetric, Point]] = []
        self._files: list[_MetricsFile] | None = None

    def find(self, metric: str, extractor: str, evaluate: Evaluate) -> CachedMetric | None:
        """Return a metric from an earlier file, or None if it must be computed."""
        for file in self._read():
            for entry in file.entries:
                if (
                    (entry["metric"], entry["extractor"]) == (metric, extractor)
                    and all(_value(evaluate, k) == v for k, v in entry["options"].items())
                    and entry["inputs"] == self.inputs(extractor)
                ):
                    if file.path == self.path:
                        self.seconds = float(file.content.attrs.get("seconds", 0.0))
                    return _read_metric(file.content, entry)
        return None

    def keep(self, axes: Point, part: CachedMetric) -> None:
        """List a metric for the new file, at a point of the evaluation grid."""
        self.parts.append((part, axes))

    def attribute(self, content: xr.Dataset) -> dict[str, str]:
        """Return the attribute that lists the metrics of the new file, given its content."""
        return {PARTS: json.dumps([self._entry(part, axes, content) for part, axes in self.parts])}

    def keep_current_file(self, options: str) -> None:
        """Keep the current file before it is replaced, if it was measured with other options."""
        for file in self._read()[:1]:
            before = str(file.content.attrs["measured"])
            if file.path == self.path and before != options:
                earlier = self._folder / f"{file.path.stem}.{before}.nc"
                with atomic_write(earlier) as temporary:
                    shutil.copy2(file.path, temporary)
        for old in self._earlier_paths()[MAX_EARLIER_FILES:]:
            old.unlink(missing_ok=True)

    @property
    def _folder(self) -> Path:
        return self.path.parent / "earlier"

    def _earlier_paths(self) -> list[Path]:
        """Return the kept files, newest first."""
        paths = self._folder.glob(f"{glob.escape(self.path.stem)}.*.nc")
        return sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)

    def _read(self) -> list[_MetricsFile]:
        if self._files is None:
            self._files = list(_read_files([self.path, *self._earlier_paths()]))
        return self._files

    def _entry(self, part: CachedMetric, axes: Point, content: xr.Dataset) -> dict[str, Any]:
        """Describe a metric, with attributes that differ from those at other grid points."""
        attributes = {
            name: about
            for name, variable in part.variables.items()
            if (about := _plain(variable.attrs)) != _plain(content[name].attrs)
        }
        return {
            "metric": part.metric,
            "extractor": part.extractor,
            "options": dict(part.options),
            "inputs": self.inputs(part.extractor),
            "axes": axes,
            "variables": list(part.variables),
            "problems": list(part.problems),
            "attributes": attributes,
        }


def _value(evaluate: Evaluate, name: str) -> Any:
    """Return an option; of a file, the SHA-256."""
    value = getattr(evaluate, name, None)
    return statistics_sha256(value) if isinstance(value, Path) else value


def _read_files(paths: Sequence[Path]) -> Iterator[_MetricsFile]:
    """Yield the files that can be read and were computed by this code."""
    for path in paths:
        try:
            if recorded_code(path).code != current_code("metrics").code:
                continue
            with xr.open_dataset(path, engine="h5netcdf") as file:
                yield _MetricsFile(path, file.load(), json.loads(file.attrs[PARTS]))
        except (OSError, ValueError, KeyError):
            continue


def _read_metric(content: xr.Dataset, entry: Mapping[str, Any]) -> CachedMetric:
    """Return the metric of an entry from the content of its file."""
    variables = {}
    for name in entry["variables"]:
        at = {axis: value for axis, value in entry["axes"].items() if axis in content[name].dims}
        variable = content[name].sel(at).variable
        attributes = entry["attributes"].get(name) or _plain(variable.attrs)
        variables[name] = xr.Variable(variable.dims, variable.values, attributes)
    return CachedMetric(
        entry["metric"], entry["extractor"], entry["options"], variables, entry["problems"]
    )


def _plain(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes as plain numbers and strings instead of NumPy's."""
    return {
        str(name): np.asarray(value).item() if isinstance(value, np.generic | np.ndarray) else value
        for name, value in attributes.items()
    }
