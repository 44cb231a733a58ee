"""`scoresweep import-checkpoint --describe`: what a weight file is, and a study that fits it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from scoresweep.networks import NCSN, NCSNpp, NCSNv2, NCSNv2Deeper, NCSNv2Deepest
from scoresweep.networks.published_options import network_options, published_shapes, shapes_of
from scoresweep.networks.published_parameters import check_parameters
from scoresweep.networks.refinenet import RefineNet
from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.networks.score_sde_options import score_sde_options
from scoresweep.noise import geometric
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.training.weight_files.open_points import open_points
from scoresweep.pipeline.training.weight_files.published import (
    EXPECTED,
    Published,
    find_published,
)
from scoresweep.pipeline.training.weight_files.read import read_content

__all__ = ["describe_checkpoint"]

NETWORKS: dict[str, Callable[..., NCSNpp | RefineNet]] = {
    "ncsn": NCSN,
    "ncsnv2": NCSNv2,
    "ncsnv2_deeper": NCSNv2Deeper,
    "ncsnv2_deepest": NCSNv2Deepest,
    "ncsnpp": NCSNpp,
}
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
OTHER_SAMPLER = {
    "name": "annealed_langevin",
    "step_size": "auto",
    "steps_per_level": 5,
    "denoise": True,
}


def describe_checkpoint(file: Path) -> str:
    """Return a study that fits `file`; it begins with a description as comments.

    Raises:
        InputError: if it is not a checkpoint of a published program, or its network has no
            counterpart here.
    """
    content = read_content(file, EXPECTED)
    try:
        published = find_published(content.value, ema=True)
        network, options = _network(published)
    except ValueError as error:
        raise InputError(f"{file}: {error}") from None
    name = str(options["name"])
    program, side = PROGRAMS.get(name, "NCSNv2"), network.shape[1]
    size = f", {side}×{side} pixels if it has attention at 16" if options.get("attention") else ""
    parameters = sum(parameter.numel() for parameter in network.parameters())
    comments = [
        f"{file.name}: {content.kind.description} with a network of {program}",
        f"network: {name}, {parameters:,} parameters; image channels: {network.shape[0]}{size}",
        f"weights: {_weights(published)}",
        f"noise: {_levels(published, network)}",
        *(f"assumed: {key}: {value}" for key, value in open_points(published, network).items()),
        "",
        "Next: name the dataset, then `scoresweep plan`, `stage` and `import-checkpoint`.",
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in comments) + _study(
        file, {"network": options, "noise": _noise(network.sigmas), "steps": published.step or 1}
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


def _levels(published: Published, network: ScoreNetwork) -> str:
    first, last = float(network.sigmas[0]), float(network.sigmas[-1])
    origin = "" if published.sigmas is not None else " (not in the file: those of its program)"
    return f"{len(network.sigmas):,} levels from {first:.6g} to {last:.6g}{origin}"


def _noise(sigmas: Tensor) -> dict[str, Any]:
    """Return the ladder as in a study: geometric if that equals `sigmas`, otherwise explicit."""
    first, last, count = float(f"{sigmas[0]:.6g}"), float(f"{sigmas[-1]:.6g}"), len(sigmas)
    if count > 1 and torch.allclose(geometric(first, last, count), sigmas.double(), 2e-6, 0.0):
        return {"name": "geometric", "sigma_max": first, "sigma_min": last, "levels": count}
    return {"name": "explicit", "sigmas": [float(f"{sigma:.7g}") for sigma in sigmas]}


def _study(file: Path, train: dict[str, Any]) -> str:
    """Return the study with this `train` block as YAML."""
    network = train["network"]["name"]
    name = re.sub(r"[^a-z0-9]+", "_", file.stem.lower()).strip("_")
    study = {
        "study": f"imported_{name}",
        "dataset": {"name": "NAME"},
        "train": train,
        "sample": {
            "sampler": SAMPLERS.get(network, OTHER_SAMPLER),
            "initial": "normal" if network == "ncsnpp" else "uniform",
        },
    }
    return str(yaml.safe_dump(study, default_flow_style=None, sort_keys=False, width=100))
