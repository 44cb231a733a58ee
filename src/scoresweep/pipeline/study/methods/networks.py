"""Score networks, by name."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from scoresweep.pipeline.study.config import MethodConfig

__all__ = ["ENERGY_NETWORKS", "MLP", "AnyNetwork", "NCSNv2", "Oracle", "UNet"]

Counts = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)]


class Network(MethodConfig):
    """What is common to every score network."""

    name: str
    is_trained: ClassVar[bool] = True
    """Whether it has parameters, which optimiser steps find."""
    needs_images: ClassVar[bool] = False
    """Whether it cannot be had for points."""
    continuous_sigma: ClassVar[bool] = True
    """Whether it gives scores between the levels of its ladder, too."""

    @property
    def smallest_side(self) -> int:
        """Fewest pixels of a side of an image."""
        return 1


class MLP(Network):
    """Residual multilayer perceptron on the flattened sample."""

    target: ClassVar[str] = "scoresweep.networks.mlp:MLP"
    name: Literal["mlp"]
    width: int = Field(512, ge=1)
    """Units of a hidden layer."""
    blocks: int = Field(4, ge=1)
    """Residual blocks, two layers each."""
    conditioning: Literal["divide", "input", "none"] = "divide"
    """How σ enters: "divide": the output is divided by σ; "input": log σ is an input as well, and
    the output is divided by σ; "none": not at all."""


class PlainMLP(Network):
    """Multilayer perceptron as textbooks have it: linear layers with an activation between them."""

    target: ClassVar[str] = "scoresweep.networks.plain_mlp:PlainMLP"
    name: Literal["plain_mlp"]
    hidden: Counts = Field((128, 128, 128), min_length=1)
    """Units of each hidden layer."""
    activation: Literal["relu", "silu", "softplus", "tanh"] = "softplus"
    """What stands between two layers; the objectives ism, ssm and ssm_vr ask for a smooth one."""
    conditioning: Literal["input", "divide", "none"] = "input"
    """How σ enters: "input": it is one more input; "divide": the output is divided by it; "none":
    not at all."""


class RefineNet(Network):
    """What is common to the RefineNets."""

    needs_images: ClassVar[bool] = True
    halvings: ClassVar[int] = 1
    """Stages that halve the size of the feature maps."""
    channels: int = Field(128, ge=2)
    """Feature maps of the first stage, 2 or more, over which norms take a variance; later stages
    have 2 or 4 times as many."""

    @property
    def smallest_side(self) -> int:
        """Fewest pixels of a side of an image."""
        return 1 << self.halvings


class NCSN(RefineNet):
    """The conditional RefineNet of NCSN (Song and Ermon 2019): each level has norms of its own."""

    target: ClassVar[str] = "scoresweep.networks.ncsn:NCSN"
    continuous_sigma: ClassVar[bool] = False
    name: Literal["ncsn"]


class NCSNv2(RefineNet):
    """The RefineNet of NCSNv2 (Song and Ermon 2020), unconditional, output divided by σ; for images
    of up to 64 pixels."""

    target: ClassVar[str] = "scoresweep.networks.ncsnv2:NCSNv2"
    name: Literal["ncsnv2"]


class NCSNv2Deeper(RefineNet):
    """NCSNv2 with one stage more, at a quarter of the size; for 96 and 128 pixels."""

    target: ClassVar[str] = "scoresweep.networks.ncsnv2:NCSNv2Deeper"
    halvings: ClassVar[int] = 2
    name: Literal["ncsnv2_deeper"]


class NCSNv2Deepest(RefineNet):
    """NCSNv2 with two stages more, down to an eighth of the size; for 256 pixels."""

    target: ClassVar[str] = "scoresweep.networks.ncsnv2:NCSNv2Deepest"
    halvings: ClassVar[int] = 3
    name: Literal["ncsnv2_deepest"]


class UNet(Network):
    """A U-Net with self-attention, told log σ (after Ho et al. 2020 and Song et al. 2021)."""

    target: ClassVar[str] = "scoresweep.networks.unet:UNet"
    needs_images: ClassVar[bool] = True
    name: Literal["unet"]
    channels: int = Field(128, ge=4)
    """Feature maps of the first stage."""
    multipliers: Counts = Field((1, 2, 2, 2), min_length=1)
    """Feature maps of each stage, in units of `channels`; each stage after the first works at half
    the size of the one before."""
    blocks: int = Field(2, ge=1)
    """Residual blocks of a stage on the way down; one more on the way up."""
    attention: Counts = (16,)
    """Sizes of feature maps, in pixels of the longer side, at which blocks are followed by
    self-attention; the middle of the network always has it."""

    @property
    def smallest_side(self) -> int:
        """Fewest pixels of a side of an image."""
        return 1 << (len(self.multipliers) - 1)


class Oracle(Network):
    """The exact score of the data: a study of it is a study of the sampler alone."""

    target: ClassVar[str] = "scoresweep.networks.oracle:Oracle"
    is_trained: ClassVar[bool] = False
    name: Literal["oracle"]
    of: Literal["auto", "mixture", "training_set"] = "auto"
    """Whose score: "mixture", that from which the data was drawn; "training_set", the training
    samples, each smoothed by the noise; "auto": the mixture where there is one."""


AnyNetwork = Annotated[
    MLP | PlainMLP | NCSN | NCSNv2 | NCSNv2Deeper | NCSNv2Deepest | UNet | Oracle,
    Field(discriminator="name"),
]

ENERGY_NETWORKS = frozenset({"oracle"})
"""Networks that know the log density of the data, too."""
