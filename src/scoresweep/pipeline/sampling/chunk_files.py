"""Chunk files: finished chunks, kept until all chunks of a setting are drawn."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from scoresweep.pipeline.results.code_version import CodeVersion, current_code, parse_code
from scoresweep.pipeline.sampling.sampling_job import SamplingJob
from scoresweep.pipeline.system.atomic_files import atomic_write, remove
from scoresweep.pipeline.system.console import say
from scoresweep.pipeline.system.safetensors_io import save_safetensors, sha256_of_tensors

__all__ = [
    "chunk_code",
    "chunk_path",
    "is_drawn",
    "num_trajectories",
    "read_chunk",
    "remove_chunks",
    "write_chunk",
]


def chunk_path(job: SamplingJob, chunk: int) -> Path:
    """Return the file of a chunk."""
    return job.chunk_folder / f"chunk-{chunk:06d}.safetensors"


def write_chunk(job: SamplingJob, chunk: int, tensors: dict[str, Tensor]) -> None:
    """Write the tensors of a chunk atomically, with the hashes that `read_chunk` checks."""
    digests = {"weights_sha256": job.weights_sha256, "sha256": sha256_of_tensors(tensors)}
    with atomic_write(chunk_path(job, chunk)) as temporary:
        save_safetensors(temporary, tensors, digests | current_code("samples").record())


def read_chunk(job: SamplingJob, chunk: int) -> dict[str, Tensor]:
    """Return the tensors of a chunk; raise `ValueError` if damaged or of other weights."""
    try:
        with safe_open(chunk_path(job, chunk), framework="pt") as file:
            digests = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"is damaged ({error})") from error
    if digests.get("weights_sha256") != job.weights_sha256:
        raise ValueError("was drawn with other weights")
    if digests.get("sha256") != sha256_of_tensors(tensors):
        raise ValueError("is damaged (its SHA-256 does not match)")
    return tensors


def chunk_code(job: SamplingJob, chunk: int) -> CodeVersion:
    """Return which code drew a chunk."""
    with safe_open(chunk_path(job, chunk), framework="pt") as file:
        return parse_code(file.metadata())


def num_trajectories(job: SamplingJob, chunk: int) -> int:
    """Return how many trajectories of a chunk are recorded, whatever the number of samples."""
    options = job.setting.sample
    return min(options.chunk, max(0, options.trajectories - chunk * options.chunk))


def remove_chunks(job: SamplingJob) -> None:
    """Remove the chunk files of a job; those of a larger number of samples stay."""
    for chunk in range(job.chunks):
        chunk_path(job, chunk).unlink(missing_ok=True)
    if not any(job.chunk_folder.glob("chunk-*")):
        remove(job.chunk_folder)


def is_drawn(job: SamplingJob, chunk: int) -> bool:
    """Return whether a chunk has a usable file; report and delete an unusable one.

    With `job.this_code`, a chunk that other code drew is unusable.
    """
    path = chunk_path(job, chunk)
    if not path.exists():
        return False
    try:
        tensors, code = read_chunk(job, chunk), chunk_code(job, chunk)
        if len(tensors.get("trajectory", ())) != num_trajectories(job, chunk):
            raise ValueError("has other trajectories")
        if job.this_code and code.code != current_code("samples").code:
            raise ValueError(f"was drawn by {code}")
    except FileNotFoundError:
        return False
    except ValueError as error:
        say(f"{path} {error}; drawing it again")
        path.unlink(missing_ok=True)
        return False
    return True
