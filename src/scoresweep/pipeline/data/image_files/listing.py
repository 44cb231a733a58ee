"""Which files of a folder or an archive are images, of which split and of which class."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from scoresweep.pipeline.data.image_files.tree import File, Tree
from scoresweep.pipeline.data.splitting import VALIDATION_IS_TEST
from scoresweep.pipeline.errors import InputError, did_you_mean

__all__ = ["READABLE", "SUFFIXES", "Listing", "Splits", "list_images"]

Splits = Literal["auto", "none"] | Mapping[str, str]
"""How splits are found: by the names of folders, not at all, or the folder of each split."""

UNSUITABLE = {
    *("BUFR", "GRIB", "HDF5", "IPTC", "MCIDAS", "MPEG"),  # Pillow names them and decodes nothing
    *("EPS", "WMF"),  # drawings, drawn by other programs
    *("CUR", "GBR", "ICNS", "ICO", "PCD", "PSD", "XVTHUMB"),  # icons in several sizes, layers
    *("FITS", "SPIDER"),  # measured values
}
Image.init()
COMMON = ("PNG", "JPEG", "TIFF", "WEBP", "GIF", "BMP")
READABLE = [*COMMON, *sorted(Image.OPEN.keys() - UNSUITABLE - {*COMMON})]
"""The formats of Pillow that hold images of pixels, in the order in which they are tried."""
SUFFIXES = {
    suffix for suffix, kind in Image.registered_extensions().items() if kind in {*READABLE, "MPO"}
}

KINDS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("test", "testing", "tst"), "test"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "development"), "validation"),
    **dict.fromkeys(("eval", "evaluation", "holdout"), "validation"),
}
"""Names of splits, in lower case and without digits, separators and `WORDS`."""
WORDS = r"(?:set|data|split|images|imgs|img)"
MOST = 8
"""Names that a message lists."""


@dataclass(frozen=True)
class Listing:
    """The images of each split, in the order of their names."""

    splits: dict[str, list[File]]
    """"train" and, if there is one, "test"."""
    labels: dict[str, list[int]] | None
    """Class of each image; None if there are no classes."""
    class_names: list[str] | None
    notes: list[str]
    """What was left out, for the user."""


def list_images(tree: Tree, splits: Splits) -> Listing:
    """Sort the files of a folder or an archive into splits and classes.

    Raises `InputError` if the names of the folders can be understood in more than one way.
    """
    images = [file for file in tree.files if file.suffix in SUFFIXES]
    others = [file for file in tree.files if file.suffix not in SUFFIXES]
    metadata = next((file for file in others if file.parts == ("dataset.json",)), None)
    if metadata is not None:
        others.remove(metadata)
        return _from_metadata(tree, metadata, images, others, splits)
    chosen = _choose(tree, images, splits)
    notes = _notes(tree, images, others, chosen, splits)
    parts: dict[str, list[File]] = {}
    classes: dict[str, list[str] | None] = {}
    for split, folder in chosen.items():
        depth = 0 if folder is None else 1
        parts[split] = [file for file in images if folder is None or file.parts[0] == folder]
        root = str(tree.path) if folder is None else f"{tree.path}/{folder}"
        _check_count(root, parts[split], others)
        classes[split] = _classes(root, parts[split], depth)
        if splits == "auto":
            _check_below(root, parts[split], depth)
    names, labels = _number(tree, classes)
    return Listing(parts, labels, names, notes)


def _choose(tree: Tree, images: list[File], splits: Splits) -> dict[str, str | None]:
    """Return the folder of each split; {"train": None} if there are no splits."""
    with_images = {file.parts[0] for file in images if len(file.parts) > 1}
    if isinstance(splits, Mapping):
        for name in splits.values():
            if name not in with_images:
                raise InputError(
                    f"dataset.splits: {name}: {tree.path} has no folder of this name with images."
                    f"{did_you_mean(name, with_images)}"
                )
        return dict(splits)
    kinds = {name: kind for name in sorted(tree.folders) if (kind := _kind(name))}
    if splits == "none" or not kinds:
        return {"train": None}
    found = {kind: [name for name in kinds if kinds[name] == kind] for kind in set(kinds.values())}
    strange = sorted(with_images - kinds.keys())
    loose = [file.parts[0] for file in images if len(file.parts) == 1]
    problem = ""
    if strange or loose:
        problem = f"{_some([*strange, *loose])} beside them"
    elif twice := [names for names in found.values() if len(names) > 1]:
        problem = f"more than one for the same split ({_some(twice[0])})"
    elif "train" not in found:
        problem = "no folder of training images"
    if problem:
        raise InputError(
            f"{tree.path}: folders such as {_some(list(kinds))} look like splits, but there is "
            f"{problem}. Name the folders to use, dataset.splits: {{train: NAME, test: NAME}}; or "
            f"set dataset.splits: none, and every folder is a class."
        )
    parts = {"train": found["train"], "test": found.get("test") or found.get("validation")}
    return {split: names[0] for split, names in parts.items() if names}


def _kind(name: str) -> str | None:
    """Return which split a folder's name stands for."""
    if not name.isascii():
        return None
    letters = re.sub(r"\d+x\d+|[^a-z]", "", name.lower())
    bare = re.sub(f"^{WORDS}+|{WORDS}+$", "", letters)
    return KINDS.get(letters) or KINDS.get(bare)


