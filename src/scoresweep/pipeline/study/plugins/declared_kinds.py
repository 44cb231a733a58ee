"""Base classes of the options of methods that plugins declare, by kind."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.methods.datasets import Dataset, Size
from scoresweep.pipeline.study.methods.metrics import ExtractorMethod, MetricMethod
from scoresweep.pipeline.study.methods.networks import Network
from scoresweep.pipeline.study.methods.noise import NoiseLadder
from scoresweep.pipeline.study.methods.objectives import Objective
from scoresweep.pipeline.study.methods.samplers import Sampler
from scoresweep.pipeline.study.plugins.plugin_files import describe_failure

__all__ = [
    "DeclaredDataset",
    "DeclaredExtractor",
    "DeclaredLadder",
    "DeclaredMetric",
    "DeclaredNetwork",
    "DeclaredObjective",
    "DeclaredSampler",
]


def call_hook(hook: Callable[..., Any], *given: Any, **options: Any) -> Any:
    """Call a hook with the options that it takes."""
    parameters = inspect.signature(hook).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    return hook(*given, **{k: v for k, v in options.items() if takes_all or k in parameters})


class DeclaredSampler(Sampler):
    """Base class of samplers of plugins."""

    hooks: ClassVar[Mapping[str, Any]]
    accepted: ClassVar[frozenset[str]]
    """Names of the arguments of the function."""

    @property
    def is_denoised_by_pipeline(self) -> bool:
        """Whether the pipeline does the final step after the function."""
        return "denoise" not in self.accepted and bool(getattr(self, "denoise", False))

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments for the function."""
        return {k: v for k, v in super().arguments().items() if k in self.accepted}

    @property
    def is_langevin(self) -> bool:
        """As declared."""
        return bool(self.hooks["is_langevin"])

    def num_score_evaluations(self, levels: int) -> int | None:
        """Return what the hook says; None if it is not declared."""
        hook = self.hooks["num_score_evaluations"]
        if hook is None:
            return None
        try:
            return int(call_hook(hook, levels, **self.arguments())) + self.is_denoised_by_pipeline
        except (Exception, SystemExit) as error:  # noqa: BLE001 - code of the user
            raise self._hook_error("num_score_evaluations", error) from None

    def check(self, sigmas: Sequence[float]) -> None:
        """Call the hook, which raises ValueError if the options do not fit the ladder."""
        hook = self.hooks["check"]
        if hook is None or not all(map(math.isfinite, sigmas)):
            return
        try:
            call_hook(hook, [*sigmas], **self.arguments())
        except (Exception, SystemExit) as error:
            is_about_option = str(error).partition(":")[0] in type(self).model_fields
            if isinstance(error, ValueError) and is_about_option:
                raise
            raise self._hook_error("check", error) from None

    def load_step_sizes(self) -> Callable[..., Any]:
        """Return the hook `level_step_sizes`, or else a function that returns NaN."""
        return self._step_sizes

    def _step_sizes(self, sigmas: Any, **options: Any) -> Any:
        import torch

        self.check(sigmas.tolist())
        hook = self.hooks["level_step_sizes"]
        if hook is None:
            return torch.full_like(sigmas, math.nan)
        try:
            found = torch.as_tensor(call_hook(hook, sigmas, **options), dtype=torch.float64)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - code of the user
            raise self._hook_error("level_step_sizes", error) from None
        if found.shape != sigmas.shape:
            raise InputError(
                f"{self.origin}: level_step_sizes: returned {tuple(found.shape)}, expected one "
                f"step size for each level, {tuple(sigmas.shape)}"
            )
        return found

    def _hook_error(self, hook: str, error: BaseException) -> InputError:
        assert self.origin is not None
        return InputError(describe_failure(error, self.origin, hook))


class DeclaredNetwork(Network):
    """Base class of networks of plugins."""

    accepted: ClassVar[frozenset[str]]
    """Names of the arguments of the class or function."""


KNOWN: dict[tuple[type, str], list[float]] = {}
"""Levels of ladders that do not depend on data, by class and options: planning asks often."""


class DeclaredLadder(NoiseLadder):
    """Base class of noise ladders of plugins."""

    accepted: ClassVar[frozenset[str]]

    @property
    def depends_on_data(self) -> bool:
        """Whether the function is given training samples."""
        return "points" in self.accepted

    def levels_for(self, **points: Any) -> list[float]:
        """Return σ_1 … σ_L; raise `InputError` unless they fall, are positive and fixed."""
        assert self.origin is not None
        try:
            sigmas, again = (
                [float(sigma) for sigma in self.load()(**points, **self.arguments())]
                for _ in range(2)
            )
        except (Exception, SystemExit) as error:  # noqa: BLE001 - code of the user
            raise InputError(describe_failure(error, self.origin)) from None
        pairs = zip(sigmas, [*sigmas[1:], 0.0], strict=True)
        if not sigmas or not math.isfinite(sigmas[0]) or not all(a > b for a, b in pairs):
            raise InputError(
                f"{self.origin}: returned {sigmas}; expected positive noise levels that fall from "
                f"each to the next"
            )
        if again != sigmas:
            raise InputError(
                f"{self.origin}: returned {sigmas} and then {again}; expected the same "
                f"noise levels each time, without random numbers"
            )
        return sigmas

    def known_sigmas(self) -> list[float]:
        """Return σ_1 … σ_L, or infinity if they depend on the data."""
        if self.depends_on_data:
            return [math.inf]
        key = type(self), self.model_dump_json()
        if key not in KNOWN:
            KNOWN[key] = self.levels_for()
        return [*KNOWN[key]]


class DeclaredObjective(Objective):
    """Base class of objectives of plugins."""

    accepted: ClassVar[frozenset[str]]


class DeclaredDataset(Dataset):
    """Base class of datasets of plugins."""

    hooks: ClassVar[Mapping[str, Any]]

    @property
    def known_size(self) -> Size | None:
        """The declared shape and number of samples; None if only staging can tell."""
        shape, count = self.hooks["shape"], self.hooks["count"]
        return (tuple(shape), count) if shape and count else None


class DeclaredMetric(MetricMethod):
    """Base class of metrics of plugins."""

    hooks: ClassVar[Mapping[str, Any]]
    accepted: ClassVar[frozenset[str]]


class DeclaredExtractor(ExtractorMethod):
    """Base class of feature extractors of plugins."""

    hooks: ClassVar[Mapping[str, Any]]
    accepted: ClassVar[frozenset[str]]
