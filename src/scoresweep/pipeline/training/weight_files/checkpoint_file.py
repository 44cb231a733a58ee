"""Read the network's parameters from a weight file of any known program."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.file_kinds import FileKind, describe
from scoresweep.pipeline.training.weight_files.diffusers_folder import (
    find_diffusers_folder,
    read_diffusers_folder,
)
from scoresweep.pipeline.training.weight_files.own_weights import (
    find_own_weights,
    read_own_weights,
)
from scoresweep.pipeline.training.weight_files.published import (
    EXPECTED,
    Published,
    find_published,
)
from scoresweep.pipeline.training.weight_files.read import read_content

__all__ = ["CheckpointFile", "read_checkpoint_file"]


@dataclass(frozen=True)
class CheckpointFile:
    """A weight file and the network's parameters in it."""

    path: Path
    """The file with the weights; of a folder, that in it."""
    kind: FileKind
    has_checksums: bool
    """Whether the file has checksums, which were verified."""
    published: Published


def read_checkpoint_file(path: Path, ema: bool) -> CheckpointFile:
    """Read a weight file or a folder, told apart by content; nothing in it is executed.

    With `ema`, averaged parameters are preferred.

    Raises:
        InputError: if no known program wrote it, it is damaged, or its network has no counterpart.
    """
    if (own := find_own_weights(path)) is not None:
        return CheckpointFile(own, describe(own), True, read_own_weights(own))
    if (folder := find_diffusers_folder(path)) is not None:
        content, published = read_diffusers_folder(folder)
        path = folder.weights
    else:
        content = read_content(path, EXPECTED)
        try:
            published = find_published(content.value, ema)
        except ValueError as error:
            raise InputError(f"{path}: {error}") from None
    if published.averaged and not ema:
        raise InputError(f"{path}: holds averaged parameters only; omit --no-ema")
    return CheckpointFile(path, content.kind, content.has_checksums, published)
