"""From the parameter names of the public NCSN and NCSNv2 programs to those of this one.

Those programs are the authors' for Song and Ermon (2019) and (2020). Their networks hold the
parameters of the RefineNets here under other names. Two things differ beyond the names: the
deepest network counts its stages 1, 2, 3, 31, 4, 5, and a norm that knows the level keeps γ, α and
β side by side in one matrix, (L, 3C).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from scoresweep.networks.refinenet import RefineNet

__all__ = ["from_published", "published_names"]

ENDS = {"first": "begin_conv", "norm": "normalizer", "last": "end_conv"}
STAGES = {4: ("1", "2", "3", "4"), 5: ("1", "2", "3", "4", "5"), 6: ("1", "2", "3", "31", "4", "5")}
"""What the published programs call the stages of a network on the way down, by how many it has."""
REFINE = {**STAGES, 6: ("1", "2", "31", "3", "4", "5")}
"""What they call its refine blocks, from the deepest up."""
EMBEDDED = ("gamma", "alpha", "beta")
"""Order of a norm's parameters in the matrix that holds those of all levels."""


def from_published(tensors: Mapping[str, Tensor], network: RefineNet) -> dict[str, Tensor]:
    """Return the parameters of `network`, named and typed as its own, from published ones.

    Raises:
        ValueError: if tensors are missing, left over or not finite or have another shape; each is
            named.
    """
    names = published_names(network)
    wanted = set(names.values())
    problems = _listed("missing", wanted - set(tensors)) + _listed("extra", set(tensors) - wanted)
    found: dict[str, Tensor] = {}
    for name, parameter in network.named_parameters():
        theirs = names[name]
        if theirs not in tensors:
            continue
        tensor = tensors[theirs].to(parameter.dtype)
        if theirs.endswith("embed.weight"):
            # Clones: parts of one matrix could not be told apart from tied weights when saved.
            part = EMBEDDED.index(name.rsplit(".", 1)[-1])
            width = max(tensor.shape[-1] // len(EMBEDDED), 1)
            tensor = tensor[..., part * width : (part + 1) * width].clone()
        if tensor.shape != parameter.shape:
            problems.append(
                f"{theirs} has the shape {tuple(tensors[theirs].shape)}, which does not give "
                f"{tuple(parameter.shape)} for {name}"
            )
        elif not bool(torch.isfinite(tensor).all()):
            problems.append(f"{theirs} is not finite")
        found[name] = tensor
    if problems:
        raise ValueError("; ".join(problems))
    return found


def _listed(what: str, names: set[str], most: int = 8) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return [f"{what}: {', '.join(sorted(names)[:most])}{more}"]


def published_names(network: RefineNet) -> dict[str, str]:
    """Return what the published programs call each parameter of `network`."""
    stages = STAGES[len(network.stages)]
    return {
        name: _with_embedding(_published(name, stages), parameter)
        for name, parameter in network.named_parameters()
    }


def _with_embedding(name: str, parameter: Tensor) -> str:
    """Return the matrix that holds a norm's parameter, where there is one for each level."""
    owner, _, last = name.rpartition(".")
    return f"{owner}.embed.weight" if last in EMBEDDED and parameter.ndim == 2 else name


def _published(name: str, stages: tuple[str, ...]) -> str:
    part, _, rest = name.partition(".")
    if part in ENDS:
        return f"{ENDS[part]}.{rest}"
    index, _, rest = rest.partition(".")
    if part == "refine":
        return f"refine{REFINE[len(stages)][int(index)]}.{_in_refine_block(rest)}"
    rest = re.sub(r"\bnorm(\d)", r"normalize\1", rest)
    if 0 < int(index) < len(stages) - 2:  # it halves the size
        rest = re.sub(r"^0\.(conv2|shortcut)\.", r"0.\1.conv.", rest)
    return f"res{stages[int(index)]}.{rest}"


def _in_refine_block(name: str) -> str:
    part, _, rest = name.partition(".")
    if part in ("adapt", "output"):
        unit = re.sub(
            r"(\d+)\.(conv|norm)(\d)\.", lambda m: f"{int(m[1]) + 1}_{m[3]}_{m[2]}.", rest
        )
        return f"{part}_convs.{unit}"
    parts = {"fuse": "msf.convs", "fuse_norms": "msf.norms", "pool": "crp"}
    return f"{parts[part]}.{rest}"
