"""Labels in a `dataset.json`, as the programs of StyleGAN and EDM write it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scoresweep.pipeline.data.image_files.file_tree import File
from scoresweep.pipeline.errors import InputError

__all__ = ["read_labels"]

EXPECTED = 'expected {"labels": [["folder/name.png", 0], ...]} or {"labels": null}'


def read_labels(metadata: File) -> dict[str, int] | None:
    """Return the class of each image by its file name; None if there are no classes.

    Raises `InputError` if the file has another structure.
    """
    content = metadata.content()
    try:
        text = content.read_bytes() if isinstance(content, Path) else content.read()
        labels = json.loads(text)["labels"]
        if labels is None:
            return None
        by_name = {str(name): label for name, label in labels}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{metadata.where}: cannot be parsed ({error!r}); {EXPECTED}.") from error
    return {name: _to_class(metadata, name, label) for name, label in by_name.items()}


def _to_class(metadata: File, name: str, label: Any) -> int:
    """Return a label as a whole number; a one-hot vector becomes the index of its 1."""
    if isinstance(label, list) and label.count(1) == 1 == len(label) - label.count(0):
        return label.index(1)
    if isinstance(label, int) and not isinstance(label, bool):
        return label
    raise InputError(
        f"{metadata.where}: the label of {name} is {json.dumps(label)[:60]}; expected a whole "
        f'number or a one-hot vector. For images without classes, set "labels" to null.'
    )
