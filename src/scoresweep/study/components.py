"""Everything that a study chooses by name: one class a choice, with its options.

To add a dataset, a ladder, a network, an objective or a sampler, write it in one file of the
library and register it here: a class with its `name`, its `target` and its options, added to the
union at the end of its section. A metric or a feature extractor is one line of a table.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from scoresweep.errors import did_you_mean
from scoresweep.study.base import Component, Config, content_hash
from scoresweep.study.known_ladder import known_sigmas, smallest_sigma

# ── Datasets ────────────────────────────────────────────────────────────────────────────────────

PathField = Annotated[
    Path,
    Field(strict=False),
    PlainSerializer(str, return_type=str),
]


class Source(Config):
    """Where the files of a dataset come from: exactly one of `path`, `url` and `package`."""

    path: PathField | None = None
    """A local file or folder that holds the published files."""
    url: str | None = None
    """Address of the folder with the published files."""
    package: str | None = None
    """A package fetched by its registry's own client: "npm:NAME@VERSION", "pypi:NAME==VERSION" or
    "debian:NAME"."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Source:
        if sum(value is not None for value in (self.path, self.url, self.package)) != 1:
            raise ValueError("exactly one of path, url and package")
        return self


Size = tuple[tuple[int, ...], int]
"""Shape of a sample in model space, (C, H, W) or (D,), and number of samples."""


class Dataset(Component):
    """What is common to every dataset."""

    name: str
    subset: int | None = Field(None, ge=2)
    """Keep only this many training samples and as many test samples (the first ones); null: all."""

    published: ClassVar[Size | None] = None

    @property
    def known_size(self) -> Size | None:
        """Shape of a sample and number of samples; None where only staging can tell."""
        return self.published

    @property
    def id(self) -> str:
        """Name of the staged store: the dataset's, and a hash where an option is not default."""
        options = self.model_dump(exclude={"name", "source"}, exclude_defaults=True)
        return f"{self.name}_{content_hash(options)}" if options else self.name


class Digits(Dataset):
    """The 1,797 handwritten digits of scikit-learn: 8×8 pixels, 17 grey levels, ten classes."""

    target: ClassVar[str] = "scoresweep.data.sources.digits:read_digits"
    published: ClassVar[Size | None] = ((1, 8, 8), 1_797)
    name: Literal["digits"]


class MNIST(Dataset):
    """MNIST: 60,000 + 10,000 handwritten digits, 28×28 grey."""

    target: ClassVar[str] = "scoresweep.data.sources.idx:read_mnist"
    published: ClassVar[Size | None] = ((1, 28, 28), 70_000)
    name: Literal["mnist"]
    source: Source | None = None
    """Where to fetch it from; null: the known places, one after the other."""


class FashionMNIST(Dataset):
    """Fashion-MNIST: 60,000 + 10,000 pictures of clothes, 28×28 grey."""

    target: ClassVar[str] = "scoresweep.data.sources.idx:read_fashion_mnist"
    published: ClassVar[Size | None] = ((1, 28, 28), 70_000)
    name: Literal["fashion_mnist"]
    source: Source | None = None
    """Where to fetch it from; null: the known places, one after the other."""


class CIFAR10(Dataset):
    """CIFAR-10: 50,000 + 10,000 photographs, 32×32 colour, ten classes."""

    target: ClassVar[str] = "scoresweep.data.sources.cifar10:read_cifar10"
    published: ClassVar[Size | None] = ((3, 32, 32), 60_000)
    name: Literal["cifar10"]
    source: Source | None = None
    """Where to fetch it from; null: the known places, one after the other."""


Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Points = Annotated[list[Annotated[list[float], Field(min_length=1)]], Field(min_length=1)]


class Drawn(Dataset):
    """What is common to datasets that are drawn and not fetched."""

    train_count: int = Field(10_000, ge=2)
    """Training samples to draw."""
    test_count: int = Field(2_000, ge=2)
    """Test samples to draw."""
    seed: int = Field(0, ge=0, lt=2**32)
    """Seed of the samples."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a sample in model space."""
        raise NotImplementedError

    @property
    def known_size(self) -> Size:
        """Shape of a sample and number of samples."""
        return self.shape, self.train_count + self.test_count