def _check_count(root: str, files: list[File], others: list[File]) -> None:
    if len(files) < 2:
        kinds = f" It holds {_kinds(others)}." if others else ""
        raise InputError(
            f"{root}: holds fewer than two images.{kinds} Files that end in .png, .jpg, .tif, "
            f".webp and {len(SUFFIXES) - 4} others are read."
        )


def _classes(root: str, files: list[File], depth: int) -> list[str] | None:
    """Return the class of each image of a split; None if it has no folders."""
    loose = [file for file in files if len(file.parts) == depth + 1]
    if not loose:
        return [_class_name(file, depth) for file in files]
    if len(loose) < len(files):
        raise InputError(
            f"{root}: has images beside sub-folders with images ({loose[0].parts[-1]}, for one). "
            f"Sub-folders are classes: move the loose images into one."
        )
    return None


def _class_name(file: File, depth: int) -> str:
    name = file.parts[depth]
    try:
        name.encode()
    except UnicodeEncodeError:
        raise InputError(
            f"{file.where!a}: the name of the class is not UTF-8; rename the folder."
        ) from None
    return name


def _check_below(root: str, files: list[File], depth: int) -> None:
    """Raise `InputError` if there are splits or classes below a class, which would be mixed."""
    below: dict[str, set[str]] = {}
    for file in files:
        if len(file.parts) > depth + 1:
            below.setdefault(file.parts[depth], set()).update(file.parts[depth + 1 : -1][:1])
    for name, folders in below.items():
        splits = {kind: folder for folder in folders if (kind := _kind(folder))}
        if len(splits) > 1:
            raise InputError(
                f"{root}/{name}: holds the splits {_some(sorted(splits.values()))}, which would be "
                f"mixed into one class. Set dataset.path to this folder, or put the folders of "
                f"classes into those of splits; dataset.splits: none mixes them."
            )
        if len(below) == 1 < len(folders):
            raise InputError(
                f"{root}: has a single folder, {name}, which would be the only class; the folders "
                f"in it ({_some(sorted(folders))}) would be mixed. If these are the classes, set "
                f"dataset.path to {root}/{name}; dataset.splits: none mixes them."
            )


def _number(
    tree: Tree, classes: dict[str, list[str] | None]
) -> tuple[list[str] | None, dict[str, list[int]] | None]:
    """Return the names of the classes and the number of each image's class, split by split."""
    named = {split: names for split, names in classes.items() if names is not None}
    if not named:
        return None, None
    if len(named) < len(classes):
        raise InputError(
            f"{tree.path}: one of train and test has sub-folders for classes, the other none. To "
            f"use one part alone: dataset.splits: {{train: NAME}}"
        )
    every = sorted({name for names in named.values() for name in names})
    number = {name: index for index, name in enumerate(every)}
    return every, {split: [number[name] for name in names] for split, names in named.items()}


