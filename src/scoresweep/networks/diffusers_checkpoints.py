"""Parameter names of NCSN++ in the public diffusers program, and conversion from them.

Its class `UNet2DModel` (https://github.com/huggingface/diffusers) is NCSN++ if its blocks are of
the kinds `SkipDownBlock2D` and `AttnSkipDownBlock2D`; `diffusers_options` has the conditions. Its
last norm and convolution are those of the output pyramid at full resolution here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import count

from torch import Tensor, nn

from scoresweep.networks.ncsnpp import NCSNpp
from scoresweep.networks.ncsnpp_blocks import Attention
from scoresweep.networks.published_parameters import check_parameters

__all__ = ["convert_diffusers_state_dict", "diffusers_names", "diffusers_shapes", "rename_older"]

EMBEDDING = (
    ("fourier", "time_proj"),
    ("embed1", "time_embedding.linear_1"),
    ("embed2", "time_embedding.linear_2"),
    ("first", "conv_in"),
)
PARTS = {
    "level": "time_emb_proj",
    "shortcut": "conv_shortcut",
    "norm": "group_norm",
    "query": "to_q",
    "key": "to_k",
    "value": "to_v",
    "out": "to_out.0",
}
"""Published names of parts of residual blocks and of attention, if they differ."""
OLDER = {
    r"(attentions\.\d+)\.query\.": r"\1.to_q.",
    r"(attentions\.\d+)\.key\.": r"\1.to_k.",
    r"(attentions\.\d+)\.value\.": r"\1.to_v.",
    r"(attentions\.\d+)\.proj_attn\.": r"\1.to_out.0.",
    r"^time_proj\.W$": "time_proj.weight",
}
"""Patterns of names in earlier versions of the program, and the names of today."""


def rename_older(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `tensors` with the names that the program gives them today."""
    renamed = {}
    for name, tensor in tensors.items():
        for pattern, today in OLDER.items():
            name = re.sub(pattern, today, name)
        renamed[name] = tensor
    return renamed


def diffusers_names(network: NCSNpp) -> dict[str, str]:
    """Return the published name of each parameter of `network`, and of its Fourier frequencies.

    The network has the options of `diffusers_options`.
    """
    names = {}
    for ours, theirs in _layers(network):
        for name in network.get_submodule(ours).state_dict():
            part, _, kind = name.rpartition(".")
            kind = "weight" if kind == "frequencies" else kind
            published = (theirs, PARTS.get(part, part), kind) if part else (theirs, kind)
            names[f"{ours}.{name}"] = ".".join(published)
    return names


def _layers(network: NCSNpp) -> Iterator[tuple[str, str]]:
    """Yield the names of each layer, here and published."""
    yield from EMBEDDING
    for place, down in enumerate(network.down):
        ours, theirs = f"down.{place}", f"down_blocks.{place}"
        yield from _numbered(down.get_submodule("layers").children(), f"{ours}.layers", theirs)
        if place < len(network.down) - 1:
            yield f"{ours}.resize", f"{theirs}.resnet_down"
            yield f"{ours}.pyramid.conv", f"{theirs}.skip_conv"
    yield from _numbered(network.middle, "middle", "mid_block")
    for place, up in enumerate(network.up):
        ours, theirs = f"up.{place}", f"up_blocks.{place}"
        yield from _numbered(up.get_submodule("blocks").children(), f"{ours}.blocks", theirs)
        if isinstance(up.attention, Attention):
            yield f"{ours}.attention", f"{theirs}.attentions.0"
        is_last = place == len(network.up) - 1
        if not is_last:
            yield f"{ours}.resize", f"{theirs}.resnet_up"
        yield f"{ours}.pyramid.norm", "conv_norm_out" if is_last else f"{theirs}.skip_norm"
        yield f"{ours}.pyramid.conv", "conv_out" if is_last else f"{theirs}.skip_conv"


def _numbered(layers: Iterable[nn.Module], ours: str, theirs: str) -> Iterator[tuple[str, str]]:
    """Yield both names of `layers`; here blocks and attention are numbered together."""
    numbers = {"resnets": count(), "attentions": count()}
    for place, layer in enumerate(layers):
        kind = "attentions" if isinstance(layer, Attention) else "resnets"
        yield f"{ours}.{place}", f"{theirs}.{kind}.{next(numbers[kind])}"


def diffusers_shapes(network: NCSNpp) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor in `diffusers_names`, by its published name."""
    state = network.state_dict()
    return {theirs: tuple(state[ours].shape) for ours, theirs in diffusers_names(network).items()}


def convert_diffusers_state_dict(
    tensors: Mapping[str, Tensor], network: NCSNpp
) -> dict[str, Tensor]:
    """Return published `tensors` under the names and in the dtypes of `network`.

    Raises:
        ValueError: if tensors are missing, unexpected, not finite or of another shape; it names the
            first of them.
    """
    check_parameters(tensors, diffusers_shapes(network))
    state = network.state_dict()
    names = diffusers_names(network).items()
    return {ours: tensors[theirs].to(state[ours].dtype) for ours, theirs in names}
