"""`scoresweep import-checkpoint`: import weights of a public program as a run.

The programs of NCSN and NCSNv2 save a list with `torch.save`: the network's parameters (named
"module.…" by `DataParallel`), the optimiser's state and, for NCSNv2, epoch, step and possibly the
averaged parameters; AdversarialConsistentScoreMatching can add a discriminator. score_sde_pytorch
saves a dictionary, with the averages as a list without names. A state dict with the same names is
also read, alone or in a dictionary. diffusers saves a folder with a configuration; a run of this
program saves its network's options beside the weights. Only tensors and plain values are read;
nothing in the file is executed.

Most files do not record everything about their network. What they leave open is listed
(`on_trust`), and the network is tested on held-out images (`held_out_check`).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from torch import Tensor

from scoresweep.networks.diffusers_checkpoints import convert_diffusers_state_dict
from scoresweep.networks.ncsn_checkpoints import convert_ncsn_state_dict
from scoresweep.networks.ncsnpp import NCSNpp
from scoresweep.networks.published_options import network_options, published_shapes, shapes_of
from scoresweep.networks.published_parameters import check_parameters
from scoresweep.networks.refinenet import RefineNet
from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.networks.score_sde_checkpoints import convert_score_sde_state_dict
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study import Plan, Run
from scoresweep.pipeline.system.atomic_files import sha256_of
from scoresweep.pipeline.system.console import say
from scoresweep.pipeline.system.file_kinds import abbreviate_names
from scoresweep.pipeline.system.locks import file_lock
from scoresweep.pipeline.training.artifacts import write_run_header, write_run_without_training
from scoresweep.pipeline.training.held_out_check import HeldOutCheck, check_held_out
from scoresweep.pipeline.training.network_setup import make_network
from scoresweep.pipeline.training.weight_files.checkpoint_file import (
    CheckpointFile,
    read_checkpoint_file,
)
from scoresweep.pipeline.training.weight_files.open_points import open_points
from scoresweep.pipeline.training.weight_files.own_weights import PROGRAM as OWN
from scoresweep.pipeline.training.weight_files.published import EXPECTED, Published
from scoresweep.pipeline.training.weight_files.stated_network import list_differences

__all__ = ["import_checkpoint"]

SIGMA_RTOL = 1e-5
"""Relative tolerance between two noise ladders; published ones are float32."""
ANOTHER = "holds another network than the run's (train.network, train.noise, dataset)"


def import_checkpoint(plan: Plan, run_id: str, file: Path, ema: bool = True) -> None:
    """Import the weights in `file` as those of the run `run_id`.

    With `ema`, averaged parameters are preferred. Raises `InputError` if the run has weights
    already, its data is not staged, or the file does not match the run's network and noise ladder.
    """
    run, paths = plan.run(run_id), plan.paths
    store = paths.dataset_store(run.dataset.id)
    if not paths.dataset_manifest(run.dataset.id).exists():
        raise InputError(
            f"{store}: is not staged; run `scoresweep stage` first (the network is tested on "
            f"its test images)"
        )
    if not run.train.network.is_trained:
        raise InputError(
            f"train.network: {run.train.network.name} has no weights to import, because it is "
            f"computed from the data; expected a network that is trained"
        )
    _refuse_existing(paths.weights(run.id))
    checkpoint = read_checkpoint_file(file, ema)
    file, published = checkpoint.path, checkpoint.published
    network = make_network(run, paths)
    _load_parameters(network, run, published, file)
    check = check_held_out(network.eval(), store)
    if not all(map(math.isfinite, check.noise_left)):
        raise InputError(
            f"{file}: with its weights, the run's network gives scores that are not finite on test "
            f"images (noise left: {check.table()})"
        )
    on_trust = open_points(published, network) | {"training data": f"like {run.dataset.id}"}
    facts = _facts(checkpoint, on_trust, check)
    facts |= {"file": file.name, "sha256": sha256_of(file)}
    with file_lock(paths.training_lock(run.id)):
        _refuse_existing(paths.weights(run.id))
        write_run_header(run, paths)
        note = f"imported; {check.verdict}" if check.worse_at else "imported"
        write_run_without_training(run, paths, network, {"imported": facts}, note)
    _report(run, file, paths.weights(run.id), facts, check)


def _refuse_existing(weights: Path) -> None:
    if weights.exists():
        raise InputError(
            f"{weights}: the run has weights already; delete its folder to import others"
        )


def _facts(
    checkpoint: CheckpointFile, on_trust: dict[str, str], check: HeldOutCheck
) -> dict[str, Any]:
    """Return what is known about imported weights, for the run's provenance."""
    published, kind = checkpoint.published, checkpoint.kind
    return {
        "averaged": published.averaged,
        "step": published.step,
        "ignored": list(published.ignored),
        "checksums": "compared" if checkpoint.has_checksums else f"none in {kind.description}",
        "on_trust": on_trust,
        "held_out_check": check.facts(),
    }


