"""Metrics of the same samples that were computed before: a changed study computes the others alone.

A file of metrics lists, in its attribute `parts`, each metric on each extractor with the options
that the metric has read while it was computed, and a hash of what it was computed from. It is used
again if these are the same now. Files that a change of `evaluate` replaces are kept for a while, so
that a change that is taken back computes nothing either.
"""

from __future__ import annotations

import dataclasses
import glob
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from scoresweep.metrics.features import Options
from scoresweep.pipeline.results.code_version import current_code, recorded_code
from scoresweep.pipeline.study import Evaluate
from scoresweep.pipeline.study.grid import Point
from scoresweep.pipeline.system.atomic_files import atomic_write

__all__ = ["PARTS", "CachedMetric", "MetricCache", "TrackedOptions", "track_reads"]

PARTS = "parts"
MAX_EARLIER_FILES = 3
"""Most files of a setting, measured with other options, that are kept."""

OPTION_NAMES = frozenset(each.name for each in dataclasses.fields(Options))
KID = frozenset({"kid_subsets", "kid_subset_size"})
"""Intervals from halves take the subsets of a half from both."""
ALWAYS = frozenset({"seed", "resamplings"})
"""Options that random halves take, whatever the metric."""


@dataclass(frozen=True)
class TrackedOptions(Options):
    """Options that note which of them are read."""

    read: set[str] = field(default_factory=set, compare=False)

    def __getattribute__(self, name: str) -> Any:
        if name in OPTION_NAMES:
            object.__getattribute__(self, "read").add(name)
        return object.__getattribute__(self, name)


def track_reads(options: Options, read: set[str]) -> TrackedOptions:
    """Return `options`, which add the name of each option that is read to `read`."""
    values = {name: getattr(options, name) for name in OPTION_NAMES}
    return TrackedOptions(**values, read=read)


@dataclass(frozen=True)
class CachedMetric:
    """One metric on one extractor, at one point of the evaluation grid."""

    metric: str
    extractor: str
    options: Mapping[str, Any]
    """The options that it has read, with their values."""
    variables: Mapping[str, xr.Variable]
    problems: Sequence[str]
    """Why any of its variables is left out."""

    @classmethod
    def of(
        cls,
        metric: str,
        extractor: str,
        evaluate: Evaluate,
        read: set[str],
        found: tuple[Mapping[str, xr.Variable], Sequence[str]],
    ) -> CachedMetric:
        """Return the part that has read the options `read` of `evaluate`, and gave `found`."""
        names = read | ALWAYS | (KID if read & KID else frozenset())
        known = names & type(evaluate).model_fields.keys()
        return cls(metric, extractor, {n: getattr(evaluate, n) for n in sorted(known)}, *found)


class MetricCache:
    """The metrics of a setting that earlier files hold, and those that a new file will hold."""

    def __init__(self, path: Path, inputs: Callable[[str], str]) -> None:
        """Look for files at `path` and those that it replaced.

        `inputs` returns, for an extractor, a hash of what metrics on it are computed from.
        """
        self.path, self.inputs = path, inputs
        self.seconds = 0.0
        """What the metrics of the present file that are used again took to compute."""
        self.parts: list[tuple[CachedMetric, Point]] = []
        self._files: list[tuple[Path, xr.Dataset, list[dict[str, Any]]]] | None = None

    def find(self, metric: str, extractor: str, evaluate: Evaluate) -> CachedMetric | None:
        """Return a metric that was computed before; None if it has to be computed."""
        for path, content, entries in self._read():
            for entry in entries:
                is_this = entry["metric"] == metric and entry["extractor"] == extractor
                options = entry["options"].items()
                if (
                    is_this
                    and all(getattr(evaluate, name, None) == value for name, value in options)
                    and entry["inputs"] == self.inputs(extractor)
                ):
                    self._count(path, content)
                    return _part(content, entry)
        return None

    def keep(self, axes: Point, part: CachedMetric) -> None:
        """Note a part that the new file will hold at a point of the evaluation grid."""
        self.parts.append((part, axes))

    def attribute(self, content: xr.Dataset) -> dict[str, str]:
        """Return the attribute that lists the parts of the new file, which holds `content`."""
        return {PARTS: json.dumps([self._entry(part, axes, content) for part, axes in self.parts])}

    def keep_present(self, measured: str) -> None:
        """Keep the present file for later, if it has parts and is replaced by other options."""
        for path, content, _ in self._read()[:1]:
            before = str(content.attrs["measured"])
            if path == self.path and before != measured:
                with atomic_write(self._folder / f"{path.stem}.{before}.nc") as temporary:
                    shutil.copy2(path, temporary)
        for old in self._earlier()[MAX_EARLIER_FILES:]:
            old.unlink(missing_ok=True)

    @property
    def _folder(self) -> Path:
        return self.path.parent / "earlier"

    def _earlier(self) -> list[Path]:
        """Return the files that were replaced, the newest first."""
        found = self._folder.glob(f"{glob.escape(self.path.stem)}.*.nc")
        return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)

    def _read(self) -> list[tuple[Path, xr.Dataset, list[dict[str, Any]]]]:
        if self._files is None:
            self._files = list(_readable([self.path, *self._earlier()]))
        return self._files

    def _count(self, path: Path, content: xr.Dataset) -> None:
        if path == self.path:
            self.seconds = float(content.attrs.get("seconds", 0.0))

    def _entry(self, part: CachedMetric, axes: Point, content: xr.Dataset) -> dict[str, Any]:
        """Describe a part; attributes of its variables that other points have changed are added."""
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


def _readable(paths: Sequence[Path]) -> Iterator[tuple[Path, xr.Dataset, list[dict[str, Any]]]]:
    """Yield content and parts of the files that this code has written and that can be read."""
    for path in paths:
        try:
            if recorded_code(path).code != current_code("metrics").code:
                continue
            with xr.open_dataset(path, engine="h5netcdf") as file:
                yield path, file.load(), json.loads(file.attrs[PARTS])
        except (OSError, ValueError, KeyError):
            continue


def _part(content: xr.Dataset, entry: Mapping[str, Any]) -> CachedMetric:
    """Return a part from the file that holds it."""
    variables = {}
    for name in entry["variables"]:
        at = {axis: value for axis, value in entry["axes"].items() if axis in content[name].dims}
        variable = content[name].sel(at).variable
        about = entry["attributes"].get(name) or _plain(variable.attrs)
        variables[name] = xr.Variable(variable.dims, variable.values, about)
    return CachedMetric(
        entry["metric"], entry["extractor"], entry["options"], variables, entry["problems"]
    )


def _plain(attributes: Mapping[Any, Any]) -> dict[str, Any]:
    """Return attributes as plain numbers and texts: NetCDF gives NumPy's."""
    return {
        str(name): np.asarray(value).item() if isinstance(value, np.generic | np.ndarray) else value
        for name, value in attributes.items()
    }
