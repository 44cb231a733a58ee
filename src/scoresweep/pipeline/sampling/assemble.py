"""Assemble chunks, and the samples that a store holds already, into one sample store."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.data.split import Array
from scoresweep.pipeline.data.store_manifest import manifest_path
from scoresweep.pipeline.results.code_version import MADE_BY, join_codes, parse_code
from scoresweep.pipeline.results.input_hashes import (
    MADE_FROM,
    SHA256_OF_FIRST,
    recorded_weights_sha256,
)
from scoresweep.pipeline.sampling.chunk_files import chunk_code, read_chunk
from scoresweep.pipeline.sampling.held_samples import (
    NOTHING,
    HeldSamples,
    extend_arrays,
)
from scoresweep.pipeline.sampling.resolve import ResolvedSampling
from scoresweep.pipeline.sampling.sample_store import (
    DIAGNOSTICS,
    channels_last,
    read_arrays,
    sample_array,
    write_arrays,
)
from scoresweep.pipeline.sampling.sampling_job import SamplingJob
from scoresweep.pipeline.sampling.store_files import replaced_store
from scoresweep.pipeline.study.plugins.used_plugins import used_plugins
from scoresweep.pipeline.system.atomic_files import remove, write_json
from scoresweep.seeds import derive_seed

__all__ = ["assemble"]


def assemble(
    job: SamplingJob,
    resolved: ResolvedSampling,
    network: ScoreNetwork,
    seconds: float,
    held: HeldSamples = NOTHING,
) -> None:
    """Write the sample store and then its manifest.

    Args:
        job: the sampling job, whose missing chunks have been drawn.
        resolved: levels and step sizes.
        network: the network that drew the samples.
        seconds: the time that drawing took, including that of the samples held.
        held: the samples that the store holds; their full chunks are kept.
    """
    run = job.run.id
    store, manifest = job.paths.samples(run, job.setting.store), _manifest(job, network)
    chunks = range(held.full_chunks(job), job.chunks)
    codes = [chunk_code(job, chunk) for chunk in chunks]
    arrays = _arrays(job, chunks, resolved)
    if chunks.start:
        arrays = extend_arrays(read_arrays(store), arrays, job.setting.sample.chunk)
        codes = [parse_code(held.manifest.get(MADE_BY)), *codes]
    attributes = _attributes(job, seconds)
    counts = {*job.counts, *map(int, held.manifest.get(SHA256_OF_FIRST, {}))}
    counts |= {held.count, job.setting.sample.count} - {0}
    replaced = replaced_store(store)
    described = write_arrays(store, arrays, attributes, counts, replaced)
    made_by = {MADE_BY: join_codes(codes).record()}
    write_json(manifest_path(store), manifest | attributes | described | made_by)
    remove(replaced)


def _manifest(job: SamplingJob, network: ScoreNetwork) -> dict[str, Any]:
    """Return the entries of the manifest that the store does not hold."""
    weights = recorded_weights_sha256(job.paths.weights(job.run.id, job.weights))
    inputs = {"weights": weights, "data": job.data_sha256}
    plugins = {p.source: p.sha256 for p in used_plugins(job.setting.sample)}
    return {
        **({"plugins": plugins} if plugins else {}),
        "count": job.setting.sample.count,
        "shape": list(network.shape),
        "devices": job.devices.count,
        MADE_FROM: {name: sha256 for name, sha256 in inputs.items() if sha256},
    }


def _arrays(job: SamplingJob, chunks: range, resolved: ResolvedSampling) -> dict[str, Array]:
    """Concatenate drawn chunks, without the samples beyond `count`; see `write_arrays`."""
    options, tensors = job.setting.sample, [read_chunk(job, chunk) for chunk in chunks]
    count = options.count - chunks.start * options.chunk

    def joined(name: str) -> Tensor:
        return torch.cat([chunk[name] for chunk in tensors if name in chunk])[:count]

    seeds = torch.tensor([derive_seed(job.seed, "sample", chunk) for chunk in chunks])
    visited = tensors[0]["level"]
    x = joined("x")
    arrays = {
        "image" if x.ndim == 4 else "point": sample_array(x),
        "chunk_seed": seeds.repeat_interleave(options.chunk)[:count].numpy(),
        "sigma": resolved.sigmas[visited].double().numpy(),
        "step_size": resolved.step_sizes[visited].double().numpy(),
    }
    if "trajectory" in tensors[0]:
        arrays["trajectory"] = channels_last(joined("trajectory")).numpy()
    if "original" in tensors[0]:
        arrays["original"] = joined("original").numpy()
    for name in DIAGNOSTICS:
        arrays[name] = torch.stack([chunk[name] for chunk in tensors]).double().numpy()
    return arrays


def _attributes(job: SamplingJob, seconds: float) -> dict[str, Any]:
    options, device = job.setting.sample, job.devices.of_process(0)
    return {
        "run": job.run.id,
        "setting": job.setting.id,
        "sample": options.model_dump_json(),
        "task": options.task.name if options.task else "none",
        "seed": job.seed,
        "seconds": seconds,
        "device": torch.cuda.get_device_name(device) if job.devices.gpus else "cpu",
        "weights_sha256": job.weights_sha256,
    }
