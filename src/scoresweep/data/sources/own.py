"""Which state of people's own data a store was staged from."""

from __future__ import annotations

import hashlib
from pathlib import Path

from scoresweep.files import sha256_of

__all__ = ["own_files"]


def own_files(path: Path) -> dict[str, str]:
    """Return a name for the data at `path`, and its SHA-256.

    That of a folder is the hash of a list of its files and theirs, as `sha256sum` writes it.
    """
    if path.is_file():
        return {path.name: sha256_of(path)}
    files = sorted(file for file in path.rglob("*") if file.is_file())
    listed = "".join(f"{sha256_of(file)}  {file.relative_to(path)}\n" for file in files)
    return {f"{path.name} ({len(files)} files)": hashlib.sha256(listed.encode()).hexdigest()}
