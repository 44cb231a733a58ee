"""Write files of named tensors (safetensors), which never execute code when read."""

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
    """Write `tensors` to `path` in contiguous layout.

    The file gets the usual permissions; safetensors creates files with mode 0600.

    Raises:
        OSError: if the disk is full or the folder does not exist; safetensors raises its own error.
    """
    path.touch()
    mode = path.stat().st_mode
    contiguous = {name: value.contiguous() for name, value in tensors.items()}
    try:
        save_file(contiguous, path, metadata=metadata)
        path.chmod(mode)
    except SafetensorError as error:
        match = re.search(r"os error (\d+)", str(error))
        if match:
            code = int(match[1])
            raise OSError(code, os.strerror(code), str(path)) from error
        raise
