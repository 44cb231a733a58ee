"""Find the samples and labels among the arrays of a file.

Names are split into words: `X_train`, `trainX` and `train/x` are the same. One word may name the
split, the rest the content, see `SAMPLES` and `LABELS`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scoresweep.pipeline.data.array_files.dimension_order import infer_axes
from scoresweep.pipeline.data.array_files.variables import FileVariable
from scoresweep.pipeline.data.split_names import SPLIT_WORDS, VALIDATION_IS_TEST
from scoresweep.pipeline.errors import InputError, did_you_mean, join_names
from scoresweep.pipeline.system.console import say

__all__ = ["LABELS", "SplitArrays", "find_samples", "split_of"]

SAMPLES: tuple[tuple[str, ...], ...] = (
    ("image", "point"),
    ("images", "points", "img", "imgs", "x", "data", "samples", "features", "inputs", ""),
    ("arr_0",),
)
"""Names of samples by rank: the best rank wins, two names of equal rank are ambiguous."""
LABELS = ("label", "labels", "y", "target", "targets", "class", "classes", "arr_1")
"""Names of labels, in order of preference."""
OTHER = len(SAMPLES)
"""Rank of any other name, which counts only if no other array may be the samples."""

KEYS_EXAMPLE = "dataset.keys: {image: NAME, label: NAME}"


@dataclass(frozen=True)
class SplitArrays:
    """The arrays of one split."""

    samples: FileVariable
    axes: str
    """Letter of each axis of the samples: N, H, W, C, D (see `dimension_order`)."""
    labels: FileVariable | None


@dataclass(frozen=True)
class _ParsedName:
    """The parts of an array's name."""

    split: str | None
    content: str
    split_from_group: bool
    """Whether a group of the file names the split."""
    in_other_group: bool
    """Whether a group of the file does not name a split."""


def find_samples(
    path: Path,
    variables: Sequence[FileVariable],
    keys: Mapping[str, str] | None = None,
    layout: str | None = None,
) -> tuple[dict[str, SplitArrays], list[str]]:
    """Return the arrays of `train` and, if it exists, `test`, and the names of unused arrays.

    `keys` (`image` or `point`, `label`, `test_image`, ...) replaces the rules for names. Raises
    `InputError` if the arrays are ambiguous.
    """
    if keys:
        found = _find_by_keys(path, variables, keys, layout)
    else:
        found = _find_by_name(path, variables, layout)
    used = {split.samples.name for split in found.values()}
    used |= {split.labels.name for split in found.values() if split.labels is not None}
    return found, [v.name for v in variables if v.name not in used]


def split_of(name: str) -> str | None:
    """Return the split in a name or in a path with `/`; None if there is none."""
    return _parse_name(name).split


def _parse_name(name: str) -> _ParsedName:
    """Parse a name: `X_train` has the split `train` and the content `x`."""
    *groups, base = name.split("/")
    group_splits = [SPLIT_WORDS.get(group.lower()) for group in groups]
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=^[XYxy])(?=tr|te|val)", "_", base).lower()
    words = [word for word in re.split(r"[^a-z0-9]+", spaced) if word]
    content = "_".join(word for word in words if word not in SPLIT_WORDS)
    splits = [split for split in group_splits if split]
    splits += [SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS]
    return _ParsedName(
        splits[0] if len(splits) == 1 else None,
        content if len(splits) < 2 else name,
        any(group_splits),
        not all(group_splits),
    )


# ── by the names of the arrays ──────────────────────────────────────────────────────────────────


def _find_by_name(
    path: Path, variables: Sequence[FileVariable], layout: str | None
) -> dict[str, SplitArrays]:
    """Find the arrays by the rules for names."""
    names = {v.name: _parse_name(v.name) for v in variables}
    result: dict[str, SplitArrays] = {}
    for split, (split_word, samples) in _find_splits(path, variables, names).items():
        axes = infer_axes(path, samples, layout, result["train"].axes if result else None)
        if result:
            _check_same_content(path, result["train"].samples, samples, names)
        if samples.name == "arr_0":
            _refuse_numbered(path, variables)
        candidates = _label_candidates(variables, names, split_word)
        if not candidates and split == "train":
            candidates = _label_candidates(variables, names, None)
        labels = next((v for v in candidates if _labels_match(path, v, samples, axes)), None)
        result[split] = SplitArrays(samples, axes, labels)
    return result


def _find_splits(
    path: Path, variables: Sequence[FileVariable], names: Mapping[str, _ParsedName]
) -> dict[str, tuple[str | None, FileVariable]]:
    """Return the samples of `train` and `test`, with the split in their names."""
    by_split: dict[str | None, list[FileVariable]] = {}
    for split in ("train", "test", "validation", None):
        ranked = [(rank, v) for v in variables if (rank := _rank(v, names, split)) is not None]
        best = min((rank for rank, _ in ranked), default=OTHER)
        by_split[split] = [v for rank, v in ranked if rank == best]
    train_split: str | None = "train" if by_split["train"] else None
    train = by_split[train_split] or (list(variables) if len(variables) == 1 else [])
    found = {"train": (train_split, _require_one(path, train, variables))}
    for split in ("test", "validation"):
        if by_split[split] and "test" not in found:
            found["test"] = (split, _require_one(path, by_split[split], variables))
            if split == "validation":
                say(f"{path}: {VALIDATION_IS_TEST}")
    return found


