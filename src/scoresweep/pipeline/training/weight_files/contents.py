"""Recognise the program that wrote a weight file, and find its state dicts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from scoresweep.pipeline.system.file_kinds import FileKind, abbreviate_names

__all__ = ["States", "describe_content", "find_states", "name_averages"]

MAX_NAMES = 20_000
"""Maximum number of names searched."""

CONTENTS: tuple[tuple[tuple[str, ...], FileKind], ...] = (
    (
        (r"^model\.", r"^ema\.shadow_params\b", r"^optimizer\b"),
        FileKind("score_sde", "a score_sde checkpoint (state['model'], state['ema'])"),
    ),
    ((r"\ball_modules\.\d+\.",), FileKind("score_sde", "the weights of a network of score_sde")),
    (
        (r"\bmodel\.(map_layer0|map_noise|enc|dec)\b",),
        FileKind("edm", "the weights of a network of EDM"),
    ),
    ((r"\btemb\.dense\.0\.weight",), FileKind("ddim", "a checkpoint of DDIM or pytorch_diffusion")),
    (
        (r"\bdiffusion_model\.input_blocks\.",),
        FileKind("latent_diffusion", "a checkpoint of latent diffusion (Stable Diffusion)"),
    ),
    (
        (r"\binput_blocks\.0\.0\.weight",),
        FileKind("guided_diffusion", "the weights of a network of guided-diffusion"),
    ),
    (
        (r"\bema_model\.|\bdowns\.0\.0\.",),
        FileKind("denoising_diffusion_pytorch", "a checkpoint of denoising-diffusion-pytorch"),
    ),
    (
        (r"\bdown_blocks\.0\.|\btime_embedding\.linear_1\.",),
        FileKind(
            "diffusers",
            "the weights of a network of diffusers, without its config.json",
            "name the folder that has both",
        ),
    ),
    (
        (r"\bdownblocks\.0\.weight", r"\bmiddleblocks\.0\."),
        FileKind(
            "consistent_unet",
            "a U-Net of AdversarialConsistentScoreMatching, which has no counterpart here",
        ),
    ),
    (
        (r"^pytorch-lightning_version",),
        FileKind(
            "lightning", "a PyTorch Lightning checkpoint", "save its `state_dict` with torch.save"
        ),
    ),
    (
        (r"\bConv2d_1a_3x3\.conv\.weight|\bMixed_5b\b",),
        FileKind(
            "inception", "the weights of an Inception network, which computes features for metrics"
        ),
    ),
    (
        (r"^param_groups", r"^state\b"),
        FileKind("optimizer", "the state of an optimiser, without the network"),
    ),
)
"""Patterns that must all match a name in the file; the first matching row counts."""

RAW = ("state_dict", "model", "model_state_dict", "net", "network", "score")
AVERAGED = ("ema", "ema_state_dict", "model_ema", "averaged")
UNTRAINED = r"(^|\.)(sigmas|all_modules\.\d+\.W)$"
"""Names in `model` that are not trained: the ladder, and frequencies of the embedding of σ."""
STEP = ("step", "global_step", "iteration")


@dataclass(frozen=True)
class States:
    """The state dicts of a file."""

    raw: Mapping[Any, Any] | None
    """Parameters after the last training step, or of unknown origin."""
    averaged: Mapping[Any, Any] | None
    step: int | None
    ignored: tuple[str, ...] = ()
    """Other keys of the file."""


def describe_content(content: Any) -> FileKind | None:
    """Return which program wrote `content`; None if no row of `CONTENTS` matches."""
    names = "\n".join(name for name, _ in zip(_names(content), range(MAX_NAMES), strict=False))
    for patterns, kind in CONTENTS:
        if all(re.search(pattern, names, re.MULTILINE) for pattern in patterns):
            return kind
    return None


def _names(content: Any, above: str = "", depth: int = 4) -> Iterator[str]:
    """Yield the dotted names of all values in nested dictionaries and lists."""
    if isinstance(content, Mapping):
        parts = [(str(key), value) for key, value in content.items()]
    elif isinstance(content, list | tuple):
        parts = [(str(place), value) for place, value in enumerate(content)]
    else:
        parts = []
    if not parts:
        yield above
    for key, value in parts if depth else []:
        yield from _names(value, ".".join(part for part in (above, key) if part), depth - 1)


def find_states(content: Any) -> States:
    """Return the state dicts in `content`: itself, or those under common names.

    Raises:
        ValueError: if there is none or more than one candidate.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"holds a {type(content).__name__}")
    if any(isinstance(value, Tensor) for value in content.values()):
        return States(content, None, None)
    raw = [key for key in RAW if isinstance(content.get(key), Mapping)]
    averaged = [key for key in AVERAGED if isinstance(content.get(key), Mapping)]
    for keys in (raw, averaged):
        if len(keys) > 1:
            raise ValueError(f"holds both {' and '.join(keys)}; save the right one alone")
    if not raw and not averaged:
        names = ", ".join(abbreviate_names([repr(key) for key in content])) or "nothing"
        raise ValueError(f"holds {names}")
    steps = [content[key] for key in STEP if type(content.get(key)) is int]
    used = {*raw, *averaged, *STEP}
    return States(
        content[raw[0]] if raw else None,
        content[averaged[0]] if averaged else None,
        steps[0] if steps else None,
        tuple(abbreviate_names([str(key) for key in content if key not in used])),
    )


def name_averages(averaged: Mapping[Any, Any], raw: Mapping[Any, Any] | None) -> Mapping[Any, Any]:
    """Return averages by name, also those that score_sde saves as a list without names.

    The list has the trained parameters in their order; the others are taken from `raw`.

    Raises:
        ValueError: if the list does not fit the parameters in `raw`.
    """
    shadows = averaged.get("shadow_params")
    if not isinstance(shadows, list):
        return averaged
    if raw is None:
        raise ValueError(
            "holds averages without names (ema.shadow_params) and no `model`, which names them; "
            "expected the file as the program saved it"
        )
    names = [name for name in raw if not re.search(UNTRAINED, str(name))]
    if len(shadows) != len(names):
        raise ValueError(
            f"holds {len(shadows)} averages (ema.shadow_params); expected {len(names)}, one for "
            f"each trained parameter of `model`"
        )
    for place, (name, shadow) in enumerate(zip(names, shadows, strict=True)):
        found, expected = (tuple(getattr(value, "shape", ())) for value in (shadow, raw[name]))
        if found != expected:
            raise ValueError(
                f"holds the average ema.shadow_params[{place}] of the shape {found}; expected "
                f"{expected}, as {name} of `model`"
            )
    return {**raw, **dict(zip(names, shadows, strict=True))}
