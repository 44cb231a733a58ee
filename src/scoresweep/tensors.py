"""Files of named tensors (safetensors): nothing in them is ever executed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

__all__ = ["write_tensors"]


def write_tensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write `tensors` to `path`, each laid out as its shape says.

    Raises `OSError` where the disk is full, as other ways to write do.
    """
    plain = {name: value.contiguous() for name, value in tensors.items()}
    try:
        save_file(plain, path, metadata=metadata)
    except SafetensorError as error:
        if f"os error {errno.ENOSPC}" in str(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise
