"""The typed schema of a study file, with units and defaults."""

from __future__ import annotations

import itertools
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from scoresweep.pipeline.study.config import NO_EFFECT, Config, MethodConfig
from scoresweep.pipeline.study.methods.dataset_base import PathField
from scoresweep.pipeline.study.methods.datasets import LONGEST_NAME, AnyDataset
from scoresweep.pipeline.study.methods.method_names import ExtractorName, MetricName
from scoresweep.pipeline.study.methods.metrics import (
    NETWORK_METRICS,
    ExtractorFacts,
    MetricFacts,
    find_extractor,
    find_metric,
)
from scoresweep.pipeline.study.methods.networks import AnyNetwork
from scoresweep.pipeline.study.methods.noise import AnyNoise
from scoresweep.pipeline.study.methods.objectives import DSM, AnyObjective
from scoresweep.pipeline.study.methods.samplers import AnySampler
from scoresweep.pipeline.study.methods.sigma_laws import AnySigmaLaw
from scoresweep.pipeline.study.methods.tasks import AnyTask
from scoresweep.pipeline.study.published import Published

__all__ = [
    "NETWORK_OPTIONS",
    "BestStep",
    "Checkpoints",
    "Evaluate",
    "EvaluateBlock",
    "Halving",
    "Keep",
    "Logging",
    "Optimizer",
    "Sample",
    "SampleBlock",
    "Study",
    "Sweep",
    "Train",
    "TrainBlock",
    "as_list",
]


Decay = Annotated[float, Field(ge=0, lt=1)]
"""Decay per step of an average of the weights."""


class Optimizer(Config):
    """Adam (Kingma and Ba 2015), optionally with decoupled weight decay (AdamW)."""

    learning_rate: float = Field(1e-3, gt=0)
    """Learning rate after warm-up."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate schedule after warm-up; "cosine" decays to zero at the last step."""
    warmup: int = Field(0, ge=0)
    """Warm-up steps, over which the learning rate rises linearly from zero."""
    beta1: float = Field(0.9, ge=0, lt=1)
    """Decay rate of the running mean of the gradient."""
    beta2: float = Field(0.999, ge=0, lt=1)
    """Decay rate of the running mean of the squared gradient."""
    eps: float = Field(1e-8, gt=0)
    """Term added to the denominator for numerical stability."""
    weight_decay: float = Field(0.0, ge=0)
    """Decoupled weight decay, relative to the learning rate; 0: plain Adam."""


class Checkpoints(Config):
    """When checkpoints are saved, from which an interrupted run resumes."""

    steps: int = Field(1000, ge=1)
    """Steps between checkpoints."""
    minutes: float = Field(10.0, gt=0)
    """Maximum minutes between checkpoints."""
    keep: int = Field(2, ge=1)
    """Number of recent checkpoints to keep."""


class Keep(Config):
    """Which averaged weights are kept during training, for `sample.training_step`."""

    every: int = Field(ge=1)
    """Steps between averaged weights that are kept; those after the last step are kept anyway."""


class Logging(Config):
    """How often TensorBoard is written."""

    scalars: int = Field(50, ge=1)
    """Steps between points of a curve; each point is the mean over these steps."""
    images: int = Field(1000, ge=1)
    """Steps between image grids of samples drawn with the EMA weights."""
    image_count: int = Field(16, ge=0)
    """Samples per image grid; 0: no image grids."""
    weights: int | None = Field(None, ge=1)
    """Steps between copies of the EMA weights saved to `history/`, starting before the first step,
    to show how the fit develops; null: none."""


class Train(Config):
    """How a network is trained."""

    network: AnyNetwork
    """The score network."""
    objective: AnyObjective = DSM(name="dsm")
    """The training objective."""
    noise: AnyNoise
    """The noise ladder."""
    noise_sampling: AnySigmaLaw | None = None
    """Law of the noise level in training; null: uniform over the levels of the ladder. Curves then
    show each loss at the nearest level of the ladder."""
    optimizer: Optimizer = Optimizer()
    """The optimiser."""
    steps: int = Field(ge=1)
    """Training steps; ignored by the network `oracle`, which is not trained."""
    batch_size: int = Field(128, ge=1)
    """Samples per training step, summed over all processes."""
    gradient_accumulation: int = Field(1, ge=1)
    """Number of parts that each process splits its share of a batch into, to save memory."""
    gradient_clip: float | None = Field(None, gt=0)
    """Maximum norm of the gradient; null: no clipping."""
    ema: Decay | list[Decay] = 0.999
    """Decay per step of the exponential moving average (EMA) of the weights, which is used for
    sampling; 0: no averaging. A list keeps the averages of several decays of one training side by
    side; the first is used unless `sample.ema` names another."""
    flip: bool = False
    """Flip each training image horizontally with probability 1/2."""
    precision: Literal["no", "fp16", "bf16"] = "no"
    """Mixed precision of the network; "no": float32."""
    compile: bool = False
    """Compile the network with `torch.compile`: about a minute at the start, for possibly faster
    steps (docs/performance.md). Falls back to the uncompiled network if compilation fails. Results
    differ by rounding."""
    seed: int = Field(0, ge=0)
    """Seed of the initial weights, the data order, the noise and the noise levels."""
    keep: Keep | None = Field(None, json_schema_extra=NO_EFFECT)
    """Averaged weights to keep during training, for `sample.training_step`; null: only those after
    the last step. It does not change what is trained."""
    checkpoint: Checkpoints = Field(Checkpoints(), json_schema_extra=NO_EFFECT)
    """When checkpoints are saved."""
    log: Logging = Field(Logging(), json_schema_extra=NO_EFFECT)
    """How often TensorBoard is written."""

    @field_validator("ema")
    @classmethod
    def _distinct(cls, value: float | list[float]) -> float | list[float]:
        if not isinstance(value, list):
            return value
        if not value or len(set(value)) < len(value):
            raise ValueError("one decay or several, each once")
        return value[0] if len(value) == 1 else value

    @property
    def decays(self) -> list[float]:
        """The decays of the averages of the weights; the first is used by default."""
        return self.ema if isinstance(self.ema, list) else [self.ema]

    @property
    def kept_steps(self) -> list[int]:
        """The steps after which averaged weights are kept, ascending; the last one included."""
        every = self.keep.every if self.keep else self.steps
        return [*range(every, self.steps, every), self.steps]


class BestStep(Config):
    """How `training_step: best` is chosen: every kept step is measured with a few samples.

    They are drawn with other random numbers than the samples of the setting, so that the value
    of the chosen step is not better by chance.
    """

    measure: str
    """Value that ranks the steps, such as `fid` or `frechet_classifier`."""
    count: int = Field(ge=2)
    """Number of samples of each step."""


class Sample(Config):
    """How samples are drawn from a trained network."""

    sampler: AnySampler
    """The sampler."""
    noise: AnyNoise | None = None
    """Noise ladder to sample with; null: the ladder that the network was trained on."""
    training_step: Annotated[int, Field(ge=1)] | Literal["best"] | None = None
    """Training step after which the averaged weights are used, one that `train.keep` keeps; "best":
    that of the best value of `best_step`; null: the last step. The exact score (`oracle`) has no
    steps."""
    best_step: BestStep | None = None
    """How `training_step: best` is chosen; unused for other values."""
    ema: Decay | None = None
    """Decay of the averaged weights that are used, one of `train.ema`; null: the first of them."""
    initial: Literal["uniform", "normal", "data_plus_noise"] = "uniform"
    """Initial distribution: "uniform": U[0, 1]; "normal": N(0, σ_1²); "data_plus_noise": training
    samples plus N(0, σ_1²)."""
    task: AnyTask | None = None
    """In-painting or interpolation; null: unconditional samples."""
    count: int = Field(1000, ge=2)
    """Number of samples to draw."""
    chunk: int = Field(250, ge=1)
    """Samples drawn together. Each chunk has its own random numbers, so that results do not depend
    on how chunks are distributed over processes. The last chunk is drawn in full, then
    truncated."""
    precision: Literal["no", "bf16"] = "no"
    """Mixed precision of the network; "no": float32."""
    compile: bool = False
    """Compile the network with `torch.compile`: about a minute at the start, for possibly faster
    steps (docs/performance.md). Falls back to the uncompiled network if compilation fails. Results
    differ by rounding."""
    trajectories: int = Field(0, ge=0)
    """Number of samples whose state after each level is saved."""
    seed: int | None = Field(None, ge=0)
    """Seed of the samples; null: the seed of the run, so that repeated runs are independent."""


