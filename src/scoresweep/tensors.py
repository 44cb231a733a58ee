"""Files of named tensors (safetensors): nothing in them is ever executed."""

from __future__ import annotations

import os
import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from scoresweep.files import NO_SPACE

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
        code = re.search(r"os error (\d+)", str(error))
        if code and int(code[1]) in NO_SPACE:
            raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error
        raise
