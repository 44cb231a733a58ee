"""Save and load EMA weights, together with the network's options and noise ladder."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from torch import Tensor

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.config import MethodConfig
from scoresweep.pipeline.study.methods.networks import AnyNetwork
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.pipeline.system.file_cache import load_once
from scoresweep.pipeline.system.file_kinds import describe
from scoresweep.pipeline.system.safetensors_io import save_safetensors, sha256_of_tensors

__all__ = ["build_network", "history_folder", "load_history", "load_network", "save_network"]


def build_network(component: MethodConfig, shape: tuple[int, ...], sigmas: Tensor) -> ScoreNetwork:
    """Build the network of `component` for samples of `shape` and noise levels `sigmas` (L,)."""
    network: ScoreNetwork = component.load()(shape=shape, sigmas=sigmas, **component.arguments())
    if len(shape) == 3:
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def save_network(path: Path, network: ScoreNetwork, component: MethodConfig) -> None:
    """Save weights, noise ladder, options and sample shape to one safetensors file.

    All metadata is in one entry, because safetensors writes several entries in random order, and
    equal weights must give equal files.
    """
    tensors = network.state_dict()
    model = {
        "network": component.model_dump(mode="json"),
        "shape": network.shape,
        "sha256": sha256_of_tensors(tensors),
    }
    with atomic_write(path) as temporary:
        save_safetensors(temporary, tensors, {"model": json.dumps(model)})


def load_network(run_folder: Path) -> ScoreNetwork:
    """Load the network of a finished run: EMA weights, evaluation mode, no gradients.

    Its noise ladder is `sigmas`, its sample shape `shape`. Raises `InputError` if the weights are
    missing or damaged.
    """
    path = run_folder / "model.safetensors"
    return load_once("network", (path,), lambda: _load_network(path), copies=True)


def _load_network(path: Path) -> ScoreNetwork:
    if not path.exists():
        raise InputError(f"{path}: is missing; train the run first (`scoresweep train`)")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        model = json.loads(metadata["model"])
        if sha256_of_tensors(tensors) != model["sha256"]:
            raise ValueError("it is damaged: its SHA-256 does not match")
        component: MethodConfig = TypeAdapter(AnyNetwork).validate_python(model["network"])
        network = build_network(component, tuple(model["shape"]), tensors["sigmas"])
        network.load_state_dict(tensors)
    except (SafetensorError, KeyError, ValueError, RuntimeError, OSError) as error:
        kind = describe(path)
        reason = f"it is {kind.description}" if kind.name != "safetensors" else _first_line(error)
        raise InputError(
            f"{path}: expected the weights of a scoresweep network ({reason}); delete the file and "
            f"train the run again, or import weights with `scoresweep import-checkpoint`"
        ) from None
    return network.eval().requires_grad_(False)


def _first_line(error: Exception, max_length: int = 300) -> str:
    """Return the start of an error, which may list every tensor."""
    return " ".join(str(error).split())[:max_length]


def history_folder(history: Path, step: int) -> Path:
    """Return the folder of the weights after `step` steps."""
    return history / f"step-{step:08d}"


def load_history(history: Path) -> dict[int, ScoreNetwork]:
    """Load the networks saved in `history`, by step, ascending."""
    folders = sorted(history.glob("step-*"))
    return {int(path.name.removeprefix("step-")): load_network(path) for path in folders}
