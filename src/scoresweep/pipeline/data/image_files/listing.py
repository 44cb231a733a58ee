"""Find the images of a folder or archive, with their splits and classes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from scoresweep.pipeline.data.image_files.dataset_json import read_labels
from scoresweep.pipeline.data.image_files.file_tree import File, FileTree
from scoresweep.pipeline.data.image_files.pillow_formats import SUFFIXES
from scoresweep.pipeline.data.split_names import SPLIT_WORDS, VALIDATION_IS_TEST
from scoresweep.pipeline.errors import InputError, did_you_mean, join_names

__all__ = ["Listing", "Splits", "list_images"]

Splits = Literal["auto", "none"] | Mapping[str, str]
"""How to find splits: by folder names, not at all, or the folder of each split."""

AFFIXES = r"(?:set|data|split|images|imgs|img)"
"""Words around the name of a split, as in `train_set` or `images_test`."""


@dataclass(frozen=True)
class Listing:
    """The images of each split, sorted by path."""

    splits: dict[str, list[File]]
    """"train" and, if it exists, "test"."""
    labels: dict[str, list[int]] | None
    """Class of each image; None if there are no classes."""
    class_names: list[str] | None
    notes: list[str]
    """Messages for the user about files that are not read."""


def list_images(tree: FileTree, splits: Splits) -> Listing:
    """Assign the images of a folder or archive to splits and classes.

    Raises `InputError` if the folder names are ambiguous.
    """
    images = [file for file in tree.files if file.suffix in SUFFIXES]
    others = [file for file in tree.files if file.suffix not in SUFFIXES]
    metadata = next((file for file in others if file.parts == ("dataset.json",)), None)
    if metadata is not None:
        others.remove(metadata)
        return _list_by_metadata(tree, metadata, images, others, splits)
    folders = _find_splits(tree, images, splits)
    notes = _notes(tree, images, others, folders, splits)
    parts: dict[str, list[File]] = {}
    classes: dict[str, list[str] | None] = {}
    for split, folder in folders.items():
        depth = 0 if folder is None else 1
        parts[split] = [file for file in images if folder is None or file.parts[0] == folder]
        root = str(tree.path) if folder is None else f"{tree.path}/{folder}"
        _check_count(root, parts[split], others)
        classes[split] = _class_names(root, parts[split], depth)
        if splits == "auto":
            _check_nested_folders(root, parts[split], depth)
    names, labels = _number_classes(tree, classes)
    return Listing(parts, labels, names, notes)


def _find_splits(tree: FileTree, images: list[File], splits: Splits) -> dict[str, str | None]:
    """Return the folder of each split; {"train": None} if there are no splits."""
    with_images = {file.parts[0] for file in images if len(file.parts) > 1}
    if isinstance(splits, Mapping):
        for split, name in splits.items():
            if name not in with_images:
                raise InputError(
                    f"dataset.splits.{split}: {name}: {tree.path} has no folder of this name that "
                    f"contains images.{did_you_mean(name, with_images)}"
                )
        return dict(splits)
    split_of = {name: word for name in sorted(tree.folders) if (word := _split_of(name))}
    if splits == "none" or not split_of:
        return {"train": None}
    found: dict[str, list[str]] = {}
    for name, split in split_of.items():
        found.setdefault(split, []).append(name)
    loose = [file.parts[0] for file in images if len(file.parts) == 1]
    others = [*sorted(with_images - split_of.keys()), *loose]
    problem = ""
    if others:
        problem = f"{tree.path} also holds {join_names(others)}"
    elif duplicates := [names for names in found.values() if len(names) > 1]:
        problem = f"several of them are the same split ({join_names(duplicates[0])})"
    elif "train" not in found:
        problem = "none holds training images"
    if problem:
        raise InputError(
            f"{tree.path}: the folders {join_names(split_of)} look like splits, but {problem}. "
            f"Name the folders to use, dataset.splits: {{train: NAME, test: NAME}}, or set "
            f"dataset.splits: none to make every folder a class."
        )
    folders: dict[str, str | None] = {"train": found["train"][0]}
    if test := found.get("test") or found.get("validation"):
        folders["test"] = test[0]
    return folders


def _split_of(folder: str) -> str | None:
    """Return the split that a folder's name means, ignoring digits, separators and `AFFIXES`."""
    if not folder.isascii():
        return None
    letters = re.sub(r"\d+x\d+|[^a-z]", "", folder.lower())
    bare = re.sub(f"^{AFFIXES}+|{AFFIXES}+$", "", letters)
    return SPLIT_WORDS.get(letters) or SPLIT_WORDS.get(bare)


def _check_count(root: str, images: list[File], others: list[File]) -> None:
    """Raise `InputError` if there are fewer than two images."""
    if len(images) < 2:
        found = f" Other files: {_count_suffixes(others)}." if others else ""
        raise InputError(
            f"{root}: found {'one image' if images else 'no images'}, expected at least two."
            f"{found} Supported are .png, .jpg, .tif, .webp and {len(SUFFIXES) - 4} other suffixes."
        )


