"""Rule `sample`: draw the samples of one setting from one trained network.

Samples are drawn in fixed chunks, each from its own generator, seeded by (seed, chunk): neither the
number of processes nor restarts nor the number of samples change them. So a store that holds fewer
samples than asked for grows by the missing chunks. Finished chunks are kept in files until all are
drawn. Then a larger store is written; once it has its manifest, the old one is removed.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from pathlib import Path

from scoresweep.pipeline.data.store_manifest import manifest_path
from scoresweep.pipeline.errors import InputError, RunError, ScoresweepError
from scoresweep.pipeline.results import recorded_dataset
from scoresweep.pipeline.results.best_step import weights_of
from scoresweep.pipeline.results.code_summary import remove_if_other_code
from scoresweep.pipeline.results.code_version import current_code
from scoresweep.pipeline.results.plugin_copies import keep_copies
from scoresweep.pipeline.sampling.assemble import assemble
from scoresweep.pipeline.sampling.chunk_files import chunk_path, is_drawn, remove_chunks
from scoresweep.pipeline.sampling.held_samples import HeldSamples, find_held
from scoresweep.pipeline.sampling.sampling_job import ONE_CORE, Devices, SamplingJob
from scoresweep.pipeline.sampling.store_files import finish_replacement, record_hashes
from scoresweep.pipeline.sampling.worker_pool import draw_in_processes
from scoresweep.pipeline.study import Plan, Run, Setting
from scoresweep.pipeline.study.plugins.used_plugins import used_plugins
from scoresweep.pipeline.system.atomic_files import sha256_of
from scoresweep.pipeline.system.console import progress, say
from scoresweep.pipeline.system.device import check_gpus, check_precision
from scoresweep.pipeline.system.file_cache import load_once
from scoresweep.pipeline.system.job_state import JobState
from scoresweep.pipeline.system.locks import file_lock
from scoresweep.pipeline.training.weights import load_run_network

__all__ = ["sample"]

ATTEMPTS = 3
"""How many times chunks that another process deletes are drawn."""

MAX_NAMED = 3
"""Maximum number of chunks named in a message."""


def sample(
    plan: Plan,
    run_id: str,
    setting_id: str,
    devices: Devices = ONE_CORE,
    *,
    this_code: bool = False,
) -> None:
    """Draw the samples of a setting on `devices` and write them to a Zarr store.

    With `this_code`, samples and chunks that other code drew are redrawn.

    Raises `InputError` if the setting does not fit the run (a step size that diverges) or the GPUs
    are too few or lack the precision, and `RunError` if samples are not finite, a chunk does not
    fit in memory or a process is killed.
    """
    current_code("samples")  # hash the code now: it may be edited while samples are drawn
    check_gpus(devices.gpus)
    run, setting = plan.run(run_id), plan.setting(setting_id)
    job = _job(plan, run, setting, devices, this_code)
    store = plan.paths.samples(run.id, setting.store)
    with file_lock(plan.paths.samples_lock(run.id, setting.store)):
        finish_replacement(store)
        if this_code:  # delete the manifest of samples of other code, so that they are redrawn
            remove_if_other_code("samples", manifest_path(store))
        held = find_held(job)
        if held.count < setting.sample.count:
            keep_copies(plan.paths, *used_plugins(setting.sample))
            _sample(job, held)
        else:
            record_hashes(store, (*job.counts, setting.sample.count))
            say(f"{job}: the samples are already drawn: {manifest_path(store)}")


def _job(plan: Plan, run: Run, setting: Setting, devices: Devices, this_code: bool) -> SamplingJob:
    """Return the sampling job of a setting, with at most as many processes as chunks."""
    name = weights_of(plan, run, setting)
    if name is None:
        raise InputError(
            f"run {run.id}, setting {setting.id}: its training step is not chosen yet; "
            f"`scoresweep sweep` measures every step and chooses"
        )
    weights = plan.paths.weights(run.id, name)
    digest = load_once("hash", (weights,), lambda: sha256_of(weights)) if weights.exists() else ""
    data = recorded_dataset(plan.paths, run.dataset.id).sha256
    counts = _counts_of_store(plan, setting.store)
    job = SamplingJob(run, setting, plan.paths, devices, digest, data, this_code, counts, name)
    return replace(job, devices=replace(devices, processes=min(devices.processes, job.chunks)))


def _counts_of_store(plan: Plan, store: str) -> tuple[int, ...]:
    """Return the numbers of samples that the study asks of a store."""
    sharing = [setting for setting in plan.settings if setting.store == store]
    return tuple({count for s in sharing for count in (s.sample.count, *s.ids)})


def _sample(job: SamplingJob, held: HeldSamples) -> None:
    """Draw and write the missing samples; keep the job's state file up to date."""
    state = JobState("running", 0, job.chunks)
    state_path = job.paths.samples_progress(job.run.id, job.setting.store)
    try:
        _draw_and_write(job, held, state, state_path)
    except ScoresweepError as error:
        state.state, state.message = "failed", str(error)
        with contextlib.suppress(RunError):  # if the disk is full, report the first error
            state.write(state_path)
        raise
    state.state = "done"
    state.write(state_path)
    remove_chunks(job)


def _draw_and_write(job: SamplingJob, held: HeldSamples, state: JobState, state_path: Path) -> None:
    check_precision("sample", job.setting.sample.precision, job.devices.gpus)
    network = load_run_network(job.run, job.paths, job.weights)
    resolved = job.resolve(network)
    for _ in range(ATTEMPTS):
        _draw_missing(job, held, state, state_path)
        try:
            assemble(job, resolved, network, state.seconds, held)
            return
        except (FileNotFoundError, InputError) as error:
            say(f"{_describe_missing(job, held, error)}; drawing what is missing")
            held = find_held(job)
    raise RunError(
        f"{job.chunk_folder}: chunks were deleted {ATTEMPTS} times while samples were drawn; find "
        f"out what deletes them, then run the same command again"
    )


def _draw_missing(job: SamplingJob, held: HeldSamples, state: JobState, state_path: Path) -> None:
    """Draw the chunks that are neither in the store nor in a usable file."""
    job.chunk_folder.mkdir(parents=True, exist_ok=True)
    first = held.full_chunks(job)
    missing = [chunk for chunk in range(first, job.chunks) if not is_drawn(job, chunk)]
    before = state.step = job.chunks - len(missing)
    earlier = JobState.read(state_path)
    if earlier and earlier.state != "done" and before > first:
        state.seconds, state.restarts = earlier.seconds, earlier.restarts + 1
    elif first:
        state.seconds = held.seconds(job)
    state.write(state_path)
    options, seconds, started = job.setting.sample, state.seconds, time.monotonic()
    with progress(f"sample {job.run.id} {job.setting.id}", job.chunks, before) as advance:
        for done in draw_in_processes(job, missing):
            advance(done - state.step + before)
            elapsed = time.monotonic() - started
            state.step, state.seconds = before + done, seconds + elapsed
            state.images_per_second = min(done * options.chunk, options.count) / elapsed
            state.write(state_path)


def _describe_missing(job: SamplingJob, held: HeldSamples, error: Exception) -> str:
    """Name the chunk files that were deleted, or else the error."""
    paths = [chunk_path(job, chunk) for chunk in range(held.full_chunks(job), job.chunks)]
    missing = [path.name for path in paths if not path.exists()]
    if not missing:
        return f"{job}: the samples could not be written ({error})"
    more = len(missing) - MAX_NAMED
    names = ", ".join(missing[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"{job.chunk_folder}: {names} of {len(paths)} chunks were deleted"
