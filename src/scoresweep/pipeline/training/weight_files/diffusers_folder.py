"""Read a folder of the diffusers program that holds a network of the NCSN++ kind.

`save_pretrained` of its `UNet2DModel` writes `config.json` and one file of weights; that of a
pipeline writes the same into `unet/`, and the scheduler, which has the noise levels, into
`scheduler/`. Older pipelines have all of them in one folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from scoresweep.networks.diffusers_checkpoints import rename_older
from scoresweep.networks.diffusers_options import diffusers_options
from scoresweep.noise import geometric
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.training.weight_files.parameters import plain_parameters
from scoresweep.pipeline.training.weight_files.published import EXPECTED, Published
from scoresweep.pipeline.training.weight_files.read import Content, read_content
from scoresweep.pipeline.training.weight_files.stated_network import StatedNetwork

__all__ = ["PROGRAM", "DiffusersFolder", "find_diffusers_folder", "read_diffusers_folder"]

PROGRAM = "diffusers"
CONFIG = "config.json"
WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
SCHEDULERS = ("scheduler/scheduler_config.json", "scheduler_config.json")
SCHEDULER = {
    "sigma_max": 1348.0,
    "sigma_min": 0.01,
    "num_train_timesteps": 2000,
    "snr": 0.15,
    "correct_steps": 1,
}
"""Options of `ScoreSdeVeScheduler` that are read, with their defaults."""
AVERAGES = ("decay", "optimization_step")
"""Keys that `EMAModel` adds to the configuration of averaged weights."""


@dataclass(frozen=True)
class DiffusersFolder:
    """The files of a network of diffusers."""

    config: Path
    weights: Path
    scheduler: Path | None


def find_diffusers_folder(path: Path) -> DiffusersFolder | None:
    """Return the files at `path`: a pipeline, a network or its weights; None if it is neither.

    The noise levels are only read if `path` is the folder that holds the scheduler.

    Raises:
        InputError: if there is a configuration without weights.
    """
    if path.is_file():
        config = path.parent / CONFIG
        is_named = path.suffix in {".safetensors", ".bin"} and _is_config(config)
        return DiffusersFolder(config, path, None) if is_named else None
    for folder in (path / "unet", path):
        if not _is_config(folder / CONFIG):
            continue
        weights = [folder / name for name in WEIGHTS if (folder / name).is_file()]
        if not weights:
            raise InputError(f"{folder}: has no weights; expected {' or '.join(WEIGHTS)} in it")
        schedulers = [path / name for name in SCHEDULERS if (path / name).is_file()]
        return DiffusersFolder(folder / CONFIG, weights[0], (*schedulers, None)[0])
    return None


def _is_config(path: Path) -> bool:
    """Return whether `path` is a configuration that diffusers wrote."""
    return path.is_file() and "_class_name" in _read_json(path)


def _read_json(path: Path) -> dict[str, Any]:
    """Return an object of JSON; raise `InputError` if it is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); copy it again") from None
    if not isinstance(value, dict):
        raise InputError(f"{path}: holds a {type(value).__name__}; expected an object of JSON")
    return value


def read_diffusers_folder(folder: DiffusersFolder) -> tuple[Content, Published]:
    """Return the file of weights, and the parameters and the network in it.

    Raises:
        InputError: if the network is not NCSN++, or its noise is not that of the variance-exploding
            SDE; each key that differs is named.
    """
    config = _read_json(folder.config)
    try:
        options = diffusers_options(config)
    except ValueError as error:
        raise InputError(f"{folder.config}: is not a network of NCSN++: {error}") from None
    scheduler = _read_scheduler(folder.scheduler)
    content = read_content(folder.weights, EXPECTED)
    try:
        if not isinstance(content.value, dict):
            raise ValueError(f"holds a {type(content.value).__name__}; {EXPECTED}")
        tensors = rename_older(plain_parameters(content.value))
    except ValueError as error:
        raise InputError(f"{folder.weights}: {error}") from None
    shape = options.pop("shape")
    stated = StatedNetwork(PROGRAM, {"name": "ncsnpp", **options}, shape, {}, _sampler(scheduler))
    is_averaged = all(key in config for key in AVERAGES)
    return content, Published(
        tensors,
        _ladder(scheduler),
        True if is_averaged else None,
        config["optimization_step"] if is_averaged else None,
        (),
        stated,
    )


def _read_scheduler(path: Path | None) -> dict[str, Any] | None:
    """Return the options of the scheduler; None if there is none."""
    if path is None:
        return None
    found = _read_json(path)
    if found.get("_class_name") != "ScoreSdeVeScheduler":
        raise InputError(
            f"{path}: _class_name: {found.get('_class_name')}; expected ScoreSdeVeScheduler, whose "
            f"noise is added to an image that is not scaled"
        )
    options = {key: found.get(key, default) for key, default in SCHEDULER.items()}
    for key, value in options.items():
        kinds = type(SCHEDULER[key]) if isinstance(SCHEDULER[key], int) else int | float
        if not isinstance(value, kinds) or value < 0:
            raise InputError(f"{path}: {key}: {value}; expected a number of at least 0")
    if not options["sigma_max"] > options["sigma_min"] > 0 or options["num_train_timesteps"] < 2:
        raise InputError(
            f"{path}: sigma_max {options['sigma_max']}, sigma_min {options['sigma_min']}, "
            f"num_train_timesteps {options['num_train_timesteps']}; expected a falling ladder"
        )
    return options


def _ladder(scheduler: Mapping[str, Any] | None) -> Tensor | None:
    """Return the noise levels of the sampler, (L,) in float64."""
    if scheduler is None:
        return None
    first, last = scheduler["sigma_max"], scheduler["sigma_min"]
    return geometric(first, last, scheduler["num_train_timesteps"])


def _sampler(scheduler: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the options of the sampler of `ScoreSdeVePipeline`."""
    if scheduler is None:
        return {}
    return {
        "name": "predictor_corrector",
        "predictor": "reverse_diffusion",
        "corrector_steps": scheduler["correct_steps"],
        "snr": scheduler["snr"],
        "denoise": True,
    }