class GaussianMixtureData(Drawn):
    """Points of a mixture of isotropic Gaussians, whose score is known exactly."""

    target: ClassVar[str] = "scoresweep.data.sources.gaussian_mixture:draw_gaussian_mixture"
    name: Literal["gaussian_mixture"]
    weights: list[Positive] | None = None
    """Weight of each component, scaled to the sum 1; null: equal ones."""
    means: Points | None = None
    """Mean of each component, a list of points; null: (±3, ±3), four modes in two dimensions."""
    stds: Positive | list[Positive] = 0.5
    """Standard deviation, one for all components or one for each."""
    dimension: int | None = Field(None, ge=1)
    """Fill up the means with zeros to so many dimensions; null: those of the means."""

    @model_validator(mode="after")
    def _fits(self) -> GaussianMixtureData:
        points = 4 if self.means is None else len(self.means)
        lengths = {2} if self.means is None else {len(mean) for mean in self.means}
        if len(lengths) > 1:
            raise ValueError(f"means of one dimension, found {sorted(lengths)}")
        for key in ("weights", "stds"):
            value = getattr(self, key)
            if isinstance(value, list) and len(value) != points:
                raise ValueError(f"as many {key} as means, {points}, found {len(value)}")
        if self.dimension is not None and self.dimension < max(lengths):
            raise ValueError(f"dimension of {max(lengths)} or more, found {self.dimension}")
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a point."""
        return (self.dimension or (2 if self.means is None else len(self.means[0])),)


class Shapes(Drawn):
    """Pictures of five shapes filled with uniform noise, 28×28 grey: triangle, bar, circles, disc
    and square (Kondracki and Le Bihan 2024)."""

    target: ClassVar[str] = "scoresweep.data.sources.shapes:draw_shapes"
    name: Literal["shapes"]
    shares: dict[Literal["triangle", "bar", "circles", "disc", "square"], Share] | None = None
    """Share of a class by its name, in [0, 1]; the others have equal parts of the rest; null: all
    equal."""
    test_count: int = Field(1_000, ge=2)
    """Test samples to draw."""

    @model_validator(mode="after")
    def _sums_to_one(self) -> Shapes:
        if self.shares is not None:
            total, every = sum(self.shares.values()), len(self.shares) == 5
            if total > 1 + 1e-9 or (every and total < 1 - 1e-9):
                expected = "1" if every else "1 or less"
                raise ValueError(f"shares of the sum {expected}, found {total:g}")
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a picture."""
        return (1, 28, 28)


class Moons(Drawn):
    """Points of two half circles that reach into each other, from scikit-learn."""

    target: ClassVar[str] = "scoresweep.data.sources.manifolds:draw_moons"
    name: Literal["moons"]
    noise: float = Field(0.05, ge=0)
    """Standard deviation of the noise."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a point."""
        return (2,)


class SwissRoll(Drawn):
    """Points of a spiral, or of a roll over it, from scikit-learn."""

    target: ClassVar[str] = "scoresweep.data.sources.manifolds:draw_swiss_roll"
    name: Literal["swiss_roll"]
    dimension: Literal[2, 3] = 2
    """2: the spiral; 3: the roll."""
    noise: float = Field(0.3, ge=0)
    """Standard deviation of the noise."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a point."""
        return (self.dimension,)


