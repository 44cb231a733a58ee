"""Check that the files of a dataset exist and can be staged, without decoding them."""

from __future__ import annotations

from scoresweep.pipeline.data.file_formats import require_format
from scoresweep.pipeline.data.image_files.file_tree import read_tree
from scoresweep.pipeline.data.image_files.listing import list_images
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.methods.datasets import Dataset, ImageFolder, Source, UserData

__all__ = ["check_source"]


def check_source(dataset: Dataset) -> None:
    """Check the files that a dataset is staged from.

    Raises:
        InputError: if a file or folder is missing, empty, unreadable or of another format, or if
            the folders of images are ambiguous.
    """
    if isinstance(dataset, UserData):
        require_format(dataset.path, dataset.name)
    if isinstance(dataset, ImageFolder):
        list_images(read_tree(dataset.path), dataset.arguments()["splits"])
    source: Source | None = getattr(dataset, "source", None)
    if source and source.path and not source.path.exists():
        raise InputError(
            f"dataset.source.path: {source.path}: no such file or folder. Correct the path, or "
            f"leave out dataset.source to try the known sources of {dataset.name}."
        )
