"""The options of NCSN++ for the `config.json` of a network of the public diffusers program."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scoresweep.networks.ncsnpp_blocks import group_norm

__all__ = ["diffusers_options"]

FIXED: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "time_embedding_type": ("positional", ("fourier",)),
    "center_input_sample": (False, (True,)),
    "act_fn": ("silu", ("silu", "swish")),
    "mid_block_type": ("UNetMidBlock2D", ("UNetMidBlock2D",)),
    "resnet_time_scale_shift": ("default", ("default",)),
    "add_attention": (True, (True,)),
    "class_embed_type": (None, (None,)),
    "num_class_embeds": (None, (None,)),
}
"""By key: the program's default, and the values with which it is NCSN++."""
NUMBERS = {"norm_eps": (1e-5, 1e-6), "mid_block_scale_factor": (1.0, math.sqrt(2))}
"""By key: the program's default, and the number with which it is NCSN++."""
GROUPS = 32
"""Groups of the norms of attention in its blocks, whatever their width."""
KINDS = {"SkipDownBlock2D": "SkipUpBlock2D", "AttnSkipDownBlock2D": "AttnSkipUpBlock2D"}
"""Blocks of NCSN++ on the way down, and those on the way up that belong to them."""


def diffusers_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of `NCSNpp` for a `UNet2DModel`, and its "shape" (C, H, W).

    If the configuration does not state the size of the images, attention is assumed at 16 pixels.

    Raises:
        ValueError: if the network is not NCSN++; it names each key with its value and what was
            expected.
    """
    name = config.get("_class_name")
    if name != "UNet2DModel":
        raise ValueError(f"_class_name: {name}; expected UNet2DModel")
    widths, down = _list(config, "block_out_channels", int), _list(config, "down_block_types", str)
    blocks, dropout = _count(config, "layers_per_block", 2), config.get("dropout", 0.0)
    attend = [kind == "AttnSkipDownBlock2D" for kind in down]
    problems = [*_fixed(config), *_blocks(config, down, widths)]
    problems = problems or _widths(config, widths, attend)
    if not isinstance(dropout, int | float) or not 0 <= dropout < 1:
        problems.append(f"dropout: {dropout}; expected a share below 1")
    if problems:
        raise ValueError("; ".join(problems))
    shape = _shape(config, attend)
    return {
        "shape": shape,
        "channels": widths[0],
        "multipliers": [width // widths[0] for width in widths],
        "blocks": blocks,
        "attention": [max(shape[1:]) >> place for place, has in enumerate(attend) if has],
        "block_type": "biggan",
        "fir": True,
        "skip_rescale": True,
        "progressive_input": "input_skip",
        "progressive_output": "output_skip",
        "embedding": "fourier",
        "scale_by_sigma": True,
        "dropout": dropout,
    }


def _fixed(config: Mapping[str, Any]) -> list[str]:
    """Return the keys whose values are not those of NCSN++."""
    problems = []
    for key, (default, right) in FIXED.items():
        if (found := config.get(key, default)) not in right:
            problems.append(f"{key}: {found}; expected {right[0]}")
    for key, (default, number) in NUMBERS.items():
        found = config.get(key, default)
        if not isinstance(found, int | float) or not math.isclose(found, number, rel_tol=1e-4):
            problems.append(f"{key}: {found}; expected {number:.6g}")
    return problems


def _blocks(config: Mapping[str, Any], down: list[str], widths: list[int]) -> list[str]:
    """Return what is wrong with the kinds and the number of the blocks."""
    up = _list(config, "up_block_types", str)
    others = [kind for kind in down if kind not in KINDS]
    if others:
        return [f"down_block_types: {others[0]}; expected {' or '.join(KINDS)}"]
    if up != [KINDS[kind] for kind in reversed(down)]:
        return [f"up_block_types: {up}; expected those of down_block_types in reverse"]
    if len(widths) != len(down):
        return [f"block_out_channels: {widths}; expected {len(down)}, as down_block_types has"]
    if wrong := [width for width in widths if width % widths[0]]:
        return [f"block_out_channels: {wrong[0]}; expected a multiple of the first, {widths[0]}"]
    return []


def _widths(config: Mapping[str, Any], widths: list[int], attend: list[bool]) -> list[str]:
    """Return which heads and groups of norms differ from those of NCSN++."""
    problems = []
    head, groups = config.get("attention_head_dim", 8), config.get("norm_num_groups", GROUPS)
    attending = [width for width, has in zip(widths, attend, strict=True) if has]
    if head is not None and any(width != head for width in [*attending, widths[-1]]):
        problems.append(f"attention_head_dim: {head}; expected null, for one head")
    if wrong := [width for width in attending if _groups(width) != GROUPS]:
        problems.append(
            f"block_out_channels: {wrong[0]} with attention, whose norm has {GROUPS} groups; "
            f"expected {_groups(wrong[0])}, as NCSN++ has at that width"
        )
    found = {
        "norm_num_groups": (groups, {widths[0], widths[-1]}),
        "attn_norm_num_groups": (config.get("attn_norm_num_groups"), {widths[-1]}),
    }
    for key, (value, normed) in found.items():
        if wrong := [width for width in normed if value not in (None, _groups(width))]:
            problems.append(f"{key}: {value}; expected null, or {_groups(min(wrong))}")
    return problems


def _groups(width: int) -> int:
    """Return the groups of a norm of NCSN++."""
    return group_norm(width).num_groups


def _shape(config: Mapping[str, Any], attend: list[bool]) -> tuple[int, int, int]:
    """Return the shape (C, H, W) of an image."""
    channels, outputs = _count(config, "in_channels", 3), _count(config, "out_channels", 3)
    if channels != outputs:
        raise ValueError(f"out_channels: {outputs}; expected {channels}, as in_channels")
    size = config.get("sample_size")
    if size is None:
        size = 16 << attend.index(True) if True in attend else 32
    sides = [size, size] if isinstance(size, int) else size
    if (
        not isinstance(sides, list)
        or [type(side) for side in sides] != [int, int]
        or min(sides) < 1
    ):
        raise ValueError(f"sample_size: {size}; expected a number of pixels of at least 1, or two")
    return channels, sides[0], sides[1]


def _list(config: Mapping[str, Any], key: str, kind: type) -> list[Any]:
    """Return a list of values of `kind`; raise `ValueError` if it is none."""
    found = config.get(key)
    is_list = isinstance(found, list) and len(found) > 0
    if not is_list or any(type(value) is not kind or value in (0, "") for value in found or []):
        raise ValueError(f"{key}: {found}; expected a list of {kind.__name__}")
    return list(found or [])


def _count(config: Mapping[str, Any], key: str, default: int) -> int:
    """Return a positive number; raise `ValueError` if it is none."""
    found = config.get(key, default)
    if type(found) is not int or found < 1:
        raise ValueError(f"{key}: {found}; expected a number of at least 1")
    return found
