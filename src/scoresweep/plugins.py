"""Declare your own methods in a Python file that a study names under `plugins:`.

    from scoresweep.plugins import sampler

    @sampler
    def heavy_ball(score, x, sigmas, *, step_size: float, momentum: float = 0.9, generator=None):
        ...

A decorator attaches a `Declaration` to a function or class and returns it unchanged, so that the
file stays an ordinary module. The annotated arguments that scoresweep does not pass itself are the
options of the method in a study; `Annotated[float, Field(gt=0, description="...")]` adds bounds
and a text, and so does a section "Args:" of the docstring.

`name` is the method's name in studies, by default that of the function or class. Ids of results
contain the SHA-256 of the plugin's file, or `version` if it is given: then editing the file
recomputes nothing until the version is changed.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

__all__ = [
    "KINDS",
    "Declaration",
    "Kind",
    "dataset",
    "declaration_of",
    "extractor",
    "metric",
    "network",
    "noise_ladder",
    "objective",
    "sampler",
]

Kind = Literal["dataset", "noise_ladder", "network", "objective", "sampler", "metric", "extractor"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Predicts = Literal["score", "noise", "denoised"]
"""What a network returns."""

Better = Literal["lower", "higher"]
"""Which values of a metric are better."""

ATTRIBUTE = "__scoresweep__"
"""Attribute of a function or class that holds its declaration."""

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Declaration:
    """A method that a plugin declares."""

    kind: Kind
    name: str
    target: Callable[..., Any]
    version: str | None = None
    """Stands for the content of the file in the ids of results; None: the SHA-256 of the file."""
    hooks: Mapping[str, Any] = field(default_factory=dict)
    """What else scoresweep should know, by the names of the decorator's arguments."""


def _is_size(value: Any) -> bool:
    return type(value) is int and value > 0


def _is_better(value: Any) -> bool:
    values = value.values() if isinstance(value, Mapping) else [value]
    return value is None or all(each in get_args(Better) for each in values)


def _is_shape(value: Any) -> bool:
    is_sequence = isinstance(value, Sequence) and len(value) in (1, 3)
    return value is None or (is_sequence and all(map(_is_size, value)))


def _is_limit(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and math.isfinite(value))


_FLAG = (lambda value: isinstance(value, bool), "True or False")
_FUNCTION = (lambda value: value is None or callable(value), "a function")
_TEXT = (lambda value: isinstance(value, str), "text")
_OPTIONAL_TEXT = (lambda value: value is None or isinstance(value, str), "text")
_LIMIT = (_is_limit, "a number")
_SIZE = (_is_size, "a positive whole number")

HOOKS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": _OPTIONAL_TEXT,
    "version": _OPTIONAL_TEXT,
    "denoise": _FLAG,
    "check": _FUNCTION,
    "num_score_evaluations": _FUNCTION,
    "level_step_sizes": _FUNCTION,
    "is_langevin": _FLAG,
    "predicts": (lambda value: value in get_args(Predicts), "'score', 'noise' or 'denoised'"),
    "needs_images": _FLAG,
    "smallest_side": _SIZE,
    "continuous_sigma": _FLAG,
    "shape": (_is_shape, "(C, H, W) or (D,)"),
    "count": (lambda value: value is None or _is_size(value), "a positive whole number"),
    "source": _TEXT,
    "licence": _TEXT,
    "on": (lambda value: value in ("samples", "features"), "'samples' or 'features'"),
    "better": (_is_better, "'lower', 'higher', or a dictionary {key: 'lower' or 'higher'}"),
    "unit": _TEXT,
    "long_name": _OPTIONAL_TEXT,
    "minimum": _LIMIT,
    "maximum": _LIMIT,
    "batch_size": _SIZE,
}
"""What the arguments of the decorators accept: a test, and a text for messages."""


def declaration_of(value: object) -> Declaration | None:
    """Return the declaration of a decorated function or class; None if it is not decorated.

    Other decorators, such as `@torch.no_grad()`, may be below or above that of scoresweep.
    """
    found = getattr(value, ATTRIBUTE, None)
    if not isinstance(found, Declaration) or not callable(value):
        return None
    is_own = inspect.unwrap(value) is inspect.unwrap(found.target)  # not that of a base class
    return found if is_own else None


