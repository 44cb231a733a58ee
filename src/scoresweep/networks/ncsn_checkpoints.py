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

__all__ = ["convert_ncsn_state_dict", "published_names", "published_options", "to_published"]

ENDS = {"first": "begin_conv", "norm": "normalizer", "last": "end_conv"}
STAGES = {4: ("1", "2", "3", "4"), 5: ("1", "2", "3", "4", "5"), 6: ("1", "2", "3", "31", "4", "5")}
"""What the published programs call the stages of a network on the way down, by how many it has."""
REFINE = {**STAGES, 6: ("1", "2", "31", "3", "4", "5")}
"""What they call its refine blocks, from the deepest up."""
EMBEDDED = ("gamma", "alpha", "beta")
"""Order of a norm's parameters in the matrix that holds those of all levels."""


MOST = 4
"""Most names of each kind in an error."""


def convert_ncsn_state_dict(tensors: Mapping[str, Tensor], network: RefineNet) -> dict[str, Tensor]:
    """Return the parameters of `network`, named and typed as its own, from published ones.

    Raises:
        ValueError: if tensors are missing, left over or not finite or have another shape; the first
            ones are named.
    """
    names = published_names(network)
    wanted = set(names.values())
    problems = _listed("missing", sorted(wanted - set(tensors)))
    problems += _listed("extra", sorted(set(tensors) - wanted))
    shapes, not_finite = [], []
    found: dict[str, Tensor] = {}
    for name, parameter in network.named_parameters():
        theirs = names[name]
        if theirs not in tensors:
            continue
        tensor, shape = tensors[theirs].to(parameter.dtype), tuple(parameter.shape)
        is_part = theirs.endswith("embed.weight")
        if is_part:
            shape = (shape[0], len(EMBEDDED) * shape[1])
        if tensor.shape != shape:
            shapes.append(f"{theirs} {tuple(tensor.shape)}, not {shape}")
        elif not bool(torch.isfinite(tensor).all()):
            not_finite.append(theirs)
        elif is_part:
            # Clones: parts of one matrix could not be told apart from tied weights when saved.
            tensor = tensor.chunk(len(EMBEDDED), dim=1)[_part(name)].clone()
        found[name] = tensor
    problems += _listed("of another shape", list(dict.fromkeys(shapes)))
    problems += _listed("not finite", list(dict.fromkeys(not_finite)))
    if problems:
        raise ValueError("; ".join(problems))
    return found


def _part(name: str) -> int:
    """Return where a norm's parameter stands in the matrix that holds those of all levels."""
    return EMBEDDED.index(name.rsplit(".", 1)[-1])


def _listed(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    shown = [name if len(name) <= 80 else f"{name[:77]}..." for name in names[:MOST]]
    more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
    return [f"{what}: {', '.join(shown)}{more}"]


def to_published(network: RefineNet) -> dict[str, Tensor]:
    """Return the parameters of `network` under their published names, the inverse of the above."""
    found: dict[str, list[Tensor]] = {}
    names = published_names(network)
    by_order = sorted(
        network.named_parameters(), key=lambda item: _part(item[0]) if item[1].ndim == 2 else 0
    )
    for name, parameter in by_order:
        found.setdefault(names[name], []).append(parameter.detach())
    return {name: torch.cat(parts, dim=-1) for name, parts in found.items()}


def published_options(tensors: Mapping[str, Tensor]) -> dict[str, str | int]:
    """Return which published network has these parameters, {} if none.

    "network" is its name here, or that of the authors' class if there is none; "channels" counts
    its feature maps, "image channels" those of its images, and "levels" its levels if each has
    parameters of its own.
    """
    first = tensors.get("begin_conv.weight")
    if first is None or first.ndim != 4 or "res4.0.conv1.weight" not in tensors:
        return {}
    depth = ("res5.0.conv1.weight" in tensors) + ("res31.0.conv1.weight" in tensors)
    found: dict[str, str | int] = {
        "network": ("ncsnv2", "ncsnv2_deeper", "ncsnv2_deepest")[depth],
        "channels": first.shape[0],
        "image channels": first.shape[1],
    }
    embedding = tensors.get("normalizer.embed.weight")
    if embedding is not None and embedding.ndim == 2:
        found["network"] = ("ncsn", "NCSNdeeper", "NCSNdeeper")[depth]
        found["levels"] = embedding.shape[0]
    return found


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