class Evaluate(Config):
    """What is measured, and how."""

    metrics: list[MetricName] = Field(["score_error", "frechet", "kid", "prdc"], min_length=1)
    """Metrics to compute."""
    extractors: list[ExtractorName] = Field(["classifier"], min_length=1)
    """Feature extractors for the metrics of sample quality."""
    real_count: int | None = Field(None, ge=2)
    """Number of real training samples to compare with, a random subset, and maximum number of test
    samples; null: all. Cannot be swept. Copies of training samples outside the subset are not
    detected."""
    real_statistics: PathField | None = None
    """`.npz` file, relative to the working directory, with the mean `mu` (D,) and the covariance
    `sigma` (D, D) of real features, such as published ones; null: those of the real samples. Only
    the metrics `frechet` and `frechet_infinity` use it."""
    score_error_samples: int = Field(512, ge=2)
    """Noisy points per level and split at which the score error is measured."""
    density_bins: int = Field(0, ge=0)
    """Number of density quantile bins for the score error. For datasets of points, the error is
    also measured at points spread evenly over a box of twice the data's width. 0: not measured."""
    asymmetry_probes: int = Field(0, ge=0)
    """Random vectors per noisy point used to measure the asymmetry of the network's Jacobian, which
    is zero for an exact score; 0: not measured."""
    likelihood_samples: int = Field(256, ge=2)
    """Samples of each split whose likelihood is computed for `bits_per_dimension`."""
    likelihood_steps: int = Field(100, ge=1)
    """Steps of the probability-flow ODE for `bits_per_dimension`, from the smallest noise level to
    the largest; each computes the score and its trace four times."""
    likelihood_probes: int | None = Field(None, ge=0)
    """Random vectors per sample that estimate the trace of the score's Jacobian; 0: the exact
    trace, one backward pass for each dimension; null: 0 for up to 16 dimensions, otherwise 1."""
    neighbours: int = Field(5, ge=1)
    """Number k of nearest neighbours for precision, recall, density and coverage."""
    kid_subsets: int = Field(100, ge=1)
    """Number of random subsets over which the kernel distance is averaged."""
    kid_subset_size: int = Field(250, ge=2)
    """Samples per subset of the kernel distance, at most all."""
    inception_score_splits: int = Field(10, ge=1)
    """Number of random splits of the samples over which the Inception Score is averaged; 1: the
    score of all samples."""
    resamplings: int = Field(50, ge=0)
    """Number of random halves of the samples used for 95 % intervals, at least 2; 0: no
    intervals."""
    seed: int = Field(0, ge=0)
    """Seed of subsets, noisy points, random vectors and resamplings."""
    keep_features: bool = Field(True, json_schema_extra=NO_EFFECT)
    """Keep the features of generated samples in `results/STUDY/features/`, so that further metrics,
    other options and more samples need not extract them again; `scoresweep plan` shows their
    size."""

    @property
    def measures_score_error(self) -> bool:
        """Whether the score error is among the metrics."""
        return "score_error" in self.metrics

    @property
    def sample_metrics(self) -> list[MetricFacts]:
        """The metrics of sample quality, each once."""
        of_networks = [*NETWORK_METRICS]
        found = [find_metric(metric) for metric in self.metrics if metric not in of_networks]
        return list({metric.key: metric for metric in found}.values())

    @property
    def feature_extractors(self) -> list[ExtractorFacts]:
        """The extractors, each once."""
        found = [find_extractor(extractor) for extractor in self.extractors]
        return list({extractor.key: extractor for extractor in found}.values())

    @field_validator("resamplings")
    @classmethod
    def _scatter(cls, value: int) -> int:
        if value == 1:
            raise ValueError("0 or at least 2")
        return value

    @model_validator(mode="after")
    def _bins(self) -> Self:
        if 2 * self.density_bins > self.score_error_samples:
            raise ValueError(
                f"score_error_samples of at least 2 density_bins = {2 * self.density_bins}, "
                f"found {self.score_error_samples}"
            )
        return self