def sampler(
    target: Any = None,
    /,
    *,
    name: str | None = None,
    version: str | None = None,
    denoise: bool = True,
    check: Callable[..., None] | None = None,
    num_score_evaluations: Callable[..., int] | None = None,
    level_step_sizes: Callable[..., Any] | None = None,
    is_langevin: bool = False,
) -> Any:
    """Declare a sampler `f(score, x, sigmas, *, OPTIONS, generator, observe)` → samples.

    `score(x, sigma)` is the score at `x` (N, ...) for noise levels `sigma` (N,), `x` are the
    starting points (N, ...), which must not be changed, and `sigmas` the ladder σ_1 > … > σ_L,
    (L,). The result has the shape of `x`. If the function takes them, it is also given `generator`,
    the source of all its random numbers, and `observe(level, x, score)`, to be called after each
    level, counted from 0, with the state and the last score, for diagnostics and trajectories.

    A function that takes `known`, `mask` and `noise`, each None by default, can do in-painting and
    interpolation. For in-painting, `mask` is bool, (...), and True where `known` (N, ...) is known;
    the final step `denoise` sets that part to `known`. For interpolation, `noise(z)` fills a
    contiguous tensor `z` (N, ...) with the noise of a step, and returns it.

    The hooks get the options of the study by keyword, as far as they take them.

    Args:
        target: the function, if the decorator is used without arguments.
        name: name in studies.
        version: see above.
        denoise: end with the step x + σ_L² s(x, σ_L), unless the study says `denoise: false`, as
            with built-in samplers. A function with an argument `denoise` does so itself. False:
            the result is final.
        check: `f(sigmas, OPTIONS)` raises ValueError, "option: value: reason", if the options do
            not fit the ladder `sigmas`, a list of numbers. Called when a study is planned if the
            levels are known, and before sampling.
        num_score_evaluations: `f(levels, OPTIONS)` → how often the score of a sample is computed on
            a ladder of `levels` levels, without the final step `denoise`. By default it is counted
            in a trial run of a few samples with the score −x/σ².
        level_step_sizes: `f(sigmas, OPTIONS)` → step size η of each level, (L,), which the report
            shows.
        is_langevin: whether a step is x + η s + √(2η) z, with η from `level_step_sizes`. Then the
            noise that is left in samples is measured.
    """
    if is_langevin and level_step_sizes is None:
        raise TypeError("@sampler: is_langevin=True: expected level_step_sizes=, which gives η")
    hooks = {
        "denoise": denoise,
        "check": check,
        "num_score_evaluations": num_score_evaluations,
        "level_step_sizes": level_step_sizes,
        "is_langevin": is_langevin,
    }
    return _declare("sampler", target, name, version, hooks)


def network(
    target: Any = None,
    /,
    *,
    name: str | None = None,
    version: str | None = None,
    predicts: Predicts = "score",
    needs_images: bool = False,
    smallest_side: int = 1,
    continuous_sigma: bool = True,
) -> Any:
    """Declare a network: a `torch.nn.Module` class, or a function that returns a module.

    The module is called with samples `x` (N, ...), images in [0, 1], and noise levels `sigma` (N,),
    and returns a tensor like `x`. Beside its options, the class or function is given `shape`, the
    shape of a sample, (C, H, W) or (D,), and `sigmas`, the ladder of training, (L,), if it takes
    them.

    Args:
        target: the class or function, if the decorator is used without arguments.
        name: name in studies.
        version: see above.
        predicts: what the module returns: the "score"; the "noise" z of x = x₀ + σz, so that the
            score is −z/σ; or the "denoised" x₀, so that the score is (x₀ − x)/σ².
        needs_images: whether it needs images, not points.
        smallest_side: minimum height and width of an image, in pixels.
        continuous_sigma: whether it also takes noise levels between those of `sigmas`.
    """
    hooks = {
        "predicts": predicts,
        "needs_images": needs_images,
        "smallest_side": smallest_side,
        "continuous_sigma": continuous_sigma,
    }
    return _declare("network", target, name, version, hooks)


def noise_ladder(
    target: Any = None, /, *, name: str | None = None, version: str | None = None
) -> Any:
    """Declare a noise ladder `f(*, OPTIONS)` → σ_1 > … > σ_L, positive numbers.

    It is called when a study is planned, to check samplers against its levels. If it takes
    `points`, it is given training samples (N, D), flattened, and called only where data are staged.

    Args:
        target: the function, if the decorator is used without arguments.
        name: name in studies.
        version: see above.
    """
    return _declare("noise_ladder", target, name, version, {})


def objective(target: Any = None, /, *, name: str | None = None, version: str | None = None) -> Any:
    """Declare a training objective `f(score, x, sigma, z, *, OPTIONS)` → losses (N,).

    `score(x, sigma)` is the network to train, `x` clean samples (N, ...), `sigma` the noise level
    of each, (N,), and `z` standard normal noise, as `x`; noisy samples are x + σz. If the function
    takes `v`, it is given random directions (K, N, ...), and `projections`, K, and `distribution`
    ("rademacher" or "normal") become options. Use no other random numbers, so that an interrupted
    run can be resumed exactly.

    Args:
        target: the function, if the decorator is used without arguments.
        name: name in studies.
        version: see above.
    """
    return _declare("objective", target, name, version, {})


