"""`scoresweep import-checkpoint`: weights of the public NCSN and NCSNv2 programs become a run.

Those programs write, with `torch.save`, a list: the network's parameters (named "module.…", as
`DataParallel` does), the optimiser's state, and for NCSNv2 epoch, step and, where it keeps them,
the averaged parameters. Tensors and plain values are read from it; nothing in it is executed.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoresweep.console import say
from scoresweep.errors import InputError
from scoresweep.files import sha256_of
from scoresweep.locks import exclusive
from scoresweep.networks.base import ScoreNetwork
from scoresweep.networks.published import from_published
from scoresweep.networks.refinenet import RefineNet
from scoresweep.study import Plan
from scoresweep.training.products import make_network, start_run, write_untrained

__all__ = ["import_checkpoint"]

PARTS = (2, 4, 5)
"""Lengths of the list: NCSN; NCSNv2 without and with averaged parameters."""
CLOSE = 1e-5
"""Relative difference within which two ladders are the same; theirs is float32."""


@dataclass(frozen=True)
class _Published:
    """What a published checkpoint holds."""

    tensors: dict[str, Tensor]
    """Parameters under their published names."""
    sigmas: Tensor | None
    """The ladder, (L,), which NCSNv2 keeps with its parameters."""
    averaged: bool
    step: int | None


def import_checkpoint(plan: Plan, run_id: str, file: Path, ema: bool = True) -> None:
    """Make the weights in `file` those of the run `run_id`, which then samples like any other.

    The averaged parameters are taken where there are any and `ema` is true. Raises `InputError`
    where the run has weights already, its data is not staged, or the file does not hold the
    parameters of the run's network on the run's ladder.
    """
    run, layout = plan.run(run_id), plan.layout
    if not layout.dataset_manifest(run.dataset.id).exists():
        raise InputError(
            f"{layout.dataset_store(run.dataset.id)}: is not staged; run `scoresweep stage` first"
        )
    found = _read(file, ema)
    with exclusive(layout.training_lock(run.id)):
        if layout.weights(run.id).exists():
            raise InputError(
                f"{layout.weights(run.id)}: the run has weights already; remove its folder to "
                f"import others"
            )
        network = make_network(run, layout)
        _fill(network, found, file)
        start_run(run, layout)
        facts = {"file": file.name, "sha256": sha256_of(file), "averaged": found.averaged}
        write_untrained(run, layout, network, {"imported": facts | {"step": found.step}})
    if found.sigmas is None:
        say(f"{file} holds no ladder: that of the run (train.noise) is taken on trust")
    what = "averaged parameters" if found.averaged else "parameters"
    say(f"{run.id}: took the {what} of {file}: {layout.weights(run.id)}")


def _read(file: Path, ema: bool) -> _Published:
    """Return what the checkpoint holds; raise `InputError` where it is not one."""
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{file}: there is no such file") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise InputError(
            f"{file}: cannot be read as tensors and plain values, and nothing else is ever loaded "
            f"({reason})"
        ) from None
    if not (isinstance(content, list) and len(content) in PARTS and _is_tensors(content[0])):
        raise InputError(
            f"{file}: is not a checkpoint of the public NCSN or NCSNv2 program; expected a list of "
            f"parameters, optimiser state and, for NCSNv2, epoch, step and averaged parameters"
        )
    tensors = {name.removeprefix("module."): value for name, value in content[0].items()}
    sigmas = tensors.pop("sigmas", None)
    averaged = ema and len(content) == 5
    if averaged:
        if not _is_tensors(content[4]):
            raise InputError(f"{file}: its averaged parameters are not tensors; try --no-ema")
        tensors = {name.removeprefix("module."): value for name, value in content[4].items()}
    return _Published(tensors, sigmas, averaged, content[3] if len(content) > 3 else None)


def _is_tensors(content: Any) -> bool:
    return isinstance(content, dict) and all(isinstance(v, Tensor) for v in content.values())


def _fill(network: ScoreNetwork, found: _Published, file: Path) -> None:
    """Put the parameters into `network`, after comparing names, shapes and ladder."""
    if not isinstance(network, RefineNet):
        raise InputError(
            "train.network: only the networks of the published programs can be imported; expected "
            "ncsn, ncsnv2, ncsnv2_deeper or ncsnv2_deepest"
        )
    if found.sigmas is not None:
        _compare_ladders(network.sigmas, found.sigmas, file)
    try:
        parameters = from_published(found.tensors, network)
    except ValueError as error:
        raise InputError(f"{file}: does not fit the run's network: {error}") from None
    network.load_state_dict(parameters | {"sigmas": network.sigmas})


def _compare_ladders(own: Tensor, theirs: Tensor, file: Path) -> None:
    """Raise `InputError` where the ladder of the file is not the run's."""
    if len(theirs) != len(own):
        raise InputError(
            f"{file}: has a ladder of {len(theirs)} levels; expected the {len(own)} of the run "
            f"(train.noise)"
        )
    far = ((theirs / own - 1).abs() > CLOSE).nonzero()
    if len(far):
        level = int(far[0])
        raise InputError(
            f"{file}: has another ladder than the run (train.noise): its level {level + 1} is "
            f"{float(theirs[level]):.7g}; expected {float(own[level]):.7g}"
        )