class OwnData(Dataset):
    """What is common to people's own data."""

    path: PathField
    """The file or folder."""
    title: str | None = Field(None, pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name used for files and tables; null: the last part of the path."""
    test_fraction: float = Field(0.1, gt=0, lt=1)
    """Share of the samples that is set aside as the test set, where the data has none."""

    @property
    def id(self) -> str:
        """Title or file name, and a hash of the path and the options."""
        options = self.model_dump(exclude={"title"}, exclude_defaults=True)
        return f"{self.title or self.path.stem}_{content_hash(options)}"


class ImageFolder(OwnData):
    """A folder of images; sub-folders are classes, unless they are called `train` and `test`."""

    target: ClassVar[str] = "scoresweep.data.sources.folder:read_folder"
    name: Literal["folder"]
    size: int | None = Field(None, ge=4)
    """Crop to a centred square and resize to this many pixels; null: every image must have the same
    size."""


class ArrayFile(OwnData):
    """An `.npz` or `.npy` file: images uint8 (N, H, W[, C]) or points float (N, D)."""

    target: ClassVar[str] = "scoresweep.data.sources.arrays:read_array"
    name: Literal["array"]


class ZarrStore(OwnData):
    """A Zarr store laid out as `scoresweep stage` writes it, or with one array of samples."""

    target: ClassVar[str] = "scoresweep.data.sources.arrays:read_zarr"
    name: Literal["zarr"]


AnyDataset = Annotated[
    Digits
    | MNIST
    | FashionMNIST
    | CIFAR10
    | GaussianMixtureData
    | Shapes
    | Moons
    | SwissRoll
    | ImageFolder
    | ArrayFile
    | ZarrStore,
    Field(discriminator="name"),
]

# ── Noise ladders ───────────────────────────────────────────────────────────────────────────────

Sigma = Annotated[float, Field(gt=0)]
SigmaMax = Sigma | Literal["max_distance", "max_rms"]


class Ladder(Component):
    """What is common to ladders σ_1 > … > σ_L between two ends."""

    sigma_max: SigmaMax
    """Largest noise level σ_1, in units of the data (pixels in [0, 1]); "max_distance": the largest
    distance between two training samples (NCSNv2, Technique 1); "max_rms": that divided by √D."""
    sigma_min: Sigma
    """Smallest noise level σ_L, in units of the data."""
    levels: int = Field(ge=2)
    """Number of levels L."""

    @model_validator(mode="after")
    def _falls(self) -> Ladder:
        if isinstance(self.sigma_max, float) and self.sigma_min >= self.sigma_max:
            raise ValueError(
                f"sigma_min smaller than sigma_max, found {self.sigma_min:g} and {self.sigma_max:g}"
            )
        return self


class Geometric(Ladder):
    """σ_i falls by the same factor from level to level."""

    target: ClassVar[str] = "scoresweep.noise:geometric"
    name: Literal["geometric"]
    levels: int | Literal["auto"] = Field(union_mode="left_to_right")  # type: ignore[assignment]
    """Number of levels L, 2 or more; "auto": as many as NCSNv2's Technique 2 asks for."""

    @model_validator(mode="after")
    def _two_levels(self) -> Geometric:
        if isinstance(self.levels, int) and self.levels < 2:
            raise ValueError(f"levels of 2 or more, found {self.levels}")
        return self


class Uniform(Ladder):
    """σ_i falls by the same amount from level to level."""

    target: ClassVar[str] = "scoresweep.noise:uniform"
    name: Literal["uniform"]


class Cosine(Ladder):
    """σ_i follows half a cosine wave: slow steps at both ends."""

    target: ClassVar[str] = "scoresweep.noise:cosine"
    name: Literal["cosine"]


class Karras(Ladder):
    """σ_i^(1/ρ) falls by the same amount from level to level (Karras et al. 2022, eq. 5)."""

    target: ClassVar[str] = "scoresweep.noise:karras"
    name: Literal["karras"]
    rho: float = Field(7.0, gt=0)
    """Exponent ρ: larger means more levels near sigma_min."""


class Explicit(Component):
    """A list of noise levels, written out."""

    target: ClassVar[str] = "scoresweep.noise:explicit"
    name: Literal["explicit"]
    sigmas: list[Sigma] = Field(min_length=1)
    """σ_1 > … > σ_L, in units of the data; one is enough."""

    @model_validator(mode="after")
    def _falls(self) -> Explicit:
        if any(low >= high for high, low in zip(self.sigmas, self.sigmas[1:], strict=False)):
            raise ValueError(f"sigmas that fall from each to the next, found {self.sigmas}")
        return self


AnyNoise = Annotated[Geometric | Uniform | Cosine | Karras | Explicit, Field(discriminator="name")]

# ── Networks ────────────────────────────────────────────────────────────────────────────────────


Counts = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(strict=False)]


class Network(Component):
    """What is common to every score network."""

    name: str
    is_trained: ClassVar[bool] = True
    """Whether it has parameters, which optimiser steps find."""
    needs_images: ClassVar[bool] = False
    """Whether it cannot be had for points."""
    any_sigma: ClassVar[bool] = True
    """Whether it gives scores between the levels of its ladder, too."""


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
    channels: int = Field(128, ge=1)
    """Feature maps of the first stage; later ones have 2 or 4 times as many."""


class NCSN(RefineNet):
    """The conditional RefineNet of NCSN (Song and Ermon 2019): each level has norms of its own."""

    target: ClassVar[str] = "scoresweep.networks.ncsn:NCSN"
    any_sigma: ClassVar[bool] = False
    name: Literal["ncsn"]


