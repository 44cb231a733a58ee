"""Files of named tensors (safetensors): nothing in them is ever executed."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

__all__ = ["save_safetensors", "sha256_of_tensors"]


def sha256_of_tensors(tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 of the names, types, shapes and contents of `tensors`."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def save_safetensors(
    path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None
) -> None:
    """Write `tensors` to `path`, each laid out as its shape says.

    Whoever may read other new files may read this one, too: safetensors lets the owner alone.
    Raises `OSError` if the disk is full or the folder is gone, as other ways to write do.
    """
    path.touch()
    mode = path.stat().st_mode
    plain = {name: value.contiguous() for name, value in tensors.items()}
    try:
        save_file(plain, path, metadata=metadata)
        path.chmod(mode)
    except SafetensorError as error:
        code = re.search(r"os error (\d+)", str(error))
        if code:
            raise OSError(int(code[1]), os.strerror(int(code[1])), str(path)) from error
        raise
