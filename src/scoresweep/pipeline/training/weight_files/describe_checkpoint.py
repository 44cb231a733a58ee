"""`scoresweep import-checkpoint --describe`: what a weight file is, and a study that fits it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from scoresweep.networks import NCSN, NCSNpp, NCSNv2, NCSNv2Deeper, NCSNv2Deepest
from scoresweep.networks.diffusers_checkpoints import diffusers_shapes
from scoresweep.networks.published_options import network_options, published_shapes, shapes_of
from scoresweep.networks.published_parameters import check_parameters
from scoresweep.networks.refinenet import RefineNet
from scoresweep.networks.score_sde_options import score_sde_options
from scoresweep.noise import geometric
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.training.weight_files.checkpoint_file import read_checkpoint_file
from scoresweep.pipeline.training.weight_files.diffusers_folder import PROGRAM as DIFFUSERS
from scoresweep.pipeline.training.weight_files.diffusers_folder import (
    SCHEDULER,
    ladder_of,
    sampler_of,
)
from scoresweep.pipeline.training.weight_files.open_points import open_points
from scoresweep.pipeline.training.weight_files.own_weights import PROGRAM as OWN
from scoresweep.pipeline.training.weight_files.published import EXPECTED, Published
from scoresweep.pipeline.training.weights import built_in_component

__all__ = ["describe_checkpoint"]

NETWORKS: dict[str, Callable[..., NCSNpp | RefineNet]] = {
    "ncsn": NCSN,
    "ncsnv2": NCSNv2,
    "ncsnv2_deeper": NCSNv2Deeper,
    "ncsnv2_deepest": NCSNv2Deepest,
    "ncsnpp": NCSNpp,
}
PROGRAM_NAMES = {DIFFUSERS: "diffusers", OWN: "this program"}
PROGRAMS = {"ncsn": "NCSN", "ncsnpp": "score_sde_pytorch"}
LADDERS = {"ncsn": (1.0, 0.01, 10)}
"""σ_1, σ_L and L of the program's CIFAR-10 configuration, for a file without a ladder."""
OTHER_LADDER = (50.0, 0.01, 232)
"""Those of NCSNv2 and of consistent sampling."""
SAMPLERS: dict[str, dict[str, Any]] = {
    "ncsn": {"name": "annealed_langevin", "step_size": 2e-5, "steps_per_level": 100},
    "ncsnpp": {
        "name": "predictor_corrector",
        "predictor": "reverse_diffusion",
        "snr": 0.16,
        "denoise": True,
    },
}
SNR = {64: 0.17, 256: 0.075, 1024: 0.15}
"""`snr` by the side of an image, if the configurations of score_sde have another there."""
OTHER_SAMPLER = {
    "name": "annealed_langevin",
    "step_size": "auto",
    "steps_per_level": 5,
    "denoise": True,
}


@dataclass(frozen=True)
class _Described:
    """The network of a weight file."""

    program: str
    options: dict[str, Any]
    """Options for the study, with the name."""
    size: str
    """Channels and size of its samples."""
    parameters: int
    sigmas: Tensor
    sampler: Mapping[str, Any]
    assumed: Mapping[str, str]
    """What the file leaves open."""


def describe_checkpoint(file: Path) -> str:
    """Return a study that fits `file`; it begins with a description as comments.

    Raises:
        InputError: if it is not a checkpoint of a known program, or its network has no counterpart
            here.
    """
    file = file.absolute()  # "." has no name
    checkpoint = read_checkpoint_file(file, ema=True)
    published = checkpoint.published
    try:
        described = _stated(published) if published.network else _recognised(published)
    except ValueError as error:
        raise InputError(f"{checkpoint.path}: {error}") from None
    name = described.options["name"]
    comments = [
        f"{file.name}: {checkpoint.kind.description} with a network of {described.program}",
        f"network: {name}, {described.parameters:,} parameters; {described.size}",
        f"weights: {_weights(published)}",
        f"noise: {_levels(published, described.sigmas)}",
        *(f"assumed: {key}: {value}" for key, value in described.assumed.items()),
        "",
        "Next: name the dataset, then `scoresweep plan`, `stage` and `import-checkpoint`.",
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in comments) + _study(
        file, published, described
    )


def _recognised(published: Published) -> _Described:
    """Describe a network by the names and shapes of its parameters.

    Raises `ValueError` if it has no counterpart here.
    """
    network, options = _network(published)
    name = options["name"]
    side = network.shape[1]
    size = f", {side}×{side} pixels if it has attention at 16" if options.get("attention") else ""
    return _Described(
        PROGRAMS.get(name, "NCSNv2"),
        options,
        f"image channels: {network.shape[0]}{size}",
        sum(parameter.numel() for parameter in network.parameters()),
        network.sigmas,
        _sampler(name, side),
        open_points(published, network),
    )