class NCSNv2(RefineNet):
    """The RefineNet of NCSNv2 (Song and Ermon 2020), unconditional, output divided by σ; for images
    of up to 64 pixels."""

    target: ClassVar[str] = "scoresweep.networks.ncsnv2:NCSNv2"
    name: Literal["ncsnv2"]


class NCSNv2Deeper(RefineNet):
    """NCSNv2 with one stage more, at a quarter of the size; for 96 and 128 pixels."""

    target: ClassVar[str] = "scoresweep.networks.ncsnv2:NCSNv2Deeper"
    name: Literal["ncsnv2_deeper"]


class NCSNv2Deepest(RefineNet):
    """NCSNv2 with two stages more, down to an eighth of the size; for 256 pixels."""

    target: ClassVar[str] = "scoresweep.networks.ncsnv2:NCSNv2Deepest"
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

# ── Objectives ──────────────────────────────────────────────────────────────────────────────────


class Objective(Component):
    """What is common to every objective.

    `projections` and `distribution` say which random directions its target takes as `v`; they are
    drawn for it, and no arguments of its own.
    """

    name: str
    weighting: Literal["sigma2", "sigma", "one"] = "sigma2"
    """Weight λ(σ) of a level: σ², σ or 1."""

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for the target."""
        drawn = ("projections", "distribution")
        return {key: value for key, value in super().arguments().items() if key not in drawn}

    @property
    def most_dimensions(self) -> int | None:
        """Largest number of dimensions of the data that it is for."""
        return None

    def mistakes(self, dimension: int) -> Iterable[str]:
        """Say what is wrong with it on data of `dimension` dimensions."""
        if self.most_dimensions is not None and dimension > self.most_dimensions:
            yield (
                f"train.objective: {self.name}: takes one backward pass for each of the data's "
                f"{dimension:,} dimensions; expected {self.most_dimensions:,} or fewer, or "
                f"allow_large: true (ssm_vr takes one pass in any number of dimensions)"
            )


class Unprojected(Objective):
    """What is common to objectives without random directions."""

    projections: ClassVar[int] = 0
    distribution: ClassVar[Literal["rademacher", "normal"]] = "rademacher"


class DSM(Unprojected):
    """Denoising score matching (Vincent 2011) over the ladder (Song and Ermon 2019, eq. 5–6)."""

    target: ClassVar[str] = "scoresweep.objectives:dsm"
    name: Literal["dsm"]
    control_variate: bool = False
    """Take away what has mean 0 and most of the variance at small σ (Song and Kingma 2021); costs
    the score at the clean samples too."""


class ISM(Unprojected):
    """Implicit score matching (Hyvärinen 2005): the exact trace, a backward pass a dimension."""

    target: ClassVar[str] = "scoresweep.objectives:ism"
    name: Literal["ism"]
    allow_large: bool = False
    """Go on with data of more than 4,096 dimensions."""

    @property
    def most_dimensions(self) -> int | None:
        """Those of `scoresweep.objectives.ism`, unless more are allowed."""
        return None if self.allow_large else 4096


class Sliced(Objective):
    """What is common to both forms of sliced score matching (Song et al. 2019)."""

    projections: int = Field(1, ge=1)
    """Random directions for each sample; one backward pass each."""
    distribution: Literal["rademacher", "normal"] = "rademacher"
    """Their distribution: entries −1 and 1, or standard normal."""


class SSM(Sliced):
    """Sliced score matching (Song et al. 2019, eq. 7)."""

    target: ClassVar[str] = "scoresweep.objectives:ssm"
    name: Literal["ssm"]


class SSMVR(Sliced):
    """Sliced score matching with variance reduction (Song et al. 2019, eq. 8)."""

    target: ClassVar[str] = "scoresweep.objectives:ssm_vr"
    name: Literal["ssm_vr"]


AnyObjective = Annotated[DSM | SSM | SSMVR | ISM, Field(discriminator="name")]

# ── Samplers ────────────────────────────────────────────────────────────────────────────────────

StepSize = Annotated[float, Field(gt=0)]


class Sampler(Component):
    """What is common to samplers."""

    schedule: ClassVar[str]
    """"module:function" that checks the options on a ladder and returns the steps of its levels."""
    needs_energy: ClassVar[bool] = False
    """Whether the log density of the target is needed, not its score alone."""
    takes_tasks: ClassVar[bool] = False
    """Whether it can be asked for in-painting and interpolation."""

    name: str
    denoise: bool = True
    """End with the step x + σ_L² s(x, σ_L), without noise."""

    @property
    def between_levels(self) -> bool:
        """Whether it asks for scores between the levels of the ladder, too."""
        return False

    @property
    def is_langevin(self) -> bool:
        """Whether its steps are x + η s + √(2η) z."""
        return False

    def score_calls(self, levels: int) -> int:
        """Return how often the score of a sample is computed on a ladder of so many levels."""
        raise NotImplementedError

    def mistakes(self, noise: Component) -> Iterable[str]:  # noqa: ARG002 - for those that do
        """Say what is wrong with the options on the ladder `noise`, as "key: value: what"."""
        return ()


class AnnealedLangevin(Sampler):
    """Annealed Langevin dynamics (Song and Ermon 2019, Algorithm 1)."""

    target: ClassVar[str] = "scoresweep.samplers.annealed_langevin:annealed_langevin"
    schedule: ClassVar[str] = "scoresweep.samplers.annealed_langevin:schedule"
    takes_tasks: ClassVar[bool] = True
    name: Literal["annealed_langevin"]
    step_size: StepSize | Literal["auto"]
    """Step size ε of x ← x + η s + √(2η) z, with η = ε at the last level; "auto": NCSNv2's
    Technique 4."""
    steps_per_level: int = Field(5, ge=1)
    """Steps T at each level."""
    step_rule: Literal["variance", "linear", "constant", "denoise"] = "variance"
    """η_i: "variance" ε σ_i²/σ_L², "linear" ε σ_i/σ_1, "constant" ε, "denoise" σ_i²."""

    @property
    def is_langevin(self) -> bool:
        """Every step rule has such steps."""
        return True

    def score_calls(self, levels: int) -> int:
        """Return T for each level, and one for the denoising step."""
        return levels * self.steps_per_level + self.denoise

    def mistakes(self, noise: Component) -> Iterable[str]:
        """A step beyond 2σ_L² diverges (see `samplers.step_rules`)."""
        if self.step_size == "auto":
            if self.step_rule != "variance":
                yield (
                    f"step_size: 'auto': is for the step rule 'variance'; expected a number with "
                    f"{self.step_rule!r}"
                )
            if len(known_sigmas(noise) or (0, 0)) < 2:
                yield "step_size: 'auto': needs two levels or more; expected a number"
            return
        smallest = smallest_sigma(noise)
        if self.step_rule == "variance" and self.step_size >= 2 * smallest**2:
            yield (
                f"step_size: {self.step_size:g}: diverges on the ladder that ends at "
                f"{smallest:g}; with the step rule 'variance', expected less than "
                f"2 sigma_min^2 = {2 * smallest**2:g}"
            )


class Consistent(Sampler):
    """Consistent annealed sampling (Jolicoeur-Martineau et al. 2020, Algorithm 2)."""

    target: ClassVar[str] = "scoresweep.samplers.consistent:consistent"
    schedule: ClassVar[str] = "scoresweep.samplers.consistent:schedule"
    name: Literal["consistent"]
    step_size: StepSize
    """Step size ε of x ← x + ε σ_i²/σ_L² s + (what makes the noise σ_{i+1}) z; with γ the least
    σ_{i+1}/σ_i, between σ_L²(1 − γ) and σ_L²(1 + γ)."""
    steps_per_level: int = Field(1, ge=1)
    """Steps from each level to the next: the ladder is refined so many times by equal factors."""

    @property
    def between_levels(self) -> bool:
        """More steps than one go through levels between those of the ladder."""
        return self.steps_per_level > 1

    def score_calls(self, levels: int) -> int:
        """Return one for each level of the refined ladder, and one for the denoising step."""
        return (levels - 1) * self.steps_per_level + 1 + self.denoise

    def mistakes(self, noise: Component) -> Iterable[str]:
        """Outside its range the noise to add would have a negative variance."""
        sigmas, smallest = known_sigmas(noise), smallest_sigma(noise)
        ratios = [low / high for high, low in pairwise(sigmas or [])]
        if sigmas is None:
            low, high = 0.0, 2 * smallest**2
        else:
            gamma = min(ratios, default=1.0) ** (1 / self.steps_per_level)
            low, high = smallest**2 * (1 - gamma), smallest**2 * (1 + gamma)
        if not low < self.step_size < high:
            yield (
                f"step_size: {self.step_size:g}: is not valid for consistent sampling on the "
                f"ladder that ends at {smallest:g}; expected more than sigma_min^2 (1 - gamma) = "
                f"{low:.4g} and less than sigma_min^2 (1 + gamma) = {high:.4g}"
            )


class Langevin(Sampler):
    """Langevin dynamics at one level, the ladder's last."""

    target: ClassVar[str] = "scoresweep.samplers.langevin:langevin"
    schedule: ClassVar[str] = "scoresweep.samplers.langevin:schedule"
    name: Literal["langevin"]
    steps: int = Field(ge=1)
    """Steps."""
    step_size: StepSize | None = None
    """Step size η of x ← x + η s + √(2η) z; null: `drift` and `noise_scale` are given instead."""
    drift: StepSize | None = None
    """d of x ← x + d s + c z."""
    noise_scale: float | None = Field(None, ge=0)
    """c of x ← x + d s + c z."""
    tanh: bool = False
    """At the very end, (1 + tanh(2x − 1))/2: tanh where data lies in [−1, 1]."""

    @model_validator(mode="after")
    def _one_form(self) -> Langevin:
        apart = (self.drift is not None, self.noise_scale is not None)
        if apart != ((self.step_size is None),) * 2:
            raise ValueError("either step_size, or both drift and noise_scale")
        return self

    @property
    def is_langevin(self) -> bool:
        """Drift and noise that are set apart are not bound to each other so."""
        return self.step_size is not None

    def score_calls(self, levels: int) -> int:  # noqa: ARG002 - it walks at one of them
        """Return one for each step, and one for the denoising step."""
        return self.steps + self.denoise

    def mistakes(self, noise: Component) -> Iterable[str]:
        """A drift beyond 2σ_L² diverges wherever the data is narrower than the noise."""
        limit = 2 * smallest_sigma(noise) ** 2
        for name, value in (("step_size", self.step_size), ("drift", self.drift)):
            if value is not None and value >= limit:
                yield (
                    f"{name}: {value:g}: diverges at the level {smallest_sigma(noise):g}; expected "
                    f"less than 2 sigma_min^2 = {limit:g}"
                )


