"""Checkpoints: written atomically, verified when loaded.

`checkpoints/step-00001000/` holds safetensors files and `state.json`, which contains the SHA-256
of each and, last, of itself. A folder is written under a temporary name, flushed to disk and
renamed. A folder that does not match its `state.json` is not used. Nothing is unpickled.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from scoresweep.pipeline.system.atomic_files import atomic_write, remove, sha256_of
from scoresweep.pipeline.system.safetensors_io import save_safetensors

__all__ = [
    "Checkpoint",
    "checkpoint_path",
    "load_checkpoint",
    "load_optimizer",
    "newest_checkpoint",
    "optimizer_tensors",
    "prune_checkpoints",
    "save_checkpoint",
]

Tensors = dict[str, Tensor]


@dataclass
class Checkpoint:
    """The state of a run after `step` steps."""

    step: int
    tensors: dict[str, Tensors]
    """File name (without suffix) to named tensors."""
    values: dict[str, Any]
    """JSON values: number of processes, seconds, restarts, the scaler's state."""


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return the path of the checkpoint of `step` in `folder`."""
    return folder / f"step-{step:08d}"


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write `checkpoint` to `folder`, delete old ones, and return its path."""
    target = checkpoint_path(folder, checkpoint.step)
    with atomic_write(target) as temporary:
        temporary.mkdir(parents=True)
        digests = {}
        for name, tensors in checkpoint.tensors.items():
            file = temporary / f"{name}.safetensors"
            save_safetensors(file, tensors)
            digests[file.name] = sha256_of(file)
        state = {"step": checkpoint.step, "sha256": digests, **checkpoint.values}
        (temporary / "state.json").write_text(_sealed(state), encoding="utf-8")
    prune_checkpoints(folder, keep)
    return target


def prune_checkpoints(folder: Path, keep: int) -> None:
    """Delete all but the `keep` newest checkpoints, and partial ones of killed processes."""
    for old in [*_checkpoint_folders(folder)[keep:], *folder.glob(".*.part")]:
        remove(old)


def load_checkpoint(path: Path) -> Checkpoint:
    """Load the checkpoint at `path`; raise `ValueError` naming the damaged file."""
    try:
        text = (path / "state.json").read_text(encoding="utf-8")
        state = json.loads(text)
        del state["seal"]
        if text != _sealed(state):
            raise ValueError("state.json is damaged: its SHA-256 does not match its content")
        step, digests = state.pop("step"), state.pop("sha256")
        tensors = {}
        for name, digest in digests.items():
            file = path / name
            if not file.exists():
                raise ValueError(f"{name} is missing")
            if sha256_of(file) != digest:
                raise ValueError(f"{name} is damaged: its SHA-256 does not match state.json")
            tensors[file.stem] = load_file(file)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"state.json is damaged: {error}") from error
    except (OSError, KeyError, TypeError, SafetensorError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return Checkpoint(step, tensors, state)


def newest_checkpoint(folder: Path, data: str) -> tuple[Checkpoint | None, dict[Path, str]]:
    """Return the newest usable checkpoint in `folder`, and the problem of each newer one.

    `data` is the SHA-256 of the training set; a checkpoint of other data is not usable.
    """
    unusable: dict[Path, str] = {}
    for path in _checkpoint_folders(folder):
        try:
            checkpoint = load_checkpoint(path)
        except ValueError as error:
            unusable[path] = str(error)
            continue
        if checkpoint.values["data"] == data:
            return checkpoint, unusable
        unusable[path] = "the dataset has changed since"
    return None, unusable


def optimizer_tensors(network: nn.Module, optimizer: torch.optim.Optimizer) -> Tensors:
    """Return the optimiser's state as "name of the parameter|name of the state" to tensor."""
    return {
        f"{name}|{key}": value
        for name, parameter in network.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def load_optimizer(network: nn.Module, optimizer: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Restore what `optimizer_tensors` returned, in the memory format of each parameter.

    Fused optimisers traverse the raw memory of parameter and state together: a state in another
    memory format would be applied to the wrong weights.
    """
    parameters = dict(network.named_parameters())
    for full_name, value in tensors.items():
        name, key = full_name.split("|")
        parameter = parameters[name]
        like = parameter if value.shape == parameter.shape else value
        optimizer.state[parameter][key] = torch.empty_like(
            like, dtype=value.dtype, device=parameter.device, requires_grad=False
        ).copy_(value)


def _sealed(state: dict[str, Any]) -> str:
    """Return `state` as JSON whose last entry is the SHA-256 of the others."""
    content = json.dumps(state, indent=2)
    return json.dumps(state | {"seal": hashlib.sha256(content.encode()).hexdigest()}, indent=2)


def _checkpoint_folders(folder: Path) -> list[Path]:
    """Return the checkpoint folders in `folder`, newest first."""
    return sorted(folder.glob("step-*"), reverse=True)
