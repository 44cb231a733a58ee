"""Write the files of a run: trained, exact score, or imported weights."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import torch
import yaml

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.data.store_manifest import check_store
from scoresweep.pipeline.results.code_version import MADE_BY, current_code
from scoresweep.pipeline.results.input_hashes import (
    dataset_sha256,
    training_sha256,
    write_weights_manifest,
)
from scoresweep.pipeline.results.plugin_copies import describe_plugin, keep_copies
from scoresweep.pipeline.study import Run, StudyPaths
from scoresweep.pipeline.study.plugins.used_plugins import used_plugins
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.pipeline.system.job_state import JobState
from scoresweep.pipeline.system.provenance import Code, append_start, update_provenance
from scoresweep.pipeline.training.checkpoint import prune_checkpoints
from scoresweep.pipeline.training.curves import Curves
from scoresweep.pipeline.training.hparams_file import run_hparams, write_hparams
from scoresweep.pipeline.training.weights import save_network

if TYPE_CHECKING:
    from scoresweep.pipeline.training.trainer import Trainer

__all__ = ["write_artifacts", "write_run_header", "write_run_without_training"]


def write_run_header(run: Run, paths: StudyPaths, code: Code | None = None) -> None:
    """Write the configuration of `run` and the code that makes it (`code`, if known)."""
    with atomic_write(paths.run_config(run.id)) as temporary:
        temporary.write_text(yaml.safe_dump(run.config(), sort_keys=False))
    append_start(paths.provenance(run.id), paths.code(run.id), code)
    if plugins := used_plugins(run.dataset, run.train):
        keep_copies(paths, *plugins)
        facts = {"plugins": [describe_plugin(plugin) for plugin in plugins]}
        update_provenance(paths.provenance(run.id), facts)


def write_artifacts(trainer: Trainer, run: Run, paths: StudyPaths) -> None:
    """Write curves, provenance, TensorBoard's HParams and, last, the averaged weights."""
    trainer.check_owner()
    log, device = trainer.log, trainer.accelerator.device
    attributes = _curve_attributes(trainer, run)
    curves = log.curves.dataset()
    curves.attrs = attributes
    with atomic_write(paths.training_curves(run.id)) as temporary:
        curves.to_netcdf(temporary, engine="h5netcdf")
    facts = {key: attributes[key] for key in ("processes", "seconds", "restarts")}
    facts |= {"device": str(device), "finished": time.time(), MADE_BY: trainer.made_by.record()}
    update_provenance(paths.provenance(run.id), facts)
    final = {"result/training_loss": log.curves.scalars["loss"][-1]}
    write_hparams(paths.tensorboard(run.id), run_hparams(run), final)
    trainer.job_state("done").write(paths.progress(run.id))
    save_network(paths.weights(run.id), trainer.averaged, run.train.network)
    record = {"training_data": trainer.data_sha256}
    data = check_store(paths.dataset_store(run.dataset.id))
    if training_sha256(data) == trainer.data_sha256:  # otherwise it was staged again meanwhile
        record["data"] = dataset_sha256(data)
    write_weights_manifest(paths.weights(run.id), paths.weights_manifest(run.id), record)
    prune_checkpoints(paths.checkpoints(run.id), keep=1)


def _curve_attributes(trainer: Trainer, run: Run) -> dict[str, Any]:
    """Return the attributes of `training.nc`."""
    processes, device = trainer.accelerator.num_processes, trainer.accelerator.device
    on_gpu = device.type == "cuda"
    return {
        "run": run.id,
        "dataset": run.dataset.id,
        "steps": run.train.steps,
        "seconds": trainer.log.seconds,
        "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
        "devices": processes if on_gpu else processes * torch.get_num_threads(),
        "parameters": sum(parameter.numel() for parameter in trainer.network.parameters()),
        "precision": run.train.precision,
        "processes": processes,
        "restarts": trainer.log.restarts,
        "axes": json.dumps(run.axes),
    }


def write_run_without_training(
    run: Run,
    paths: StudyPaths,
    network: ScoreNetwork,
    facts: dict[str, Any] | None = None,
    note: str = "",
) -> None:
    """Write the files of a run without training; the weights come last.

    `facts` go into the provenance; `scoresweep status` shows `note`.
    """
    curves = Curves(network.sigmas.tolist()).dataset()
    curves.attrs = {
        "run": run.id,
        "dataset": run.dataset.id,
        "steps": 0,
        "seconds": 0.0,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "axes": json.dumps(run.axes),
    }
    with atomic_write(paths.training_curves(run.id)) as temporary:
        curves.to_netcdf(temporary, engine="h5netcdf")
    code = {MADE_BY: current_code("networks").record()}
    update_provenance(paths.provenance(run.id), {"finished": time.time(), **code, **(facts or {})})
    write_hparams(paths.tensorboard(run.id), run_hparams(run), {})
    JobState("done", run.train.steps, run.train.steps, message=note).write(paths.progress(run.id))
    save_network(paths.weights(run.id), network, run.train.network)
    # Imported weights do not depend on the data of the run.
    record = {}
    if not run.train.network.is_trained:
        record["data"] = dataset_sha256(check_store(paths.dataset_store(run.dataset.id)))
    write_weights_manifest(paths.weights(run.id), paths.weights_manifest(run.id), record)
