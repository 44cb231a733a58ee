"""Choose the samples and the labels among the arrays of a file.

A name is split into words; `X_train`, `trainX` and `train/x` mean the same. One word may say the
split; the rest says what the array holds, see `SAMPLES` and `LABELS`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scoresweep.pipeline.data.array_files.dimension_order import axes_of
from scoresweep.pipeline.data.array_files.variables import Variable, capped
from scoresweep.pipeline.data.image_files.listing import KINDS
from scoresweep.pipeline.data.splitting import VALIDATION_IS_TEST
from scoresweep.pipeline.errors import InputError, did_you_mean
from scoresweep.pipeline.system.console import say

__all__ = ["LABELS", "Choice", "select", "split_of"]

SAMPLES: tuple[tuple[str, ...], ...] = (
    ("image", "point"),
    ("images", "points", "img", "imgs", "x", "data", "samples", "features", "inputs", ""),
    ("arr_0",),
)
"""Names of samples, by rank: the best rank wins; two names of one rank are ambiguous."""
LABELS = ("label", "labels", "y", "target", "targets", "class", "classes", "arr_1")
"""Names of labels: the first one that the file has."""
OTHER = len(SAMPLES)
"""Rank of any other name: taken if it is the only array of two or more dimensions."""


@dataclass(frozen=True)
class Choice:
    """The arrays of one split."""

    samples: Variable
    axes: str
    """Letter of each axis of the samples: N, H, W, C, D (see `layout`)."""
    labels: Variable | None


@dataclass(frozen=True)
class _Named:
    """What the name of an array says."""

    split: str | None
    what: str
    in_group: bool
    """Whether the array lies in a group, and the group says the split."""
    is_deep: bool
    """Whether it lies in a group with another name."""


def select(
    path: Path,
    variables: Sequence[Variable],
    keys: Mapping[str, str] | None = None,
    layout: str | None = None,
) -> tuple[dict[str, Choice], list[str]]:
    """Return the arrays of `train` and, if there is one, of `test`, and the names not used.

    `keys` names the arrays (`image` or `point`, `label`, `test_image`, ...) instead of the rules.
    Raises `InputError` if the arrays cannot be told from each other.
    """
    chosen = _by_keys(path, variables, keys, layout) if keys else _by_name(path, variables, layout)
    used = {c.samples.name for c in chosen.values()}
    used |= {c.labels.name for c in chosen.values() if c.labels is not None}
    return chosen, [v.name for v in variables if v.name not in used]


def split_of(name: str) -> str | None:
    """Return the split that a name or a path of `/` says; None if it says none."""
    return _read_name(name).split


def _read_name(name: str) -> _Named:
    """Return what a name says, such as the split `train` and `x` of `X_train`."""
    *groups, base = name.split("/")
    group_splits = [KINDS.get(group.lower()) for group in groups]
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=^[XYxy])(?=tr|te|val)", "_", base).lower()
    words = [word for word in re.split(r"[^a-z0-9]+", spaced) if word]
    splits = [KINDS[word] for word in words if word in KINDS]
    what = "_".join(word for word in words if word not in KINDS)
    found = [split for split in group_splits if split] + splits
    return _Named(
        found[0] if len(found) == 1 else None,
        what if len(found) < 2 else name,
        any(group_splits),
        not all(group_splits),
    )


def _by_name(path: Path, variables: Sequence[Variable], layout: str | None) -> dict[str, Choice]:
    """Choose by the names of the arrays."""
    named = {v.name: _read_name(v.name) for v in variables}
    splits = {}
    for split in ("train", "test", "validation", None):
        ranked = [(rank, v) for v in variables if (rank := _rank(v, named, split)) is not None]
        best = min((rank for rank, _ in ranked), default=OTHER)
        splits[split] = [v for rank, v in ranked if rank == best]
    source: str | None = "train" if splits["train"] else None
    train = splits[source] or (list(variables) if len(variables) == 1 else [])
    chosen = {"train": (source, _only(path, train, variables))}
    for split in ("test", "validation"):
        if splits[split] and "test" not in chosen:
            chosen["test"] = (split, _only(path, splits[split], variables))
            if split == "validation":
                say(f"{path}: {VALIDATION_IS_TEST}")
    result: dict[str, Choice] = {}
    for split, (origin, samples) in chosen.items():
        axes = axes_of(path, samples, layout, result["train"].axes if result else None)
        first_name = chosen["train"][1].name
        first = named[first_name]
        if first.in_group and named[samples.name].what != first.what:
            raise InputError(
                f"{path}: {chosen['train'][1]} and {samples} have different names and may be "
                f"different things. Name both: dataset.keys: {{image: {first_name}, "
                f"test_image: {samples.name}}}"
            )
        if samples.name == "arr_0":
            _refuse_numbered(path, variables)
        candidates = _labels(variables, named, origin)
        if not candidates and split == "train":
            candidates = _labels(variables, named, None)
        labels = next((v for v in candidates if _fits(path, v, samples, axes)), None)
        result[split] = Choice(samples, axes, labels)
    return result


def _labels(
    variables: Sequence[Variable], named: Mapping[str, _Named], split: str | None
) -> list[Variable]:
    """Return the arrays named as labels of a split, the best name first."""
    found = [
        v
        for v in variables
        if named[v.name].split == split
        and named[v.name].what in LABELS
        and not named[v.name].is_deep
    ]
    return sorted(found, key=lambda v: LABELS.index(named[v.name].what))


def _rank(variable: Variable, named: Mapping[str, _Named], split: str | None) -> int | None:
    """Return the rank of an array as the samples of a split; None: it cannot be."""
    name = named[variable.name]
    if name.split != split or variable.is_index or len(variable.shape) < 2:
        return None
    if variable.dtype.kind not in "biuf" or name.what in LABELS:
        return None
    for rank, words in enumerate(SAMPLES):
        if name.what in words and not name.is_deep and (name.what or split):
            return rank
    # `test_mask` beside `x` is no test part: a word alone does not make samples.
    return OTHER if name.in_group or split is None else None


def _only(path: Path, found: Sequence[Variable], variables: Sequence[Variable]) -> Variable:
    """Return the one array that was found; raise `InputError` if there are none or several."""
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(
            f"{path}: holds {capped(variables) or 'no arrays'}, and no name says that these are "
            f"samples (image, point, images, x, x_train, train/image, ...). Name them in the "
            f"study: dataset.keys: {{image: NAME, label: NAME}}"
        )
    raise InputError(
        f"{path}: holds several arrays that may be the samples: {capped(found)}. Choose one in "
        f"the study: dataset.keys: {{{_kind(found[0])}: {found[0].name}}}"
    )


def _kind(variable: Variable) -> str:
    """Return the key that names an array of samples in the study."""
    return "point" if len(variable.shape) == 2 else "image"


def _refuse_numbered(path: Path, variables: Sequence[Variable]) -> None:
    """Raise `InputError` for arrays without names that are not samples and labels."""
    if len(variables) > 2 or any(v.name == "arr_1" and len(v.shape) > 2 for v in variables):
        raise InputError(
            f"{path}: holds arrays without names: {capped(variables)}. Name them in the study: "
            f"dataset.keys: {{image: arr_0, label: arr_1, test_image: arr_2, test_label: arr_3}}"
        )


def _fits(path: Path, labels: Variable, samples: Variable, axes: str) -> bool:
    """Tell whether an array named as labels belongs to the samples.

    Positions of pixels, such as a coordinate `y`, do not. Raises `InputError` if the number of
    labels is wrong.
    """
    axis = axes.index("N")
    if labels.is_index:
        return False
    if labels.dimensions and samples.dimensions:
        return samples.dimensions[axis] in labels.dimensions
    count = samples.shape[axis]
    if labels.shape and labels.shape[0] == count:
        return True
    others = [size for letter, size in zip(axes, samples.shape, strict=True) if letter in "HWD"]
    if labels.shape == () or (len(labels.shape) == 1 and labels.shape[0] in others):
        return False
    raise InputError(
        f"{path}: the labels {labels} do not fit the samples {samples}: expected one for each of "
        f"{count:,} samples. To read no labels, name the samples alone in the study: "
        f"dataset.keys: {{{_kind(samples)}: {samples.name}}}"
    )


def _by_keys(
    path: Path, variables: Sequence[Variable], keys: Mapping[str, str], layout: str | None
) -> dict[str, Choice]:
    """Choose the arrays that the study names."""
    kind = "image" if "image" in keys else "point"
    found = {key: _find(path, variables, key, name) for key, name in keys.items()}
    result: dict[str, Choice] = {}
    for split in ("train", "test"):
        prefix = "test_" if split == "test" else ""
        samples = found.get(prefix + kind, {}).get(split) if prefix else None
        samples = samples or found.get(kind, {}).get(split)
        if samples is None:
            continue
        labels = found.get(prefix + "label", {}).get(split) or found.get("label", {}).get(split)
        axes = axes_of(path, samples, layout, result["train"].axes if result else None)
        if (kind == "point") != (axes == "ND"):
            raise InputError(
                f"dataset.keys.{kind}: {samples} in {path} has the axes {axes}; expected "
                f"{'two, ND' if kind == 'point' else 'those of images, such as NHWC'}."
            )
        if labels is not None and not _fits(path, labels, samples, axes):
            raise InputError(
                f"dataset.keys.label: {labels} in {path} does not fit the samples {samples}: "
                f"expected one label for each sample."
            )
        result[split] = Choice(samples, axes, labels)
    return result


def _find(path: Path, variables: Sequence[Variable], key: str, name: str) -> dict[str, Variable]:
    """Return the arrays that a key of the study names, by split.

    That is the array of this name or, in a file with groups for the splits, one in each.
    """
    by_name = {v.name: v for v in variables}
    if name in by_name:
        return {"test" if key.startswith("test_") else "train": by_name[name]}
    grouped: dict[str, Variable] = {}
    for word, split in KINDS.items():
        for variable in variables:
            group, _, base = variable.name.rpartition("/")
            if group.lower() == word and base == name:
                grouped.setdefault("test" if split == "validation" else split, variable)
    if "train" not in grouped or key.startswith("test_"):
        raise InputError(
            f"dataset.keys.{key}: {path} has no array {name!r}.{did_you_mean(name, by_name)} It "
            f"holds {capped(variables) or 'none'}."
        )
    return grouped
