"""What a weight file says about its network, compared with the network of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from scoresweep.pipeline.study.config import MethodConfig
from scoresweep.pipeline.study.methods.networks import NCSNpp, UNet

__all__ = ["StatedNetwork", "list_differences"]

NOT_COMPARED = frozenset({"dropout", "fourier_scale"})
"""Options that matter in training only: of trained weights, the scores do not depend on them."""


@dataclass(frozen=True)
class StatedNetwork:
    """The network of a weight file that records its options."""

    program: str
    """Program that wrote the file."""
    options: Mapping[str, Any]
    """Options of the network here, with its name; those at their default may be missing."""
    shape: tuple[int, ...]
    """Shape of one sample."""
    plugin: Mapping[str, str] = field(default_factory=dict)
    """Source and content of the plugin that declares the network; {}: none."""
    sampler: Mapping[str, Any] = field(default_factory=dict)
    """Options of the sampler that the file has beside the network; {}: none."""


def list_differences(
    stated: StatedNetwork, component: MethodConfig, shape: tuple[int, ...]
) -> list[str]:
    """Return what differs from the network of a run, with options `component` and samples `shape`.

    Only what changes the score is compared.
    """
    name = component.model_dump()["name"]
    if stated.options["name"] != name:
        return [f"network {stated.options['name']}, in the run {name}"]
    content = stated.plugin.get("content", "")
    if content != component.plugin:
        source, now = stated.plugin.get("source", "none"), component.plugin or "none"
        return [f"plugin {source} ({content}), in the run {now}"]
    try:
        theirs = type(component).model_validate(stated.options).model_dump(mode="json")
    except ValidationError as error:
        problem = error.errors()[0]
        path = ".".join(map(str, problem["loc"]))
        return [f"option {path or name} that this version does not have ({problem['msg']})"]
    ours = component.model_dump(mode="json")
    if isinstance(component, UNet | NCSNpp):
        theirs, ours = _effective(theirs, stated.shape), _effective(ours, shape)
    found, expected = (
        {key: value for key, value in options.items() if key not in NOT_COMPARED}
        | {"shape of a sample": size}
        for options, size in ((theirs, stated.shape), (ours, shape))
    )
    return [
        f"{key} {found[key]}, in the run {expected[key]}"
        for key in expected
        if found[key] != expected[key]
    ]


def _effective(options: Mapping[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
    """Return options whose sizes of attention are those of feature maps; others have no effect."""
    maps = {max(shape[1:]) >> stage for stage in range(len(options["multipliers"]))}
    return {**options, "attention": sorted(maps.intersection(options["attention"]))}
