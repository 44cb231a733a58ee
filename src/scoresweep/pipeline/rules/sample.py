"""Rule `sample`: draw the samples of one setting from one trained network.

Samples are drawn in fixed chunks, each from its own generator, seeded by (seed, chunk): neither the
number of processes nor restarts change them. Finished chunks are kept in files until all are drawn.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

import torch

from scoresweep.pipeline.errors import InputError, RunError, ScoresweepError
from scoresweep.pipeline.results import recorded_dataset
from scoresweep.pipeline.results.code_summary import remove_if_other_code
from scoresweep.pipeline.results.code_version import current_code
from scoresweep.pipeline.results.input_hashes import MADE_FROM, changed_inputs
from scoresweep.pipeline.sampling.assemble import assemble
from scoresweep.pipeline.sampling.chunk_files import chunk_path, is_drawn
from scoresweep.pipeline.sampling.sample_store import read_samples
from scoresweep.pipeline.sampling.sampling_job import SamplingJob
from scoresweep.pipeline.sampling.worker_pool import draw_in_processes
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.atomic_files import remove, sha256_of, write_json
from scoresweep.pipeline.system.console import progress, say
from scoresweep.pipeline.system.device import check_precision
from scoresweep.pipeline.system.file_cache import load_once
from scoresweep.pipeline.system.job_state import JobState
from scoresweep.pipeline.system.locks import file_lock
from scoresweep.pipeline.training.weights import load_network

__all__ = ["sample"]

ATTEMPTS = 3
"""How many times chunks that another process deletes are drawn."""

MAX_NAMED = 3
"""Maximum number of chunks named in a message."""


def sample(
    plan: Plan,
    run_id: str,
    setting_id: str,
    processes: int = 1,
    threads: int = 1,
    gpus: int = 0,
    *,
    this_code: bool = False,
) -> None:
    """Draw the samples of a setting in `processes` processes and write them to a Zarr store.

    With `this_code`, samples and chunks that other code drew are redrawn.

    Raises `InputError` if the setting does not fit the run (a step size that diverges) or the GPUs
    are too few or lack the precision, and `RunError` if samples are not finite, a chunk does not
    fit in memory or a process is killed.
    """
    run, setting, paths = plan.run(run_id), plan.setting(setting_id), plan.paths
    current_code("samples")  # hash the code now: it may be edited while samples are drawn
    if gpus and gpus > torch.cuda.device_count():
        available = torch.cuda.device_count()
        raise InputError(f"gpus: {gpus}: expected {available} or fewer, the GPUs of this machine")
    weights = paths.weights(run.id)
    digest = load_once("hash", (weights,), lambda: sha256_of(weights)) if weights.exists() else ""
    data = recorded_dataset(paths, run.dataset.id).sha256
    processes = min(processes, -(-setting.sample.count // setting.sample.chunk))
    job = SamplingJob(run, setting, paths, processes, threads, gpus, digest, data, this_code)
    with file_lock(paths.samples_lock(run.id, setting.store)):
        if this_code:
            _discard_other_code(job)
        if not _is_finished(job):
            _sample(job)


def _discard_other_code(job: SamplingJob) -> None:
    """Delete the manifest of samples that other code drew, so that they are redrawn."""
    manifest = job.paths.samples_manifest(job.run.id, job.setting.store)
    copy = job.paths.samples_manifest_copy(job.run.id, job.setting.store)
    if not manifest.exists():
        copy.unlink(missing_ok=True)
    remove_if_other_code("samples", manifest, copy)


def _sample(job: SamplingJob) -> None:
    """Draw and write the samples; keep the job's state file up to date."""
    state = JobState("running", 0, job.chunks)
    state_path = job.paths.samples_progress(job.run.id, job.setting.store)
    try:
        _draw_and_write(job, state, state_path)
    except ScoresweepError as error:
        state.state, state.message = "failed", str(error)
        with contextlib.suppress(RunError):  # if the disk is full, report the first error
            state.write(state_path)
        raise
    state.state = "done"
    state.write(state_path)
    remove(job.chunk_folder)


def _draw_and_write(job: SamplingJob, state: JobState, state_path: Path) -> None:
    check_precision("sample", job.setting.sample.precision, job.gpus)
    network = load_network(job.paths.run(job.run.id))
    resolved = job.resolve(network)
    for _ in range(ATTEMPTS):
        _draw_missing(job, state, state_path)
        try:
            assemble(job, resolved, network, state.seconds)
            return
        except FileNotFoundError as error:
            say(f"{_describe_missing(job, error)}; drawing what is missing")
    raise RunError(
        f"{job.chunk_folder}: chunks were deleted {ATTEMPTS} times while samples were drawn; find "
        f"out what deletes them, then run the same command again"
    )


def _draw_missing(job: SamplingJob, state: JobState, state_path: Path) -> None:
    """Draw the chunks that have no usable file."""
    job.chunk_folder.mkdir(parents=True, exist_ok=True)
    missing = [chunk for chunk in range(job.chunks) if not is_drawn(job, chunk)]
    before = state.step = job.chunks - len(missing)
    earlier = JobState.read(state_path)
    if earlier and before:
        state.seconds, state.restarts = earlier.seconds, earlier.restarts + 1
    state.write(state_path)
    options, seconds, started = job.setting.sample, state.seconds, time.monotonic()
    with progress(f"sample {job.run.id} {job.setting.id}", job.chunks, before) as advance:
        for done in draw_in_processes(job, missing):
            advance(done - state.step + before)
            elapsed = time.monotonic() - started
            state.step, state.seconds = before + done, seconds + elapsed
            state.images_per_second = min(done * options.chunk, options.count) / elapsed
            state.write(state_path)


def _describe_missing(job: SamplingJob, error: Exception) -> str:
    """Name the chunk files that were deleted, or else the error."""
    paths = [chunk_path(job, chunk) for chunk in range(job.chunks)]
    missing = [path.name for path in paths if not path.exists()]
    if not missing:
        return f"{job}: the samples could not be written ({error})"
    more = len(missing) - MAX_NAMED
    names = ", ".join(missing[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"{job.chunk_folder}: {names} of {len(paths)} chunks were deleted"


# ── finished samples ────────────────────────────────────────────────────────────────────────────


def _is_finished(job: SamplingJob) -> bool:
    """Return whether all samples were drawn with these weights; report what is there."""
    manifest = job.paths.samples_manifest(job.run.id, job.setting.store)
    if not manifest.exists() and not _restore(job, manifest):
        return False
    try:
        read_samples(job.paths.samples(job.run.id, job.setting.store))
        content = json.loads(manifest.read_text(encoding="utf-8"))
    except InputError as error:
        say(f"{error} Drawing them again.")
        return False
    if content.get("weights_sha256") != job.weights_sha256:
        say(f"{job}: the samples were drawn with other weights; drawing them again: {manifest}")
        return False
    if changed_inputs(content.get(MADE_FROM, {}), {"data": job.data_sha256}):
        say(f"{job}: the network was trained on other data; drawing samples again: {manifest}")
        return False
    say(f"{job}: the samples are already drawn: {manifest}")
    return True


def _restore(job: SamplingJob, manifest: Path) -> bool:
    """Restore a missing manifest from its copy, if these weights drew the samples."""
    copy = job.paths.samples_manifest_copy(job.run.id, job.setting.store)
    try:
        content = json.loads(copy.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    if content.get("weights_sha256") != job.weights_sha256:
        return False
    write_json(manifest, content)
    return True
