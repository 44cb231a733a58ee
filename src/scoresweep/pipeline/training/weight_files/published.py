"""The network's parameters in a checkpoint of a public program, found by its content."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from scoresweep.pipeline.system.file_kinds import abbreviate_names
from scoresweep.pipeline.training.weight_files.contents import (
    States,
    describe_content,
    find_states,
    name_averages,
)
from scoresweep.pipeline.training.weight_files.parameters import plain_parameters
from scoresweep.pipeline.training.weight_files.stated_network import StatedNetwork

__all__ = ["EXPECTED", "Published", "find_published"]

EXPECTED = (
    "expected a checkpoint of the public NCSN, NCSNv2 or score_sde_pytorch program, a folder of "
    "diffusers with NCSN++, or the weights of a run of this program"
)
LIST_LENGTHS = (2, 4, 5, 6)
"""Lengths of the list: NCSN; NCSNv2 without and with averaged parameters; with a discriminator."""


@dataclass(frozen=True)
class Published:
    """The content of a published checkpoint."""

    tensors: dict[str, Tensor]
    """Parameters under their published names."""
    sigmas: Tensor | None
    """The noise ladder, (L,) in float64, which some programs save with their parameters."""
    averaged: bool | None
    """Whether the parameters are averages; None if the file does not say."""
    step: int | None
    ignored: tuple[str, ...]
    """Other keys of the file."""
    network: StatedNetwork | None = None
    """What the file says about its network; None: only names and shapes do."""


def find_published(value: Any, ema: bool) -> Published:
    """Return the parameters in the `value` of a file.

    With `ema`, averaged parameters are preferred. Raises `ValueError` if there are none, or if the
    file holds something else.
    """
    kind = describe_content(value)
    if kind is not None and kind.name != "score_sde":
        raise ValueError(f"holds {kind.description}; {kind.remedy or EXPECTED}")
    is_list = isinstance(value, list)
    states = _states_of_list(value) if is_list else _states(value)
    taken = states.averaged if ema and states.averaged is not None else states.raw
    if taken is None:
        raise ValueError("holds averaged parameters only; omit --no-ema")
    tensors = plain_parameters(taken)
    sigmas = tensors.pop("sigmas", None)
    if sigmas is None and states.raw is not None:
        sigmas = plain_parameters(
            {key: value for key, value in states.raw.items() if str(key).endswith("sigmas")}
        ).get("sigmas")
    is_known = is_list or states.averaged is not None
    return Published(
        tensors,
        None if sigmas is None else _ladder(sigmas),
        (taken is states.averaged) if is_known else None,
        states.step,
        states.ignored,
    )


def _states(value: Any) -> States:
    try:
        states = find_states(value)
    except ValueError as error:
        raise ValueError(f"{error}; {EXPECTED}") from None
    if states.averaged is None:
        return states
    return replace(states, averaged=name_averages(states.averaged, states.raw))


def _states_of_list(parts: list[Any]) -> States:
    """Return the state dicts in the list that the public programs save."""
    if len(parts) not in LIST_LENGTHS or not isinstance(parts[0], dict):
        kinds = ", ".join(abbreviate_names([type(part).__name__ for part in parts])) or "nothing"
        raise ValueError(f"holds a list of {kinds}; {EXPECTED}")
    averaged = _averages_of_list(parts)
    if averaged is not None and not isinstance(averaged, dict):
        raise ValueError(f"holds no averaged parameters but {type(averaged).__name__}")
    step = parts[3] if len(parts) > 3 and type(parts[3]) is int else None
    return States(parts[0], averaged, step, ("discriminator",) if len(parts) == 6 else ())


def _averages_of_list(parts: list[Any]) -> Any:
    """Return what should be averages in a list; with a discriminator, the part with known names."""
    own = {str(name).removeprefix("module.") for name in parts[0]}
    for part in parts[4:]:
        if (
            isinstance(part, dict)
            and part
            and {str(n).removeprefix("module.") for n in part} <= own
        ):
            return part
    return parts[4] if len(parts) > 4 else None


def _ladder(sigmas: Tensor) -> Tensor:
    """Return the noise ladder (L,) in float64; raise `ValueError` if it is not valid."""
    if max(sigmas.shape, default=1) != sigmas.numel():
        raise ValueError(f"its ladder (sigmas) has the shape {tuple(sigmas.shape)}; expected (L,)")
    ladder = sigmas.double().reshape(-1)
    if not float(ladder[-1]) > 0:
        raise ValueError(f"its ladder (sigmas) ends at {float(ladder[-1]):.7g}; expected > 0")
    rises = (ladder.diff() >= 0).nonzero()
    if len(rises):
        level = int(rises[0])
        raise ValueError(
            f"its ladder (sigmas) does not decrease: level {level + 1} is "
            f"{float(ladder[level]):.7g}, level {level + 2} is {float(ladder[level + 1]):.7g}"
        )
    return ladder
