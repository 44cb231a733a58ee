"""The feature extractor of a plugin, in the form of those of this package."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from scoresweep.metrics.extractors.extractor import Extractor
from scoresweep.metrics.features import Features
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredExtractor
from scoresweep.pipeline.study.plugins.plugin_failures import named_failures
from scoresweep.pipeline.study.plugins.plugin_files import describe_failure
from scoresweep.pipeline.system.random_state import seeded_globally

__all__ = ["PluginExtractor", "make_plugin_extractor", "num_features"]

SEED = 0
"""Seed of global random numbers, of the weights of a module among them."""

TRIAL = 4
"""Number of samples of the trial run of a new extractor."""

TOLERANCE = 1e-3
"""Difference of features in a trial run, relative to the largest, that is not rounding."""


class PluginExtractor(Extractor):
    """An extractor that calls the function or the module of a plugin, and checks what it does."""

    resize = "unknown"

    def __init__(self, method: DeclaredExtractor, shape: tuple[int, ...]) -> None:
        """Create it for samples of `shape`, (C, H, W) or (D,).

        Raises `InputError` if the plugin's code fails, or its class is not one of modules.
        """
        super().__init__(shape, 0)
        assert method.origin is not None
        self.origin, declaration = method.origin, method.origin.declaration
        self.name, self.batch_size = declaration.name, declaration.hooks["batch_size"]
        options = {"shape": shape} if "shape" in method.accepted else {}
        compute = functools.partial(method.load(), **options, **method.arguments())
        is_class = isinstance(declaration.target, type)
        self.compute: Callable[..., Any] = self._build(compute) if is_class else compute

    def _build(self, create: Callable[[], Any]) -> nn.Module:
        try:
            with seeded_globally(SEED):
                module = create()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - code of the user
            raise InputError(describe_failure(error, self.origin)) from None
        if not isinstance(module, nn.Module):
            raise InputError(
                f"{self.origin}: is not a torch.nn.Module; expected one, or a function"
            )
        return module.requires_grad_(requires_grad=False)

    def forward(self, samples: Tensor) -> Features:
        """Return the features of `samples` (N, ...).

        Raises `RunError` if the plugin's code fails, changes `samples`, or returns no features.
        """
        given = samples.clone()
        with seeded_globally(SEED, samples.device), named_failures(self.origin):
            values = self.compute(given)
        if not given.equal(samples):
            raise RunError(
                f"{self.origin}: changed its argument 'x'; expected it to work on a copy: "
                f"x = x.clone()"
            )
        is_tensor = isinstance(values, Tensor)
        if not is_tensor or values.ndim != 2 or len(values) != len(samples) or not values.numel():
            found = tuple(values.shape) if is_tensor else type(values).__name__
            raise RunError(
                f"{self.origin}: returned {found} for {len(samples)} samples of shape "
                f"{tuple(samples.shape[1:])}; expected a tensor of features (N, F), "
                f"({len(samples)}, F)"
            )
        is_exact = values.dtype in (torch.float32, torch.float64)
        return Features(values.detach() if is_exact else values.detach().float())


def num_features(method: DeclaredExtractor, shape: tuple[int, ...]) -> int:
    """Return the number of features of a sample of `shape`, in a trial run."""
    samples = torch.rand(TRIAL, *shape, generator=torch.Generator().manual_seed(SEED))
    return _try(PluginExtractor(method, shape).eval(), samples)


def make_plugin_extractor(method: DeclaredExtractor, split: Split) -> PluginExtractor:
    """Build an extractor and try it on a few samples of `split`.

    Raises `InputError` if it cannot be built, does not return features, or those of a sample depend
    on the other samples.
    """
    samples = replace(split, values=split.values[:TRIAL], labels=None).model_space()
    model = PluginExtractor(method, split.shape).eval()
    _try(model, samples)
    return model


@torch.no_grad()
def _try(model: PluginExtractor, samples: Tensor) -> int:
    """Return the number of features of a sample; `samples` (N, ...) are a few.

    Raises `InputError` if it fails, or features depend on other samples.
    """
    others = samples.clone()
    others[1:] = 0.0
    try:
        first, second = (model(x).values for x in (samples, others))
    except RunError as error:
        raise InputError(str(error)) from None
    if float((first - second)[0].abs().max()) > TOLERANCE * float(first.abs().max()):
        raise InputError(
            f"{model.origin}: the features of a sample depend on the other samples of its batch "
            f"or on earlier calls; expected the same features whatever the others are"
        )
    return int(first.shape[1])