def _notes(
    tree: Tree,
    images: list[File],
    others: list[File],
    chosen: Mapping[str, str | None],
    splits: Splits,
) -> list[str]:
    """Say which files are not read, and what others are taken for."""
    notes = [f"left out: {_kinds(others)}"] if others else []
    folders = [folder for folder in chosen.values() if folder is not None]
    if splits == "auto" and folders[1:] and _kind(folders[1]) == "validation":
        notes.append(VALIDATION_IS_TEST)
    if folders:
        unused = Counter(file.parts[0] for file in images if file.parts[0] not in folders)
        notes += [
            f"left out: {name} ({count:,} images), as {' and '.join(folders)} are used"
            for name, count in sorted(unused.items())[:MOST]
        ]
    empty = sorted(tree.folders - {file.parts[0] for file in images})
    return notes + ([f"folders without images: {_some(empty)}"] if empty else [])


def _kinds(files: list[File]) -> str:
    """Count files by their suffixes: "3 .txt, 1 without ending"."""
    counts = Counter(file.suffix or "without ending" for file in files).most_common()
    return _some([f"{count:,} {suffix}" for suffix, count in counts])


def _some(names: Iterable[str]) -> str:
    """Join a few names and say how many more there are."""
    every = list(names)
    more = f" and {len(every) - MOST} more" if len(every) > MOST else ""
    return ", ".join(every[:MOST]) + more


# ── dataset.json, as the programs of StyleGAN and EDM write it ──────────────────────────────────


def _from_metadata(
    tree: Tree, metadata: File, images: list[File], others: list[File], splits: Splits
) -> Listing:
    """List a folder or archive whose classes stand in its `dataset.json`; folders mean nothing."""
    if isinstance(splits, Mapping):
        raise InputError(f"dataset.splits: {tree.path} has a dataset.json, and so no splits.")
    _check_count(str(tree.path), images, others)
    notes = [f"left out: {_kinds(others)}"] if others else []
    by_name = _read_metadata(metadata)
    if by_name is None:
        return Listing({"train": images}, None, None, notes)
    missing = [file for file in images if "/".join(file.parts) not in by_name]
    if missing:
        raise InputError(
            f"{metadata.where}: has no label for {len(missing):,} of {len(images):,} images, the "
            f"first of them {missing[0].where}."
        )
    if unused := len(by_name) - len(images):
        notes.append(f"{unused:,} labels of dataset.json are of images that are not there")
    labels = _as_classes(metadata, [by_name["/".join(file.parts)] for file in images])
    values, numbers = np.unique(labels, return_inverse=True)
    names = [str(value) for value in values]
    return Listing({"train": images}, {"train": numbers.tolist()}, names, notes)


def _read_metadata(metadata: File) -> dict[str, Any] | None:
    """Return the label of each image by its name; None if there are none."""
    expected = 'expected {"labels": [["folder/name.png", 0], ...]} or {"labels": null}'
    content = metadata.content()
    try:
        text = content.read_bytes() if isinstance(content, Path) else content.read()
        labels = json.loads(text)["labels"]
        return None if labels is None else {str(name): label for name, label in labels}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{metadata.where}: cannot be read ({error}); {expected}.") from error


def _as_classes(metadata: File, labels: list[Any]) -> list[int]:
    """Return labels as whole numbers; a vector with a single 1 is the number of its place."""
    numbers = []
    for label in labels:
        if isinstance(label, list) and label.count(1) == 1 == len(label) - label.count(0):
            numbers.append(label.index(1))
        elif isinstance(label, int) and not isinstance(label, bool):
            numbers.append(label)
        else:
            shown = json.dumps(label)[:60]
            raise InputError(
                f"{metadata.where}: the label {shown} is neither a whole number nor a vector with "
                f'a single 1. For images without classes, set "labels" to null.'
            )
    return numbers
