"""The options of a network of score_sde_pytorch, inferred from the shapes of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["score_sde_options"]

ATTENTION = 16
"""Size in pixels at which the program's configurations have attention, which no shape records."""

Parts = Mapping[str, tuple[int, ...]]
"""The shapes of the parameters of a layer."""


@dataclass
class _Stage:
    """A stage on the way down."""

    width: int
    blocks: int = 0
    attention: bool = False


def score_sde_options(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return the options of `NCSNpp` for the published `shapes`, and its "shape" (C, H, W).

    Attention is assumed at 16 pixels, which gives the size of the images. If the shapes
    do not determine `fir` and `skip_rescale`, they are those of the program's configurations with
    these parameters.

    Raises:
        ValueError: if the layers are not those of such a network.
    """
    layers = _layers(shapes)
    try:
        is_fourier = "W" in layers[0]
        first = layers[2 + is_fourier]["weight"]
        stages, rest = _way_down(layers[3 + is_fourier :], first[0])
        options = _pyramids(layers[: len(layers) - len(rest)], rest, first[1])
        multipliers = [stage.width // first[0] for stage in stages]
    except (LookupError, ZeroDivisionError):
        raise ValueError("its layers are not in the order of ncsnpp") from None
    attend = [place for place, stage in enumerate(stages) if stage.attention]
    side = ATTENTION << attend[0] if attend else 32
    is_ddpm = any("NIN_0.W" in layer and "Conv_1.weight" in layer for layer in layers)
    fir = not any("Conv_0.weight" in layer for layer in layers if _resizes(layer))
    is_plain = is_ddpm and not fir and options["progressive_input"] == "none"
    return {
        "shape": (first[1], side, side),
        "channels": first[0],
        "multipliers": multipliers,
        "blocks": stages[0].blocks,
        "attention": [side >> place for place in attend],
        "block_type": "ddpm" if is_ddpm else "biggan",
        "fir": fir,
        "skip_rescale": not is_plain,
        **options,
        "embedding": "fourier" if is_fourier else "positional",
    }


def _layers(shapes: Mapping[str, tuple[int, ...]]) -> list[Parts]:
    """Return the shapes of each numbered layer, in order."""
    layers: dict[int, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        prefix, _, rest = name.partition(".")
        number, _, part = rest.partition(".")
        if prefix != "all_modules" or not number.isdecimal():
            raise ValueError(f"holds {name}; expected names that begin with all_modules.NUMBER")
        layers.setdefault(int(number), {})[part] = shape
    return [layers[number] for number in sorted(layers)]


def _way_down(layers: list[Parts], width: int) -> tuple[list[_Stage], list[Parts]]:
    """Return the stages on the way down, and the layers of the way up.

    The way up begins with a block that takes more channels than the block before gives.
    """
    stages = [_Stage(width)]
    for place, layer in enumerate(layers):
        if "Conv_1.weight" in layer:
            outputs, inputs = layer["Conv_0.weight"][:2]
            if inputs != width:
                stages[-1].blocks -= 2  # the middle: block, attention, block
                stages[-1].attention = stages[-1].blocks > 0 and "NIN_3.W" in layers[place - 4]
                return stages, layers[place:]
            width = outputs
            if inputs == outputs and "Conv_2.weight" in layer:
                stages.append(_Stage(width))
            else:
                stages[-1].blocks, stages[-1].width = stages[-1].blocks + 1, width
        elif "NIN_3.W" in layer:
            stages[-1].attention = True
        elif _resizes(layer) and stages[-1].blocks:
            stages.append(_Stage(width))
    raise LookupError


def _resizes(layer: Parts) -> bool:
    """Return whether a layer is a 3×3 convolution that changes the size."""
    return "Conv_1.weight" not in layer and _kernel(layer)[2:] == (3, 3)


def _kernel(layer: Parts) -> tuple[int, ...]:
    """Return the shape of the first convolution of a layer, () if it has none."""
    return layer.get("Conv2d_0.weight", layer.get("Conv_0.weight", ()))


def _pyramids(down: list[Parts], up: list[Parts], image_channels: int) -> dict[str, str]:
    """Return how images enter on the way down and are made on the way up."""
    entries = [_kernel(layer) for layer in down if "Conv_1.weight" not in layer]
    inputs = "none"
    if any(kernel[2:] == (1, 1) for kernel in entries):
        inputs = "input_skip"
    elif any(kernel[1:2] == (image_channels,) for kernel in entries):
        inputs = "residual"
    convs = [layer["weight"] for layer in up if len(layer.get("weight", ())) == 4]
    outputs = "none"
    if len(convs) > 1:
        outputs = "output_skip" if convs[0][0] == image_channels else "residual"
    return {"progressive_input": inputs, "progressive_output": outputs}