class DenoiseRenoise(Sampler):
    """x ← Denoise(x; σ_i²) + √c σ_i z, level by level."""

    target: ClassVar[str] = "scoresweep.samplers.denoise_renoise:denoise_renoise"
    schedule: ClassVar[str] = "scoresweep.samplers.denoise_renoise:schedule"
    name: Literal["denoise_renoise"]
    steps_per_level: int = Field(1, ge=1)
    """Steps at each level."""
    added_variance: float = Field(2.0, ge=0)
    """Variance c of the noise that is added, in units of σ_i²; 2 is Langevin dynamics."""

    @property
    def is_langevin(self) -> bool:
        """With twice the variance that is taken away it is, η_i = σ_i²."""
        return self.added_variance == 2

    def score_calls(self, levels: int) -> int:
        """Return one for each step, and one for the denoising step."""
        return levels * self.steps_per_level + self.denoise


class PredictorCorrector(Sampler):
    """Predictor-corrector sampling of the variance-exploding SDE (Song et al. 2021)."""

    target: ClassVar[str] = "scoresweep.samplers.predictor_corrector:predictor_corrector"
    schedule: ClassVar[str] = "scoresweep.samplers.predictor_corrector:schedule"
    name: Literal["predictor_corrector"]
    predictor: Literal["reverse_diffusion", "ancestral"] = "reverse_diffusion"
    """The step from a level to the next."""
    corrector_steps: int = Field(1, ge=0)
    """Langevin steps at each level before it."""
    snr: float = Field(0.16, gt=0)
    """Signal-to-noise ratio r of those."""

    def score_calls(self, levels: int) -> int:
        """Return one for each step of the corrector and the predictor; the last one denoises."""
        return levels * (self.corrector_steps + 1)