def _report(
    run: Run, file: Path, weights: Path, facts: dict[str, Any], check: HeldOutCheck
) -> None:
    """Print what was imported, what is assumed, and the result of the check."""
    what = "averaged parameters" if facts["averaged"] else "parameters"
    say(f"{run.id}: imported the {what} of {file}: {weights}")
    trusted = "; ".join(f"{name}: {value}" for name, value in facts["on_trust"].items())
    say(f"Assumed, because the file does not record it: {trusted}")
    if facts["checksums"] != "compared":
        say(f"{file} has no checksums: a damaged byte would go unnoticed")
    say(
        f"Noise left in {check.images} test images by the network / by the score of a normal "
        f"distribution (shares of its variance): {check.table()}"
    )
    if check.worse_at:
        gaps = [a - b for a, b in zip(check.noise_left, check.noise_left_by_normal, strict=True)]
        worst = max(range(len(gaps)), key=gaps.__getitem__)
        say(
            f"Warning: the network is {check.verdict}, by up to {gaps[worst]:.2g} of the noise's "
            f"variance (level {check.level[worst]}, sigma {check.sigma[worst]:.3g}). Compare the "
            f"assumptions with the configuration of the program that trained it"
        )


def _load_parameters(network: ScoreNetwork, run: Run, published: Published, file: Path) -> None:
    """Load the parameters into `network` after comparing names, shapes and noise ladder."""
    if published.network is None:
        _require_published_network(network)
        _compare_networks(network, published, file)
    elif wrong := list_differences(published.network, run.train.network, network.shape):
        raise InputError(f"{file}: {ANOTHER}: {', '.join(wrong)}")
    if published.sigmas is not None:
        _compare_ladders(network.sigmas, published.sigmas, file)
    try:
        parameters = _convert(network, published)
    except ValueError as error:
        raise InputError(f"{file}: does not fit the run's network: {error}") from None
    network.load_state_dict(parameters | {"sigmas": network.sigmas})


def _require_published_network(network: ScoreNetwork) -> None:
    """Raise `InputError` if the network of the run is not that of a published program."""
    if not isinstance(network, RefineNet | NCSNpp):
        raise InputError(
            "train.network: only the networks of the published programs can be imported; expected "
            "ncsn, ncsnv2, ncsnv2_deeper, ncsnv2_deepest or ncsnpp"
        )
    if isinstance(network, NCSNpp) and network.data_std is not None:
        raise InputError(
            "train.network.preconditioning: found edm, which the published networks do not have; "
            "expected none"
        )


def _convert(network: ScoreNetwork, published: Published) -> dict[str, Tensor]:
    """Return the parameters under the names of `network`; raise `ValueError` if they do not fit."""
    tensors, stated = published.tensors, published.network
    if stated is not None and stated.program == OWN:
        check_parameters(tensors, _shapes(network))
        return tensors
    if stated is not None and isinstance(network, NCSNpp):
        return convert_diffusers_state_dict(tensors, network)
    if isinstance(network, NCSNpp):
        return convert_score_sde_state_dict(tensors, network)
    assert isinstance(network, RefineNet)
    return convert_ncsn_state_dict(tensors, network)


def _shapes(network: ScoreNetwork) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all tensors of `network` except its ladder, by name."""
    shapes = shapes_of(network.state_dict())
    del shapes["sigmas"]
    return shapes


def _compare_networks(network: ScoreNetwork, published: Published, file: Path) -> None:
    """Raise `InputError` if the parameters belong to a different network."""
    assert isinstance(network, RefineNet | NCSNpp)
    theirs = network_options(shapes_of(published.tensors))
    shapes = published_shapes(network)
    expected = network_options(shapes)
    if not theirs and not published.tensors.keys() & shapes.keys():
        names = ", ".join(abbreviate_names(published.tensors)) or "nothing"
        raise InputError(f"{file}: holds {names}, which match no published network; {EXPECTED}")
    wrong = [key for key in theirs if key in expected and expected[key] != theirs[key]]
    if wrong:
        raise InputError(
            f"{file}: {ANOTHER}: "
            + ", ".join(f"{key} {theirs[key]}, in the run {expected[key]}" for key in wrong)
        )


def _compare_ladders(expected: Tensor, theirs: Tensor, file: Path) -> None:
    """Raise `InputError` if the file's noise ladder differs from the run's."""
    if len(theirs) != len(expected):
        raise InputError(
            f"{file}: has a ladder of {len(theirs)} levels; expected the {len(expected)} of the "
            f"run (train.noise)"
        )
    far = ((theirs / expected - 1).abs() > SIGMA_RTOL).nonzero()
    if len(far):
        level = int(far[0])
        raise InputError(
            f"{file}: has another ladder than the run (train.noise): its level {level + 1} is "
            f"{float(theirs[level]):.7g}; expected {float(expected[level]):.7g}"
        )
