"""Assemble the chunks of a setting into one sample store."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.results.code_version import MADE_BY, join_codes
from scoresweep.pipeline.results.input_hashes import MADE_FROM, recorded_weights_sha256
from scoresweep.pipeline.sampling.chunk_files import chunk_code, read_chunk
from scoresweep.pipeline.sampling.resolve import ResolvedSampling
from scoresweep.pipeline.sampling.sample_store import write_samples
from scoresweep.pipeline.sampling.sampling_job import SamplingJob
from scoresweep.pipeline.system.atomic_files import write_json
from scoresweep.seeds import derive_seed

__all__ = ["assemble"]


def assemble(
    job: SamplingJob, resolved: ResolvedSampling, network: ScoreNetwork, seconds: float
) -> None:
    """Write the sample store and then its manifest; `seconds` is the time that drawing took."""
    run, store = job.run.id, job.setting.store
    tensors = [read_chunk(job, chunk) for chunk in range(job.chunks)]
    code = join_codes(chunk_code(job, chunk) for chunk in range(job.chunks))
    attributes = _attributes(job, seconds)
    description = write_samples(
        job.paths.samples(run, store),
        **_arrays(job, tensors),
        levels=_levels(tensors, resolved),
        attributes=attributes,
    )
    inputs = {"weights": recorded_weights_sha256(job.paths.weights(run)), "data": job.data_sha256}
    manifest = {
        "count": job.setting.sample.count,
        "shape": list(network.shape),
        "devices": job.devices,
        **attributes,
        **description,
        MADE_FROM: {name: sha256 for name, sha256 in inputs.items() if sha256},
        MADE_BY: code.record(),
    }
    write_json(job.paths.samples_manifest_copy(run, store), manifest)
    write_json(job.paths.samples_manifest(run, store), manifest)


def _arrays(job: SamplingJob, tensors: list[dict[str, Tensor]]) -> dict[str, Any]:
    """Concatenate the chunks and drop the samples beyond `count`."""
    options = job.setting.sample
    seeds = torch.tensor([derive_seed(job.seed, "sample", chunk) for chunk in range(job.chunks)])
    trajectories = [chunk["trajectory"] for chunk in tensors if "trajectory" in chunk]
    originals = [chunk["original"] for chunk in tensors if "original" in chunk]
    return {
        "x": torch.cat([chunk["x"] for chunk in tensors])[: options.count],
        "chunk_seed": seeds.repeat_interleave(options.chunk)[: options.count],
        "trajectory": torch.cat(trajectories) if trajectories else None,
        "original": torch.cat(originals)[: options.count] if originals else None,
    }


def _levels(tensors: list[dict[str, Tensor]], resolved: ResolvedSampling) -> dict[str, Tensor]:
    """Return the diagnostics of each visited level, (L,), averaged over chunks."""
    visited = tensors[0]["level"]
    means = {
        name: torch.stack([chunk[name] for chunk in tensors]).double().mean(0)
        for name in ("rms", "score_norm")
    }
    return means | {"sigma": resolved.sigmas[visited], "step_size": resolved.step_sizes[visited]}


def _attributes(job: SamplingJob, seconds: float) -> dict[str, Any]:
    options = job.setting.sample
    return {
        "run": job.run.id,
        "setting": job.setting.id,
        "sample": options.model_dump_json(),
        "task": options.task.name if options.task else "none",
        "seed": job.seed,
        "seconds": seconds,
        "device": torch.cuda.get_device_name(job.device()) if job.gpus else "cpu",
        "weights_sha256": job.weights_sha256,
    }