class ProbabilityFlow(Sampler):
    """The probability-flow ODE of the variance-exploding SDE (Song et al. 2021)."""

    target: ClassVar[str] = "scoresweep.samplers.probability_flow:probability_flow"
    schedule: ClassVar[str] = "scoresweep.samplers.probability_flow:schedule"
    name: Literal["probability_flow"]
    solver: Literal["heun", "euler"] = "heun"
    """How a step from a level to the next is taken."""

    def score_calls(self, levels: int) -> int:
        """Return one for each level, and for Heun's method one more for each step."""
        return levels if self.solver == "euler" else 2 * levels - 1


class Metropolis(Sampler):
    """The Metropolis algorithm at one level, the ladder's last, for targets with an energy."""

    target: ClassVar[str] = "scoresweep.samplers.metropolis:metropolis"
    schedule: ClassVar[str] = "scoresweep.samplers.metropolis:schedule"
    needs_energy: ClassVar[bool] = True
    name: Literal["metropolis"]
    step_size: StepSize
    """η of the proposal x + √(2η) z, or x + η s + √(2η) z."""
    steps: int = Field(ge=1)
    """Proposals."""
    proposal: Literal["random_walk", "langevin"] = "random_walk"
    """Whether a proposal follows the score (the Metropolis-adjusted Langevin algorithm)."""

    def score_calls(self, levels: int) -> int:  # noqa: ARG002 - it walks at one of them
        """Return one for each energy and each score."""
        return (self.steps + 1) * (2 if self.proposal == "langevin" else 1) + 1


