"""The samples that a store holds already, and what is needed to extend it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from scoresweep.pipeline.data.split import Array
from scoresweep.pipeline.data.store_manifest import manifest_path
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results.input_hashes import MADE_FROM, changed_inputs
from scoresweep.pipeline.sampling.sample_store import DIAGNOSTICS, read_samples
from scoresweep.pipeline.sampling.sampling_job import SamplingJob
from scoresweep.pipeline.system.console import say

Arrays = dict[str, Array]
"""Arrays of a store by name."""

NONE = np.empty(0)

__all__ = [
    "NOTHING",
    "HeldSamples",
    "extend_arrays",
    "find_held",
]


@dataclass(frozen=True)
class HeldSamples:
    """The samples in a store that the weights of a job drew."""

    count: int
    """Number of samples; 0 if there are none, or none that can be used."""
    manifest: dict[str, Any]
    """Content of the manifest."""

    def full_chunks(self, job: SamplingJob) -> int:
        """Return the number of chunks that are in the store in full; they are not drawn again."""
        return self.count // job.setting.sample.chunk

    def seconds(self, job: SamplingJob) -> float:
        """Return the seconds that these samples would have taken on the job's devices."""
        spent = float(self.manifest.get("seconds", 0.0))
        count = job.devices.count
        return spent * float(self.manifest.get("devices", count)) / count


NOTHING = HeldSamples(0, {})


def find_held(job: SamplingJob) -> HeldSamples:
    """Return the samples that the job's store holds; say why if they cannot be used."""
    store = job.paths.samples(job.run.id, job.setting.store)
    manifest = manifest_path(store)
    if not manifest.exists():
        return NOTHING
    try:
        samples = read_samples(store)
        content = json.loads(manifest.read_text(encoding="utf-8"))
    except (InputError, FileNotFoundError) as error:
        say(f"{error} Drawing them again.")
        return NOTHING
    if content.get("weights_sha256") != job.weights_sha256:
        say(f"{job}: the samples were drawn with other weights; drawing them again: {manifest}")
        return NOTHING
    if changed_inputs(content.get(MADE_FROM, {}), {"data": job.data_sha256}):
        say(f"{job}: the network was trained on other data; drawing samples again: {manifest}")
        return NOTHING
    return HeldSamples(len(samples.values), content)


def extend_arrays(held: Arrays, drawn: Arrays, chunk: int) -> Arrays:
    """Return the arrays of a store with the full chunks that it holds, then those `drawn`.

    Diagnostics of chunks are kept even if the last one is drawn again in full, so that a reader of
    the smaller count sees the same. A store of an earlier version has their mean only, which then
    stands for each of its chunks.
    """
    count = len(held["chunk_seed"])
    kept = count // chunk * chunk
    arrays = dict(drawn)
    for name in ("image", "point", "chunk_seed", "original", "trajectory"):
        parts = [part for part in (held.get(name, NONE)[:kept], drawn.get(name, NONE)) if len(part)]
        if parts:
            arrays[name] = np.concatenate(parts)
    chunks = -(-count // chunk)
    for name in DIAGNOSTICS:
        rows = held[name]
        if rows.ndim == 1:
            rows = np.repeat(rows[np.newaxis], chunks, axis=0)
        arrays[name] = np.concatenate([rows, drawn[name][chunks - count // chunk :]])
    return arrays
