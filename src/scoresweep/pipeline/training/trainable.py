"""Check that the network of a plugin can be trained reproducibly.

Training resumes exactly and does not depend on the number of processes only if the network is a
function of its weights: without random numbers, and without buffers that training changes, which
the average of the weights would not have either.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import nn

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.errors import InputError, ScoresweepError
from scoresweep.pipeline.study.plugins.plugin_files import describe_failure
from scoresweep.pipeline.system.random_state import random_state, seeded_globally
from scoresweep.pipeline.training.plugin_network import PluginNetwork, trial_inputs

__all__ = ["check_trainable"]


def check_trainable(network: PluginNetwork, rebuild: Callable[[], ScoreNetwork]) -> None:
    """Raise `InputError` if the module of `network` is not a function of its `state_dict`.

    `rebuild` builds the network again, with other random numbers.
    """
    try:
        with torch.no_grad(), seeded_globally(1):
            _check_training_mode(network)
            _check_rebuilt(network, rebuild())
    except ScoresweepError as error:
        raise InputError(str(error)) from None
    except Exception as error:  # noqa: BLE001 - code of the user
        raise InputError(describe_failure(error, network.origin)) from None


def _check_training_mode(network: PluginNetwork) -> None:
    trial = copy.deepcopy(network).train()
    random_modules: list[str] = []
    for name, module in trial.module.named_modules():
        if not any(module.children()):
            _watch(module, f"{name}: {module}", random_modules)
    before = {name: buffer.clone() for name, buffer in trial.module.named_buffers()}
    state = random_state()
    trial(*trial_inputs(network))
    if random_state() != state:
        raise InputError(
            f"{network.origin}: uses random numbers in training "
            f"({', '.join(random_modules) or 'in forward'}), so that a run could not be resumed "
            f"exactly, nor shared by processes; expected none, as with Dropout(p=0)"
        )
    after = dict(trial.module.named_buffers())
    changed = [name for name, buffer in before.items() if not _same(buffer, after[name])]
    if changed:
        raise InputError(
            f"{network.origin}: changes buffers in training ({', '.join(changed)}), which the "
            f"average of the weights does not have; expected a normalisation without running "
            f"statistics, such as GroupNorm, or BatchNorm2d(..., track_running_stats=False)"
        )


def _watch(module: nn.Module, name: str, found: list[str]) -> None:
    """Add `name` to `found` if a call of `module` uses global random numbers."""
    states = [b""]

    def before(*_: object) -> None:
        states[0] = random_state()

    def after(*_: object) -> None:
        if random_state() != states[0] and name not in found:
            found.append(name)

    module.register_forward_pre_hook(before)
    module.register_forward_hook(after)


def _check_rebuilt(network: PluginNetwork, other: ScoreNetwork) -> None:
    """Raise `InputError` if `other` with the weights of `network` gives other scores."""
    trial = copy.deepcopy(network)
    for parameter in trial.parameters():  # which may be 0, and hide the rest
        parameter.add_(torch.randn_like(parameter), alpha=0.01)
    other.load_state_dict(trial.state_dict())
    scores = [each.eval()(*trial_inputs(network)) for each in (trial, other)]
    if not _same(*scores):
        raise InputError(
            f"{network.origin}: gives other scores if it is built again and its weights are "
            f"loaded; expected every tensor that it draws to be a parameter, or registered by "
            f"self.register_buffer(name, tensor)"
        )


def _same(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool(torch.equal(a.nan_to_num(), b.nan_to_num()))
