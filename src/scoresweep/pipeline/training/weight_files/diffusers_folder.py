"""Read a folder of the diffusers program that holds a network of the NCSN++ kind.

`save_pretrained` of its `UNet2DModel` writes `config.json` and one file of weights; that of a
pipeline writes the same into `unet/`, and the scheduler, which has the noise levels, into
`scheduler/`. Older pipelines have all of them in one folder.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from scoresweep.networks.diffusers_checkpoints import rename_older
from scoresweep.networks.diffusers_options import diffusers_options
from scoresweep.noise import geometric
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.file_kinds import abbreviate_names
from scoresweep.pipeline.training.weight_files.parameters import plain_parameters
from scoresweep.pipeline.training.weight_files.published import EXPECTED, Published
from scoresweep.pipeline.training.weight_files.read import Content, read_content
from scoresweep.pipeline.training.weight_files.stated_network import StatedNetwork

__all__ = [
    "PROGRAM",
    "SCHEDULER",
    "DiffusersFolder",
    "find_diffusers_folder",
    "ladder_of",
    "read_diffusers_folder",
    "sampler_of",
]

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
            _refuse_without_config(folder)
            continue
        weights = [folder / name for name in WEIGHTS if (folder / name).is_file()]
        if not weights:
            raise InputError(f"{folder}: {_other_weights(folder)}")
        schedulers = [path / name for name in SCHEDULERS if (path / name).is_file()]
        return DiffusersFolder(folder / CONFIG, weights[0], (*schedulers, None)[0])
    return None


def _refuse_without_config(folder: Path) -> None:
    """Raise `InputError` if the folder has weights of diffusers."""
    if found := [name for name in WEIGHTS if (folder / name).is_file()]:
        problem = "has no _class_name" if (folder / CONFIG).exists() else "is missing"
        raise InputError(
            f"{folder / CONFIG}: {problem}; expected what diffusers saves with {found[0]}, "
            f"which describes the network"
        )


def _other_weights(folder: Path) -> str:
    """Return what the folder has instead of the expected file of weights, and how to read it."""
    names = [file.name for file in sorted(folder.glob("diffusion_pytorch_model*"))]
    if any(re.search(r"-\d+-of-\d+\.|\.index\.", name) for name in names):
        what = "has weights in several files"
        remedy = "load them in diffusers and save one: save_pretrained(..., max_shard_size='1TB')"
    elif names := [name for name in names if name.endswith((".safetensors", ".bin"))]:
        what, remedy = "has a variant of the weights", "name the file itself"
    else:
        return f"has no weights; expected {' or '.join(WEIGHTS)} in it"
    return f"{what} ({', '.join(abbreviate_names(names, 3))}); {remedy}"


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
    sampler = {} if scheduler is None else sampler_of(scheduler)
    stated = StatedNetwork(PROGRAM, {"name": "ncsnpp", **options}, shape, {}, sampler)
    is_averaged = all(key in config for key in AVERAGES)
    step = config["optimization_step"] if is_averaged else None
    if is_averaged and (type(step) is not int or step < 0):
        raise InputError(
            f"{folder.config}: optimization_step: {step}; expected a whole number of at least 0"
        )
    return content, Published(
        tensors,
        None if scheduler is None else ladder_of(scheduler),
        True if is_averaged else None,
        step,
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
        is_whole = isinstance(SCHEDULER[key], int)
        if type(value) not in ((int,) if is_whole else (int, float)) or not 0 <= value < math.inf:
            kind = "whole" if is_whole else "finite"
            raise InputError(f"{path}: {key}: {value}; expected a {kind} number of at least 0")
    if not options["sigma_max"] > options["sigma_min"] > 0 or options["num_train_timesteps"] < 2:
        raise InputError(
            f"{path}: sigma_max {options['sigma_max']}, sigma_min {options['sigma_min']}, "
            f"num_train_timesteps {options['num_train_timesteps']}; expected a falling ladder"
        )
    return options


def ladder_of(scheduler: Mapping[str, Any]) -> Tensor:
    """Return the noise levels of a scheduler with the options of `SCHEDULER`, (L,) in float64."""
    first, last = scheduler["sigma_max"], scheduler["sigma_min"]
    return geometric(first, last, scheduler["num_train_timesteps"])


def sampler_of(scheduler: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the sampler of `ScoreSdeVePipeline`.

    Corrector steps with `snr: 0` have size 0.
    """
    steps = scheduler["correct_steps"] if scheduler["snr"] else 0
    return {
        "name": "predictor_corrector",
        "predictor": "reverse_diffusion",
        "corrector_steps": steps,
        **({"snr": scheduler["snr"]} if steps else {}),
        "denoise": True,
    }