def _sampler(name: str, side: int) -> dict[str, Any]:
    """Return the program's sampler for images of `side` pixels."""
    sampler = SAMPLERS.get(name, OTHER_SAMPLER)
    return {**sampler, "snr": SNR[side]} if "snr" in sampler and side in SNR else sampler


def _stated(published: Published) -> _Described:
    """Describe a network that the file states; raise `ValueError` if its parameters differ."""
    stated = published.network
    assert stated is not None
    sigmas, options = published.sigmas, dict(stated.options)
    sampler = stated.sampler or SAMPLERS.get(options["name"], OTHER_SAMPLER)
    if sigmas is None:  # a network of diffusers without a scheduler
        sigmas, sampler = ladder_of(SCHEDULER), sampler_of(SCHEDULER)
    parameters = sum(tensor.numel() for tensor in published.tensors.values())
    if stated.program == DIFFUSERS:
        arguments = {key: value for key, value in options.items() if key != "name"}
        with torch.device("meta"):
            network = NCSNpp(stated.shape, sigmas, **arguments)
        check_parameters(published.tensors, diffusers_shapes(network))
        parameters = sum(parameter.numel() for parameter in network.parameters())
    if not stated.plugin:
        options = built_in_component(options).model_dump(mode="json", exclude_defaults=True)
    return _Described(
        PROGRAM_NAMES[stated.program],
        options,
        f"samples: {' × '.join(map(str, stated.shape))}",
        parameters,
        sigmas,
        sampler,
        open_points(published),
    )


def _network(published: Published) -> tuple[NCSNpp | RefineNet, dict[str, Any]]:
    """Return the network of a checkpoint without values, and its options with its name.

    Raises `ValueError` if it has no counterpart here.
    """
    shapes = shapes_of(published.tensors)
    options = network_options(shapes)
    name = options.pop("network", "a network of no published program")
    if name not in NETWORKS:
        raise ValueError(f"holds {name}; {EXPECTED}")
    image, levels = (options.pop("image channels", 0), 32, 32), options.pop("levels", None)
    if name == "ncsnpp":
        image = score_sde_options(shapes)["shape"]
    sigmas = published.sigmas
    if sigmas is None:
        first, last, count = LADDERS.get(name, OTHER_LADDER)
        sigmas = geometric(first, last, levels or count)
    with torch.device("meta"):
        network = NETWORKS[name](image, sigmas, **options)
    try:
        check_parameters(published.tensors, published_shapes(network))
    except ValueError as error:
        raise ValueError(f"holds parameters like those of {name}, but {error}") from None
    network.sigmas = sigmas
    return network, {"name": name, **options}


def _weights(published: Published) -> str:
    kinds = {True: "averaged (EMA)", False: "of the last step", None: "averaged or not"}
    step = "" if published.step is None else f", step {published.step:,}"
    return kinds[published.averaged] + step


def _levels(published: Published, sigmas: Tensor) -> str:
    first, last = float(sigmas[0]), float(sigmas[-1])
    origin = "" if published.sigmas is not None else " (not in the file: those of its program)"
    return f"{len(sigmas):,} levels from {first:.6g} to {last:.6g}{origin}"


def _noise(sigmas: Tensor) -> dict[str, Any]:
    """Return the ladder as in a study: geometric if that equals `sigmas`, otherwise explicit."""
    first, last, count = float(f"{sigmas[0]:.6g}"), float(f"{sigmas[-1]:.6g}"), len(sigmas)
    if count > 1 and torch.allclose(geometric(first, last, count), sigmas.double(), 2e-6, 0.0):
        return {"name": "geometric", "sigma_max": first, "sigma_min": last, "levels": count}
    return {"name": "explicit", "sigmas": [float(f"{sigma:.7g}") for sigma in sigmas]}


def _study(file: Path, published: Published, described: _Described) -> str:
    """Return the study as YAML."""
    full = file.name if file.is_dir() else file.stem
    name = re.sub(r"[^a-z0-9]+", "_", full.lower()).strip("_")
    plugin = published.network.plugin.get("source") if published.network else None
    is_image = published.network is None or len(published.network.shape) == 3
    starts_from_noise = described.sampler["name"] == "predictor_corrector" or not is_image
    study = {
        "study": f"imported_{name}",
        **({"plugins": [plugin]} if plugin else {}),
        "dataset": {"name": "NAME"},
        "train": {
            "network": described.options,
            "noise": _noise(described.sigmas),
            "steps": published.step or 1,
        },
        "sample": {
            "sampler": dict(described.sampler),
            "initial": "normal" if starts_from_noise else "uniform",
        },
    }
    return str(yaml.safe_dump(study, default_flow_style=None, sort_keys=False, width=100))