NETWORK_OPTIONS: dict[str, tuple[str, ...]] = {
    "score_error": ("score_error_samples", "density_bins", "asymmetry_probes"),
    "bits_per_dimension": ("likelihood_samples", "likelihood_steps", "likelihood_probes"),
}
"""Options of `Evaluate` that affect one network metric only, not sample metrics."""


class Sweep(Config):
    """The sweep of a block; keys are dotted paths relative to the block."""

    grid: dict[str, list[Any]] = Field(default_factory=dict)
    """Values of each path; every combination is run."""
    zip: list[dict[str, list[Any]]] = Field(default_factory=list)
    """Groups of paths whose values advance together; each group is one factor of the product."""
    include: list[dict[str, Any]] = Field(default_factory=list)
    """Additional points, each given by the values that differ from the block."""
    exclude: list[dict[str, Any]] = Field(default_factory=list)
    """Points to omit: those that have all the values of an entry."""


class TrainBlock(Train, Sweep):
    """The `train` block: how networks are trained, and its sweep."""


class Halving(Config):
    """Successive halving: draw more samples of the best settings only.

    Every setting is drawn and measured at the first count; the best go on to the next one.
    """

    measure: str
    """Value that ranks the settings, such as `fid` or `frechet_classifier`."""
    counts: list[Annotated[int, Field(ge=2)]] = Field(min_length=1)
    """Rising numbers of samples, below `sample.count`, after each of which settings are dropped.
    Multiples of `sample.chunk` avoid drawing a chunk twice."""
    keep: float = Field(gt=0, lt=1)
    """Share of the settings that go on, rounded up. Settings that differ in a seed only go on
    together."""
    over: Literal["run", "study"] = "run"
    """Which settings compete: "run": those of each run; "study": those of all runs on a dataset."""

    @field_validator("counts")
    @classmethod
    def _rising(cls, value: list[int]) -> list[int]:
        if any(a >= b for a, b in itertools.pairwise(value)):
            raise ValueError("rising numbers")
        return value


class SampleBlock(Sample, Sweep):
    """The `sample` block: how samples are drawn, and its sweep."""

    halving: Halving | None = Field(None, json_schema_extra=NO_EFFECT)
    """Successive halving over the settings; null: every setting is drawn in full."""


class EvaluateBlock(Evaluate, Sweep):
    """The `evaluate` block: what is measured, and its sweep."""

    @model_validator(mode="after")
    def _one_reference(self) -> Self:
        points = [self.grid, *self.zip, *self.include, *self.exclude]
        if any("real_count" in point for point in points):
            raise ValueError(
                "a single real_count, which cannot be swept: the features of real samples are "
                "computed once for the study"
            )
        return self


def as_list(value: Any) -> Any:
    """Return `value` in a list, unless it is one."""
    return value if isinstance(value, list) else [value]


class Study(Config):
    """A study: datasets, training runs, sampler settings and metrics."""

    train_model: ClassVar[type[Train]] = Train
    """Type of a point of the training grid."""
    sample_model: ClassVar[type[Sample]] = Sample
    """Type of a point of the sampling grid."""
    evaluate_model: ClassVar[type[Evaluate]] = Evaluate
    """Type of a point of the evaluation grid."""
    methods: ClassVar[tuple[type[MethodConfig], ...]] = ()
    """Methods that it may use beside those that are built in."""

    study: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=LONGEST_NAME)
    """Name of the study, and of its folder in `results/`."""
    plugins: list[str] = Field(default_factory=list)
    """Python files with methods of your own, relative to the study file, or installed modules.
    They are code, which every command with this study runs."""
    dataset: Annotated[
        list[AnyDataset],
        BeforeValidator(as_list, json_schema_input_type=AnyDataset | list[AnyDataset]),
        Field(min_length=1),
    ]
    """The dataset, or a list of datasets to sweep over."""
    train: TrainBlock
    """How networks are trained."""
    sample: SampleBlock
    """How samples are drawn."""
    evaluate: EvaluateBlock = EvaluateBlock()
    """What is measured."""
    published: Annotated[
        list[Published],
        BeforeValidator(as_list, json_schema_input_type=Published | list[Published]),
        Field(default_factory=list, exclude_if=lambda value: not value),
    ]
    """Published values, or a list of them with what each is of, which the report sets beside those
    of the study. They affect nothing else."""