def dataset(
    target: Any = None,
    /,
    *,
    name: str | None = None,
    version: str | None = None,
    shape: Sequence[int] | None = None,
    count: int | None = None,
    source: str = "",
    licence: str = "",
) -> Any:
    """Declare a dataset `f(*, OPTIONS)` → (train, test).

    Both are an array of samples, or a pair of samples and labels (N,): images (N, H, W, C) of uint8
    or of numbers in [0, 1], or points (N, D). They must be the same in each call. Files that the
    function reads are not watched: change `version` if they change.

    Args:
        target: the function, if the decorator is used without arguments.
        name: name in studies.
        version: counts for the ids beside the hash of the file, because studies share datasets.
        shape: shape of a sample, (C, H, W) or (D,), and
        count: number of all samples, with which a study can be checked before the data are staged.
        source: where the data come from, for the report.
        licence: their licence.
    """
    if (shape is None) != (count is None):
        raise TypeError("@dataset: expected both of shape and count, or neither")
    hooks = {"shape": shape, "count": count, "source": source, "licence": licence}
    return _declare("dataset", target, name, version, hooks)


def metric(
    target: Any = None,
    /,
    *,
    name: str | None = None,
    version: str | None = None,
    on: Literal["samples", "features"] = "samples",
    better: Better | Mapping[str, Better] | None = None,
    unit: str = "1",
    long_name: str | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    needs_images: bool = False,
) -> Any:
    """Declare a metric `f(real, generated, *, OPTIONS, generator)` → a number, or numbers by key.

    On samples, `real` (N, ...) are all training samples and `generated` (M, ...) those that were
    drawn, images in [0, 1] or points; the value is called NAME, or NAME_KEY if the function returns
    a dictionary. On features, they are (N, F) and (M, F), for each extractor of the study; the name
    ends in that of the extractor, as in NAME_classifier. If the function takes `generator`, it is
    given the source of its random numbers. It must not change `real` and `generated`.

    It is called again with real test samples and uniform noise in place of `generated`, and with
    random halves of the samples, for intervals (`evaluate.resamplings`).

    Args:
        target: the function, if the decorator is used without arguments.
        name: name in studies.
        version: see above.
        on: whether it compares "samples", or their "features".
        better: whether "lower" or "higher" values are better; settings are then ranked by it. For a
            function that returns a dictionary, {KEY: "lower"} for the numbers that rank settings.
        unit: unit of the values; "1": dimensionless.
        long_name: name in the report; by default that of the metric.
        minimum: smallest possible value, and
        maximum: largest possible value, to which intervals are limited.
        needs_images: whether it needs images, not points.
    """
    if minimum is not None and maximum is not None and not minimum < maximum:
        raise TypeError(f"@metric: minimum: {minimum!r}: expected less than maximum, {maximum!r}")
    hooks = {
        "on": on,
        "better": better,
        "unit": unit,
        "long_name": long_name,
        "minimum": minimum,
        "maximum": maximum,
        "needs_images": needs_images,
    }
    return _declare("metric", target, name, version, hooks)


def extractor(
    target: Any = None,
    /,
    *,
    name: str | None = None,
    version: str | None = None,
    needs_images: bool = False,
    smallest_side: int = 1,
    batch_size: int = 1024,
) -> Any:
    """Declare a feature extractor `f(x, *, OPTIONS)` → features (N, F) of samples `x` (N, ...).

    `x` are images in [0, 1] or points, and must not be changed. Or decorate a `torch.nn.Module`
    class that is built with its options and called with `x`; `shape`, the shape of a sample,
    (C, H, W) or (D,), is passed if the class or function takes it. Metrics of features then have
    values such as frechet_NAME. The features of a sample must not depend on other samples.

    Args:
        target: the function or class, if the decorator is used without arguments.
        name: name in studies.
        version: counts beside the hash of the file, because studies share the features of data.
        needs_images: whether it needs images, not points.
        smallest_side: minimum height and width of an image, in pixels.
        batch_size: number of samples of a call; the last batch is filled with zeros.
    """
    hooks = {
        "needs_images": needs_images,
        "smallest_side": smallest_side,
        "batch_size": batch_size,
    }
    return _declare("extractor", target, name, version, hooks)


def _declare(
    kind: Kind, target: Any, name: str | None, version: str | None, hooks: Mapping[str, Any]
) -> Any:
    """Attach a declaration to `target`, or return a decorator that does."""
    for hook, value in {"name": name, "version": version, **hooks}.items():
        is_valid, expected = HOOKS[hook]
        if not is_valid(value):
            raise TypeError(f"@{kind}: {hook}: {value!r}: expected {expected}")

    def attach(target: T) -> T:
        if not callable(target):
            raise TypeError(
                f"@{kind}: {target!r}: expected a function or a class (further arguments of the "
                f"decorator need their names, as in @{kind}(name=...))"
            )
        if other := declaration_of(target):
            raise TypeError(
                f"@{kind}: {target!r}: is already the {other.kind} {other.name!r}; expected one "
                f"decorator of scoresweep (for a second method, write a function that calls this)"
            )
        found = name or str(getattr(target, "__name__", ""))
        setattr(target, ATTRIBUTE, Declaration(kind, found, target, version, hooks))
        return target

    return attach if target is None else attach(target)
