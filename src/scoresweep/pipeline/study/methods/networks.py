"""Score networks, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from scoresweep.pipeline.study.config import Labelled, MethodConfig

__all__ = ["ENERGY_NETWORKS", "MLP", "AnyNetwork", "NCSNpp", "NCSNv2", "Network", "Oracle", "UNet"]

Counts = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)]


class Network(Labelled, MethodConfig):
    """Base class of score networks."""

    name: str
    is_trained: ClassVar[bool] = True
    """Whether it has parameters to train."""
    needs_images: ClassVar[bool] = False
    """Whether it needs images, not points."""

    @property
    def continuous_sigma(self) -> bool:
        """Whether it also returns scores between the levels of its ladder."""
        return True

    @property
    def interpolates_levels(self) -> bool:
        """Whether it can be sampled on any ladder within that of its training."""
        return self.continuous_sigma

    @property
    def preconditioned_std(self) -> float | None:
        """Standard deviation of the data that it is preconditioned for; None: it is not."""
        return None

    @property
    def smallest_side(self) -> int:
        """Minimum height and width of an image, in pixels."""
        return 1

    @property
    def side_divisor(self) -> int:
        """What the height and width of an image must be multiples of, in pixels."""
        return 1


class MLP(Network):
    """Residual multilayer perceptron on flattened samples."""

    target: ClassVar[str] = "scoresweep.networks.mlp:MLP"
    name: Literal["mlp"]
    width: int = Field(512, ge=1)
    """Units per hidden layer."""
    blocks: int = Field(4, ge=1)
    """Number of residual blocks, of two layers each."""
    conditioning: Literal["divide", "input", "none"] = "divide"
    """Conditioning on σ: "divide": the output is divided by σ; "input": log σ is also an input,
    and the output is divided by σ; "none": unconditional."""


class PlainMLP(Network):
    """A standard multilayer perceptron: linear layers with an activation between them."""

    target: ClassVar[str] = "scoresweep.networks.plain_mlp:PlainMLP"
    name: Literal["plain_mlp"]
    hidden: Counts = Field((128, 128, 128), min_length=1)
    """Units of each hidden layer."""
    activation: Literal["relu", "silu", "softplus", "tanh"] = "softplus"
    """Activation between layers; the objectives ism, ssm and ssm_vr need a smooth one (not
    relu)."""
    conditioning: Literal["input", "divide", "none"] = "input"
    """Conditioning on σ: "input": σ is an additional input; "divide": the output is divided by σ;
    "none": unconditional."""


class RefineNet(Network):
    """Base class of RefineNets."""

    needs_images: ClassVar[bool] = True
    halvings: ClassVar[int] = 1
    """Number of stages that halve the feature maps."""
    channels: int = Field(128, ge=2)
    """Feature maps of the first stage; later stages have 2 or 4 times as many. At least 2, because
    the normalisation takes a variance over them."""

    @property
    def smallest_side(self) -> int:
        """Minimum height and width of an image, in pixels."""
        return 1 << self.halvings


class NCSN(RefineNet):
    """The conditional RefineNet of NCSN (Song and Ermon 2019), with normalisation parameters for
    each level."""

    target: ClassVar[str] = "scoresweep.networks.ncsn:NCSN"
    name: Literal["ncsn"]

    @property
    def continuous_sigma(self) -> bool:
        """Whether it also returns scores between the levels of its ladder."""
        return False


class NCSNv2(RefineNet):
    """The RefineNet of NCSNv2 (Song and Ermon 2020), unconditional with its output divided by σ;
    for images of up to 64 pixels."""

    target: ClassVar[str] = "scoresweep.networks.ncsnv2:NCSNv2"
    name: Literal["ncsnv2"]


class NCSNv2Deeper(RefineNet):
    """NCSNv2 with one more stage, at 1/4 of the image size; for 96 and 128 pixels."""

    target: ClassVar[str] = "scoresweep.networks.ncsnv2:NCSNv2Deeper"
    halvings: ClassVar[int] = 2
    name: Literal["ncsnv2_deeper"]


class NCSNv2Deepest(RefineNet):
    """NCSNv2 with two more stages, down to 1/8 of the image size; for 256 pixels."""

    target: ClassVar[str] = "scoresweep.networks.ncsnv2:NCSNv2Deepest"
    halvings: ClassVar[int] = 3
    name: Literal["ncsnv2_deepest"]


class UNet(Network):
    """A U-Net with self-attention, conditioned on log σ (after Ho et al. 2020, Song et al.
    2021)."""

    target: ClassVar[str] = "scoresweep.networks.unet:UNet"
    needs_images: ClassVar[bool] = True
    name: Literal["unet"]
    channels: int = Field(128, ge=4)
    """Feature maps of the first stage."""
    multipliers: Counts = Field((1, 2, 2, 2), min_length=1)
    """Feature maps of each stage, in units of `channels`; each stage has half the resolution of the
    one before."""
    blocks: int = Field(2, ge=1)
    """Residual blocks per encoder stage; decoder stages have one more."""
    attention: Counts = (16,)
    """Feature map sizes, in pixels of the longer side, at which blocks are followed by
    self-attention; the bottleneck always has it."""
    data_std: float = Field(0.5, gt=0)
    """Standard deviation of the data, for the scale of input and output (Karras et al. 2022); 0.25
    is theirs for pixels in [0, 1]."""

    @property
    def preconditioned_std(self) -> float:
        """Standard deviation of the data that it is preconditioned for."""
        return self.data_std

    @property
    def smallest_side(self) -> int:
        """Minimum height and width of an image, in pixels."""
        return 1 << (len(self.multipliers) - 1)


class NCSNpp(Network):
    """NCSN++ or the DDPM architecture (Song et al. 2021); the defaults are those of the authors'
    configuration ve/cifar10_ncsnpp_continuous, and docs/ncsnpp.md has the options of others."""

    target: ClassVar[str] = "scoresweep.networks.ncsnpp:NCSNpp"
    needs_images: ClassVar[bool] = True
    used_only_with: ClassVar[Mapping[str, tuple[str, Any]]] = {
        "data_std": ("preconditioning", "edm"),
        "fourier_scale": ("embedding", "fourier"),
    }
    name: Literal["ncsnpp"]
    channels: int = Field(128, ge=4)
    """Feature maps of the first stage."""
    multipliers: Counts = Field((1, 2, 2, 2), min_length=1)
    """Feature maps of each stage, in units of `channels`; each stage has half the resolution of the
    one before, so that image sides must be multiples of 2 to the number of stages less one."""
    blocks: int = Field(4, ge=1)
    """Residual blocks per encoder stage; decoder stages have one more."""
    attention: Counts = (16,)
    """Feature map sizes, in pixels of the longer side, at which there is self-attention: after each
    encoder block, and once per decoder stage; the bottleneck always has it."""
    block_type: Literal["biggan", "ddpm"] = "biggan"
    """Residual blocks: "biggan": they also change the resolution; "ddpm": convolutions between
    them do."""
    fir: bool = True
    """Filter with (1, 3, 3, 1) where the resolution changes."""
    skip_rescale: bool = True
    """Divide the sum of a block and its shortcut by √2."""
    progressive_input: Literal["none", "input_skip", "residual"] = "residual"
    """Input of the image at lower resolutions: "input_skip": the image, filtered; "residual": a
    learned pyramid; "none": full resolution only."""
    progressive_output: Literal["none", "output_skip", "residual"] = "none"
    """Output from each resolution: "output_skip": a sum of images; "residual": a learned pyramid;
    "none": full resolution only."""
    embedding: Literal["fourier", "positional"] = "fourier"
    """Conditioning on σ: "fourier": random Fourier features of log σ; "positional": sines and
    cosines of the level's index, so that only levels of the ladder have scores."""
    fourier_scale: float = Field(16.0, gt=0)
    """Standard deviation of the frequencies of "fourier"."""
    scale_by_sigma: bool = True
    """Divide the output by σ."""
    preconditioning: Literal["none", "edm"] = "none"
    """Scale of input and output: "edm": that of Karras et al. (2022), as `unet` has; "none": images
    in [−1, 1]."""
    data_std: float = Field(0.5, gt=0)
    """Standard deviation of the data for "edm"; 0.25 is that of Karras et al. for pixels in
    [0, 1], and 0.5 that of `unet`."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Share of values that are set to zero in training, before the last convolution of a block."""

    @model_validator(mode="after")
    def _divides_by_sigma(self) -> NCSNpp:
        if self.preconditioning == "edm" and not self.scale_by_sigma:
            raise ValueError("scale_by_sigma: true, because preconditioning: edm divides by sigma")
        return self

    @property
    def continuous_sigma(self) -> bool:
        """Whether it also returns scores between the levels of its ladder."""
        return self.embedding == "fourier"

    @property
    def interpolates_levels(self) -> bool:
        """Whether it can be sampled on any ladder within that of its training."""
        return self.embedding == "positional"

    @property
    def preconditioned_std(self) -> float | None:
        """Standard deviation of the data that it is preconditioned for; None: it is not."""
        return self.data_std if self.preconditioning == "edm" else None

    @property
    def side_divisor(self) -> int:
        """What the height and width of an image must be multiples of, in pixels."""
        return 1 << (len(self.multipliers) - 1)


class Oracle(Network):
    """The exact score of the data, to study samplers without a network."""

    target: ClassVar[str] = "scoresweep.networks.oracle:Oracle"
    is_trained: ClassVar[bool] = False
    name: Literal["oracle"]
    of: Literal["auto", "mixture", "training_set"] = "auto"
    """Distribution: "mixture": the Gaussian mixture that the data are drawn from; "training_set":
    the training samples; "auto": the mixture if there is one, else the training samples."""


AnyNetwork = Annotated[
    MLP | PlainMLP | NCSN | NCSNv2 | NCSNv2Deeper | NCSNv2Deepest | NCSNpp | UNet | Oracle,
    Field(discriminator="name"),
]

ENERGY_NETWORKS = frozenset({"oracle"})
"""Networks that also return the log density of the data."""
