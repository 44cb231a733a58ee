"""Check that the network of a plugin can be trained reproducibly.

Training resumes exactly, and does not depend on the number of processes, only if the score of a
sample is a function of the weights and of that sample: without random numbers, and without buffers
that training changes, which the averaged network would not have either.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.errors import InputError, ScoresweepError
from scoresweep.pipeline.study.config import MethodConfig
from scoresweep.pipeline.study.plugins.plugin_files import describe_failure
from scoresweep.pipeline.system.random_state import random_state, seeded_globally
from scoresweep.pipeline.training.plugin_network import PluginNetwork, trial_inputs
from scoresweep.pipeline.training.weights import build_network

__all__ = ["build_trainable"]

NORMALISATION = "expected a normalisation of each sample by itself, such as GroupNorm or LayerNorm"

TOLERANCE = 1e-3
"""Largest relative difference of two scores that floating-point sums explain."""


def build_trainable(
    component: MethodConfig, shape: tuple[int, ...], sigmas: Tensor
) -> ScoreNetwork:
    """Build a network as `build_network` does; that of a plugin is checked."""
    build = functools.partial(build_network, component, shape, sigmas)
    network = build()
    if isinstance(network, PluginNetwork):
        _check_trainable(network, build)
    return network


def _check_trainable(network: PluginNetwork, rebuild: Callable[[], ScoreNetwork]) -> None:
    """Raise `InputError` if `network` cannot be trained, or its `state_dict` does not define it.

    `rebuild` builds the network again, with other random numbers.
    """
    try:
        with torch.no_grad(), seeded_globally(1):
            _check_weights(network)
            _check_training_mode(network)
            _check_rebuilt(network, rebuild())
    except ScoresweepError as error:
        raise InputError(str(error)) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - code of the user
        raise InputError(describe_failure(error, network.origin)) from None


def _check_weights(network: PluginNetwork) -> None:
    """Raise `InputError` if there is nothing to train, or the weights cannot be saved."""
    names: dict[int, str] = {}
    for name, tensor in network.module.state_dict().items():
        other = names.setdefault(tensor.untyped_storage().data_ptr(), name)
        if other != name and tensor.numel():
            raise InputError(
                f"{network.origin}: {other} and {name} share memory, which a file of weights "
                f"cannot express; expected every module and tensor to be an attribute once, and "
                f"to be used as often as needed"
            )
    with torch.enable_grad():
        if not network(*trial_inputs(network)).requires_grad:
            raise InputError(
                f"{network.origin}: its score has no gradient for any parameter; expected at least "
                f"one torch.nn.Parameter with requires_grad=True that the score depends on, and no "
                f"detach() or torch.no_grad() in forward"
            )


def _check_training_mode(network: PluginNetwork) -> None:
    trial = _perturbed(network).train()
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
            f"average of the weights does not have; {NORMALISATION}"
        )
    x, sigma = torch.rand(4, *network.shape), network.sigmas[:1].expand(4)
    whole, part = trial(x, sigma)[:2], trial(x[:2], sigma[:2])
    if float((whole - part).abs().max()) > TOLERANCE * (1 + float(whole.abs().max())):
        raise InputError(
            f"{network.origin}: the score of a sample depends on the other samples of its batch, "
            f"so that it would depend on the number of processes; {NORMALISATION}"
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
    trial = _perturbed(network)
    other.load_state_dict(trial.state_dict())
    scores = [each.eval()(*trial_inputs(network)) for each in (trial, other)]
    if not _same(*scores):
        raise InputError(
            f"{network.origin}: gives other scores if it is built again and its weights are "
            f"loaded; expected every tensor that it draws to be a parameter, or registered by "
            f"self.register_buffer(name, tensor)"
        )


def _perturbed(network: PluginNetwork) -> PluginNetwork:
    """Return a copy with other weights: those of a new network may be 0, and hide the rest."""
    trial = copy.deepcopy(network)
    for parameter in trial.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.01)
    return trial


def _same(a: Tensor, b: Tensor) -> bool:
    return bool(torch.equal(a.nan_to_num(), b.nan_to_num()))
