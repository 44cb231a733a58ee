"""Parameter names of the public NCSN and NCSNv2 code, and conversion from them.

The code is that of Song and Ermon (2019, https://github.com/ermongroup/ncsn; 2020,
https://github.com/ermongroup/ncsnv2). It has the parameters of the RefineNets here under other
names, with two more differences: the deepest network numbers its stages 1, 2, 3, 31, 4, 5,
and a norm that depends on the level stores γ, α and β in one matrix, (L, 3C).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from scoresweep.networks.published_parameters import check_parameters
from scoresweep.networks.refinenet import RefineNet

__all__ = ["convert_ncsn_state_dict", "published_names", "published_options", "to_published"]

END_LAYERS = {"first": "begin_conv", "norm": "normalizer", "last": "end_conv"}
STAGES = {4: ("1", "2", "3", "4"), 5: ("1", "2", "3", "4", "5"), 6: ("1", "2", "3", "31", "4", "5")}
"""Published names of the stages on the way down, by the number of stages."""
REFINE_BLOCKS = {**STAGES, 6: ("1", "2", "31", "3", "4", "5")}
"""Published names of the refine blocks, from the deepest up, by the number of stages."""
EMBEDDED_PARAMETERS = ("gamma", "alpha", "beta")
"""Order of a norm's parameters in the matrix of all levels."""


def convert_ncsn_state_dict(tensors: Mapping[str, Tensor], network: RefineNet) -> dict[str, Tensor]:
    """Convert published `tensors` to the names and dtypes of the parameters of `network`.

    Raises:
        ValueError: if tensors are missing, unexpected, not finite or of another shape; it names the
            first of them.
    """
    check_parameters(
        tensors, {name: tuple(tensor.shape) for name, tensor in to_published(network).items()}
    )
    names = published_names(network)
    converted: dict[str, Tensor] = {}
    for name, parameter in network.named_parameters():
        tensor = tensors[names[name]].to(parameter.dtype)
        if names[name].endswith("embed.weight"):
            # Clone, because views of one matrix are saved as tied weights.
            tensor = tensor.chunk(len(EMBEDDED_PARAMETERS), dim=1)[_embedding_index(name)].clone()
        converted[name] = tensor
    return converted


def _embedding_index(name: str) -> int:
    """Return the index of a norm's parameter in the matrix of all levels."""
    return EMBEDDED_PARAMETERS.index(name.rsplit(".", 1)[-1])


def to_published(network: RefineNet) -> dict[str, Tensor]:
    """Return the parameters of `network` under their published names."""
    parts: dict[str, list[Tensor]] = {}
    names = published_names(network)
    by_order = sorted(
        network.named_parameters(),
        key=lambda item: _embedding_index(item[0]) if item[1].ndim == 2 else 0,
    )
    for name, parameter in by_order:
        parts.setdefault(names[name], []).append(parameter.detach())
    return {name: torch.cat(tensors, dim=-1) for name, tensors in parts.items()}


def published_options(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, str | int]:
    """Return the options of the published network with these parameters, {} if there is none.

    "network" is its name here, or the authors' class name if it is not offered here; "channels" is
    the number of feature maps, "image channels" the number of channels of its images, and "levels"
    the number of levels if each has its own parameters.
    """
    first = shapes.get("begin_conv.weight", ())
    if len(first) != 4 or "res4.0.conv1.weight" not in shapes:
        return {}
    depth = ("res5.0.conv1.weight" in shapes) + ("res31.0.conv1.weight" in shapes)
    options: dict[str, str | int] = {
        "network": ("ncsnv2", "ncsnv2_deeper", "ncsnv2_deepest")[depth],
        "channels": first[0],
        "image channels": first[1],
    }
    embedding = shapes.get("normalizer.embed.weight", ())
    if len(embedding) == 2:
        options["network"] = ("ncsn", "NCSNdeeper", "NCSNdeeper")[depth]
        options["levels"] = embedding[0]
    return options


def published_names(network: RefineNet) -> dict[str, str]:
    """Return the published name of each parameter of `network`."""
    stages = STAGES[len(network.stages)]
    return {
        name: _with_embedding(_published(name, stages), parameter)
        for name, parameter in network.named_parameters()
    }


def _with_embedding(name: str, parameter: Tensor) -> str:
    """Return the name of the matrix of a norm's parameter, if levels have their own."""
    owner, _, last = name.rpartition(".")
    return f"{owner}.embed.weight" if last in EMBEDDED_PARAMETERS and parameter.ndim == 2 else name


def _published(name: str, stages: tuple[str, ...]) -> str:
    part, _, rest = name.partition(".")
    if part in END_LAYERS:
        return f"{END_LAYERS[part]}.{rest}"
    index, _, rest = rest.partition(".")
    if part == "refine":
        return f"refine{REFINE_BLOCKS[len(stages)][int(index)]}.{_in_refine_block(rest)}"
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