def _rank(
    variable: FileVariable, names: Mapping[str, _ParsedName], split: str | None
) -> int | None:
    """Return the rank of an array as the samples of a split; None if it cannot be."""
    name = names[variable.name]
    if name.split != split or variable.is_index or len(variable.shape) < 2:
        return None
    if variable.dtype.kind not in "biuf" or name.content in LABELS:
        return None
    for rank, words in enumerate(SAMPLES):
        if name.content in words and not name.in_other_group and (name.content or split):
            return rank
    # `test_mask` beside `x` is not a test split: another name counts only in a group of a split.
    return OTHER if name.split_from_group or split is None else None


def _require_one(
    path: Path, found: Sequence[FileVariable], variables: Sequence[FileVariable]
) -> FileVariable:
    """Return the only array; raise `InputError` if there are none or several."""
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(
            f"{path}: no array is named like samples (image, point, images, x, x_train, "
            f"train/image, ...). Found: {join_names(variables) or 'none'}. Name the arrays in the "
            f"study: {KEYS_EXAMPLE}"
        )
    raise InputError(
        f"{path}: several arrays may be the samples: {join_names(found)}. Choose one in the study: "
        f"dataset.keys: {{{_kind(found[0])}: {found[0].name}}}"
    )


def _kind(variable: FileVariable) -> str:
    """Return the key of samples in `dataset.keys`."""
    return "point" if len(variable.shape) == 2 else "image"


def _check_same_content(
    path: Path, train: FileVariable, test: FileVariable, names: Mapping[str, _ParsedName]
) -> None:
    """Raise `InputError` if arrays in the groups of two splits have different names."""
    first = names[train.name]
    if first.split_from_group and names[test.name].content != first.content:
        raise InputError(
            f"{path}: {train} and {test} have different names and may hold different data. Name "
            f"both in the study: dataset.keys: {{image: {train.name}, test_image: {test.name}}}"
        )


def _refuse_numbered(path: Path, variables: Sequence[FileVariable]) -> None:
    """Raise `InputError` for unnamed arrays, unless they are one of samples and one of labels."""
    if len(variables) > 2 or any(v.name == "arr_1" and len(v.shape) > 2 for v in variables):
        raise InputError(
            f"{path}: the arrays have no names: {join_names(variables)}. Say in the study what "
            f"they are: dataset.keys: {{image: arr_0, label: arr_1, test_image: arr_2, "
            f"test_label: arr_3}}"
        )


def _label_candidates(
    variables: Sequence[FileVariable], names: Mapping[str, _ParsedName], split: str | None
) -> list[FileVariable]:
    """Return the arrays named like labels of a split, the preferred name first."""
    found = [
        v
        for v in variables
        if names[v.name].split == split
        and names[v.name].content in LABELS
        and not names[v.name].in_other_group
    ]
    return sorted(found, key=lambda v: LABELS.index(names[v.name].content))


def _labels_match(path: Path, labels: FileVariable, samples: FileVariable, axes: str) -> bool:
    """Return whether an array named like labels belongs to the samples.

    A coordinate of pixels, such as `y`, does not. Raises `InputError` for a wrong number of labels.
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
        f"{path}: the labels {labels} do not match the samples {samples}: expected {count:,} "
        f"labels. To ignore them, name only the samples in the study: "
        f"dataset.keys: {{{_kind(samples)}: {samples.name}}}"
    )


# ── by `dataset.keys` ───────────────────────────────────────────────────────────────────────────


def _find_by_keys(
    path: Path, variables: Sequence[FileVariable], keys: Mapping[str, str], layout: str | None
) -> dict[str, SplitArrays]:
    """Find the arrays named in the study."""
    kind = "image" if "image" in keys else "point"
    found = {key: _find_key(path, variables, key, name) for key, name in keys.items()}
    result: dict[str, SplitArrays] = {}
    for split in ("train", "test"):
        prefix = "test_" if split == "test" else ""
        samples = found.get(prefix + kind, {}).get(split) or found.get(kind, {}).get(split)
        if samples is None:
            continue
        labels = found.get(prefix + "label", {}).get(split) or found.get("label", {}).get(split)
        axes = infer_axes(path, samples, layout, result["train"].axes if result else None)
        if (kind == "point") != (axes == "ND"):
            expected = "ND" if kind == "point" else "those of images, such as NHWC"
            raise InputError(
                f"dataset.keys.{kind}: {samples} in {path} has the axes {axes}; expected "
                f"{expected}. Use dataset.keys.{'image' if kind == 'point' else 'point'} instead."
            )
        if labels is not None and not _labels_match(path, labels, samples, axes):
            raise InputError(
                f"dataset.keys.label: {labels} in {path} does not match the samples {samples}: "
                f"expected one label per sample. Name another array, or remove dataset.keys.label."
            )
        result[split] = SplitArrays(samples, axes, labels)
    return result


def _find_key(
    path: Path, variables: Sequence[FileVariable], key: str, name: str
) -> dict[str, FileVariable]:
    """Return the arrays that a key names, by split: one array, or one in each split's group."""
    by_name = {v.name: v for v in variables}
    if name in by_name:
        return {"test" if key.startswith("test_") else "train": by_name[name]}
    grouped: dict[str, FileVariable] = {}
    for word, split in SPLIT_WORDS.items():
        for variable in variables:
            group, _, base = variable.name.rpartition("/")
            if group.lower() == word and base == name:
                grouped.setdefault("test" if split == "validation" else split, variable)
    if "train" not in grouped or key.startswith("test_"):
        raise InputError(
            f"dataset.keys.{key}: {path} has no array {name!r}.{did_you_mean(name, by_name)} "
            f"Found: {join_names(variables) or 'none'}."
        )
    return grouped
