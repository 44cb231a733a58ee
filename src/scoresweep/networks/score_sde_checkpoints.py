"""Parameter names of the public score_sde_pytorch program, and conversion from them.

That program (Song et al. 2021, https://github.com/yang-song/score_sde_pytorch) numbers the layers
of its networks `ncsnpp` and `ddpm` in the order in which they are built, which is the order of the
layers here, except that this network has no numbers for layers without parameters. Its layers
"NIN" store the matrix of a 1×1 convolution transposed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from scoresweep.networks.ncsnpp import NCSNpp
from scoresweep.networks.ncsnpp_blocks import Attention, ResidualBlock
from scoresweep.networks.ncsnpp_pyramids import InputSkip
from scoresweep.networks.published_parameters import check_parameters
from scoresweep.networks.resampling import DoublingConv, HalvingConv
from scoresweep.networks.sigma_embeddings import FourierEmbedding

__all__ = ["convert_score_sde_state_dict", "score_sde_names", "score_sde_shapes"]

LAYERS = (
    *(FourierEmbedding, nn.Linear, nn.Conv2d, nn.GroupNorm, ResidualBlock, Attention),
    *(InputSkip, HalvingConv, DoublingConv),
)
"""Modules that have a number."""

BLOCK = {
    "norm1": "GroupNorm_0",
    "conv1": "Conv_0",
    "level": "Dense_0",
    "norm2": "GroupNorm_1",
    "conv2": "Conv_1",
}
ATTENTION = {
    "norm": "GroupNorm_0",
    "query": "NIN_0",
    "key": "NIN_1",
    "value": "NIN_2",
    "out": "NIN_3",
}
NIN = {"weight": "W", "bias": "b"}


def score_sde_names(network: NCSNpp) -> dict[str, str]:
    """Return the published name of each parameter of `network`, and of its Fourier frequencies."""
    names: dict[str, str] = {}
    for number, (prefix, layer) in enumerate(_layers(network, "")):
        for name in layer.state_dict():
            names[f"{prefix}.{name}"] = f"all_modules.{number}.{_published(layer, name)}"
    return names


def score_sde_shapes(network: NCSNpp) -> dict[str, tuple[int, ...]]:
    """Return the published shape of each tensor in `score_sde_names`, by its published name."""
    state, shapes = network.state_dict(), {}
    for name, published in score_sde_names(network).items():
        shape = tuple(state[name].shape)
        is_transposed = _is_transposed(published, state[name])
        shapes[published] = (shape[1], shape[0]) if is_transposed else shape
    return shapes


def convert_score_sde_state_dict(
    tensors: Mapping[str, Tensor], network: NCSNpp
) -> dict[str, Tensor]:
    """Return published `tensors` under the names and in the shapes and dtypes of `network`.

    Raises:
        ValueError: if tensors are missing, unexpected, not finite or of another shape; it names the
            first of them.
    """
    check_parameters(tensors, score_sde_shapes(network))
    state, converted = network.state_dict(), {}
    for name, published in score_sde_names(network).items():
        tensor = tensors[published].to(state[name].dtype)
        if _is_transposed(published, tensor):
            tensor = tensor.T.reshape(state[name].shape)
        converted[name] = tensor
    return converted


def _is_transposed(published: str, tensor: Tensor) -> bool:
    """Return whether it is the matrix of a 1×1 convolution; frequencies are called W as well."""
    return published.endswith(".W") and tensor.ndim > 1


def _layers(module: nn.Module, prefix: str) -> Iterator[tuple[str, nn.Module]]:
    """Yield the numbered layers of `module` with their names, in order."""
    for name, child in module.named_children():
        if isinstance(child, LAYERS):
            yield prefix + name, child
        else:
            yield from _layers(child, f"{prefix}{name}.")


def _published(layer: nn.Module, name: str) -> str:
    """Return the published name of the tensor `name` of a layer."""
    part, _, kind = name.rpartition(".")
    if isinstance(layer, FourierEmbedding):
        return "W"
    if isinstance(layer, HalvingConv | DoublingConv):
        return f"{'Conv2d_0' if layer.fir else 'Conv_0'}.{kind}"
    if isinstance(layer, InputSkip):
        return f"Conv_0.{kind}"
    if isinstance(layer, Attention):
        part = ATTENTION[part]
    if isinstance(layer, ResidualBlock):
        shortcut = "NIN_0" if layer.block_type == "ddpm" else "Conv_2"
        part = {**BLOCK, "shortcut": shortcut}[part]
    kind = NIN[kind] if part.startswith("NIN") else kind
    return f"{part}.{kind}" if part else kind
