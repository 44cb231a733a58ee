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
from scoresweep.pipeline.training.weight_files.read import Content, read_content

__all__ = ["CheckpointFile", "read_checkpoint_file"]

NOT_SAID = "holds one set of parameters and does not say whether they are averages"


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
        InputError: if no known program wrote it, it is damaged, its network has no counterpart, or,
            without `ema`, no parameters in it are known to be those of the last step.
    """
    if (own := find_own_weights(path)) is not None:
        path, kind, has_checksums = own, describe(own), True
        published = read_own_weights(own)
    else:
        path, content, published = _read_of_others(path, ema)
        kind, has_checksums = content.kind, content.has_checksums
    if not ema and published.averaged is not False:
        which = "holds averaged parameters only" if published.averaged else NOT_SAID
        raise InputError(f"{path}: {which}; omit --no-ema")
    return CheckpointFile(path, kind, has_checksums, published)


def _read_of_others(path: Path, ema: bool) -> tuple[Path, Content, Published]:
    """Return the file with the weights, its content and the parameters in it."""
    if (folder := find_diffusers_folder(path)) is not None:
        return folder.weights, *read_diffusers_folder(folder)
    content = read_content(path, EXPECTED)
    try:
        return path, content, find_published(content.value, ema)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None