AnySampler = Annotated[
    AnnealedLangevin
    | Consistent
    | Langevin
    | DenoiseRenoise
    | PredictorCorrector
    | ProbabilityFlow
    | Metropolis,
    Field(discriminator="name"),
]

ENERGY_NETWORKS = frozenset({"oracle"})
"""Networks that know the log density of the data, too."""


class Inpainting(Config):
    """Draw the hidden part of test samples of which the rest is given (NCSN, Algorithm 2)."""

    name: Literal["inpainting"]
    mask: Literal["right_half", "lower_half", "centre"]
    """The hidden part: of points "right_half" is the later half of the coordinates; "centre" has
    half the height and width of an image."""


class Interpolation(Config):
    """Rows of samples that turn smoothly from one into another (NCSNv2, appendix)."""

    name: Literal["interpolation"]
    steps: int = Field(8, ge=2)
    """Samples of a row."""


AnyTask = Annotated[Inpainting | Interpolation, Field(discriminator="name")]

# ── Metrics and feature extractors: tables of "module:attribute" ─────────────────────────────────

METRICS: dict[str, str] = {
    "frechet": "scoresweep.metrics.frechet:frechet",
    "kid": "scoresweep.metrics.kernel:kid",
    "mmd": "scoresweep.metrics.mmd:mmd",
    "energy_distance": "scoresweep.metrics.energy:energy",
    "sliced_wasserstein": "scoresweep.metrics.sliced_wasserstein:sliced_wasserstein",
    "prdc": "scoresweep.metrics.neighbours:prdc",
    "nearest": "scoresweep.metrics.neighbours:nearest",
    "classes": "scoresweep.metrics.classes:classes",
    "modes": "scoresweep.metrics.modes:modes",
    "shapes": "scoresweep.metrics.shapes:shapes",
}
"""Metrics of sample quality; `score_error` is measured once for a run and is not among them."""

EXTRACTORS: dict[str, str] = {
    "pixels": "scoresweep.metrics.extractors.pixels:Pixels",
    "classifier": "scoresweep.metrics.extractors.classifier:Classifier",
}
"""Feature extractors; a metric `frechet` on the extractor `pixels` is called `frechet_pixels`."""

DATASET_METRICS: dict[str, str] = {"modes": "gaussian_mixture", "shapes": "shapes"}
"""Metrics that one dataset alone can have; they look at the samples, through no extractor."""

CLASS_METRICS = frozenset({"classes"})
"""Metrics that need the class probabilities of an extractor."""

CLASS_EXTRACTORS = frozenset({"classifier"})
"""Extractors that give class probabilities."""


def _one_of(*names: str) -> Any:
    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"one of {', '.join(names)}.{did_you_mean(value, names)}")
        return value

    return Annotated[
        str, AfterValidator(check), WithJsonSchema({"enum": list(names), "type": "string"})
    ]


MetricName = _one_of("score_error", *METRICS)
ExtractorName = _one_of(*EXTRACTORS)