def _class_names(root: str, images: list[File], depth: int) -> list[str] | None:
    """Return the class folder of each image of a split; None if there are no class folders."""
    loose = [file for file in images if len(file.parts) == depth + 1]
    if len(loose) == len(images):
        return None
    if loose:
        raise InputError(
            f"{root}: holds both images ({loose[0].parts[-1]}, for example) and sub-folders with "
            f"images. Sub-folders are classes: move the other images into one of them."
        )
    for file in images:
        try:
            file.parts[depth].encode()
        except UnicodeEncodeError:
            raise InputError(
                f"{file.where!a}: the name of the class folder is not valid UTF-8. Rename it."
            ) from None
    return [file.parts[depth] for file in images]


def _check_nested_folders(root: str, images: list[File], depth: int) -> None:
    """Raise `InputError` if a class folder contains splits or classes, which would be mixed."""
    nested: dict[str, set[str]] = {}
    for file in images:
        if len(file.parts) > depth + 1:
            nested.setdefault(file.parts[depth], set()).update(file.parts[depth + 1 : -1][:1])
    for name, folders in nested.items():
        splits = {split: folder for folder in folders if (split := _split_of(folder))}
        if len(splits) > 1:
            raise InputError(
                f"{root}/{name}: the splits {join_names(sorted(splits.values()))} would be mixed "
                f"into one class. Set dataset.path to this folder, or move the class folders into "
                f"the split folders. To mix them anyway: dataset.splits: none"
            )
        if len(nested) == 1 < len(folders):
            raise InputError(
                f"{root}: the single folder {name} would be the only class, and the folders in it "
                f"({join_names(sorted(folders))}) would be mixed. If those are the classes, set "
                f"dataset.path to {root}/{name}. To mix them anyway: dataset.splits: none"
            )


def _number_classes(
    tree: FileTree, classes: dict[str, list[str] | None]
) -> tuple[list[str] | None, dict[str, list[int]] | None]:
    """Return the sorted class names, and the class index of each image by split."""
    labelled = {split: names for split, names in classes.items() if names is not None}
    if not labelled:
        return None, None
    if len(labelled) < len(classes):
        missing = next(split for split, names in classes.items() if names is None)
        raise InputError(
            f"{tree.path}: the {missing} split has no class folders, but the other split has. To "
            f"use only one folder: dataset.splits: {{train: NAME}}"
        )
    unique = sorted({name for names in labelled.values() for name in names})
    number = {name: index for index, name in enumerate(unique)}
    return unique, {split: [number[name] for name in names] for split, names in labelled.items()}


def _notes(
    tree: FileTree,
    images: list[File],
    others: list[File],
    folders: Mapping[str, str | None],
    splits: Splits,
) -> list[str]:
    """Return messages about skipped files and folders."""
    notes = [f"skipped: {_count_suffixes(others)}"] if others else []
    used = [folder for folder in folders.values() if folder is not None]
    if splits == "auto" and used[1:] and _split_of(used[1]) == "validation":
        notes.append(VALIDATION_IS_TEST)
    if used:
        unused = Counter(file.parts[0] for file in images if file.parts[0] not in used)
        counts = [f"{name} ({count:,} images)" for name, count in sorted(unused.items())]
        if counts:
            notes.append(f"skipped: {join_names(counts)}; using {' and '.join(used)}")
    empty = sorted(tree.folders - {file.parts[0] for file in images})
    return notes + ([f"folders without images: {join_names(empty)}"] if empty else [])


def _count_suffixes(files: list[File]) -> str:
    """Count files by suffix: "3 .txt, 1 without suffix"."""
    counts = Counter(file.suffix or "without suffix" for file in files).most_common()
    return join_names(f"{count:,} {suffix}" for suffix, count in counts)


def _list_by_metadata(
    tree: FileTree, metadata: File, images: list[File], others: list[File], splits: Splits
) -> Listing:
    """List images whose classes are in `dataset.json`; folders have no meaning."""
    if isinstance(splits, Mapping):
        raise InputError(
            f"dataset.splits: not supported for {tree.path}, which has a dataset.json. Remove "
            f"dataset.splits, or the dataset.json."
        )
    _check_count(str(tree.path), images, others)
    notes = [f"skipped: {_count_suffixes(others)}"] if others else []
    by_name = read_labels(metadata)
    if by_name is None:
        return Listing({"train": images}, None, None, notes)
    missing = [file for file in images if "/".join(file.parts) not in by_name]
    if missing:
        raise InputError(
            f"{metadata.where}: {len(missing):,} of {len(images):,} images have no label; the "
            f"first is {missing[0].where}. Add their labels, or remove the images."
        )
    if unused := len(by_name) - len(images):
        notes.append(f"{unused:,} labels in dataset.json belong to missing images")
    labels = [by_name["/".join(file.parts)] for file in images]
    values, numbers = np.unique(labels, return_inverse=True)
    names = [str(value) for value in values]
    return Listing({"train": images}, {"train": numbers.tolist()}, names, notes)
