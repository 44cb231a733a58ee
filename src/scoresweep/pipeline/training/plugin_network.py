"""A module that a plugin declares, as a score network."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.study.origin import Origin
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredNetwork
from scoresweep.pipeline.study.plugins.plugin_failures import named_failures
from scoresweep.pipeline.study.plugins.plugin_files import describe_failure
from scoresweep.pipeline.system.random_state import random_state, seeded_globally
from scoresweep.score import expand_sigma

__all__ = ["PluginNetwork", "make_plugin_network", "trial_inputs"]

TRIAL = 2
"""Number of samples of the trial run of a new network."""


class PluginNetwork(ScoreNetwork):
    """The score that a module predicts, with a check of its output.

    Args:
        shape: shape of one sample.
        sigmas: the ladder, (L,).
        module: what the plugin's class or function returned.
        origin: where that is.
        predicts: "score": the score s; "noise": z, so that s = −z/σ; "denoised": x₀, so that
            s = (x₀ − x)/σ².
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        sigmas: Tensor,
        module: nn.Module,
        origin: Origin,
        predicts: Literal["score", "noise", "denoised"] = "score",
    ) -> None:
        super().__init__(shape, sigmas)
        self.module = module
        self.origin = origin
        self.predicts = predicts

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the score at `x` (N, *shape) for the noise levels `sigma` (N,), as `x`.

        Raises `RunError` if the module fails, or its output has another shape.
        """
        output = self._predict(x, sigma)
        if self.predicts == "noise":
            return -output / expand_sigma(sigma, x)
        if self.predicts == "denoised":
            return (output - x) / expand_sigma(sigma, x).square()
        return output

    def _predict(self, x: Tensor, sigma: Tensor) -> Tensor:
        with named_failures(self.origin):
            output: Tensor = self.module(x, sigma)
        if not isinstance(output, Tensor) or output.shape != x.shape:
            found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise RunError(
                f"{self.origin}: returned {found} for samples of shape {tuple(x.shape)}; expected "
                f"a tensor of that shape"
            )
        return output.to(x.dtype)  # bfloat16 under autocast


def trial_inputs(network: ScoreNetwork) -> tuple[Tensor, Tensor]:
    """Return two samples (2, *shape) and noise levels (2,) for a trial run."""
    return torch.full((TRIAL, *network.shape), 0.5), network.sigmas[:1].expand(TRIAL)


def make_plugin_network(
    component: DeclaredNetwork, shape: tuple[int, ...], sigmas: Tensor
) -> PluginNetwork:
    """Build the network of `component`, and try it on two samples.

    Raises `InputError` if it cannot be built, is not a module, does not take samples of `shape`, or
    uses random numbers in evaluation mode.
    """
    origin = component.origin
    assert origin is not None
    given = {"shape": shape, "sigmas": sigmas.float()}
    given = {name: value for name, value in given.items() if name in component.accepted}
    try:
        with seeded_globally(torch.initial_seed()):
            module = component.load()(**given, **component.arguments())
    except (Exception, SystemExit) as error:  # noqa: BLE001 - code of the user
        raise InputError(describe_failure(error, origin)) from None
    if not isinstance(module, nn.Module):
        raise InputError(
            f"{origin}: returned {type(module).__name__}; expected a torch.nn.Module, or a "
            f"function that returns one"
        )
    network = PluginNetwork(shape, sigmas, module, origin, origin.declaration.hooks["predicts"])
    state = random_state()
    try:
        with torch.no_grad():
            network.eval()(*trial_inputs(network))
    except RunError as error:
        raise InputError(str(error)) from None
    if random_state() != state:
        raise InputError(
            f"{origin}: uses random numbers after eval(); expected a score that is a function of "
            f"x, sigma and the weights, as with torch.nn.functional.dropout(..., "
            f"training=self.training)"
        )
    return network.train()
