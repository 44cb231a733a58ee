"""Rule `sample`: draw the samples of one setting from one trained network.

The samples are cut into fixed chunks, each drawn from a generator seeded by (seed, chunk). A chunk
is a function of weights, setting, seed and its index: any number of processes or restarts gives the
same samples. A chunk that is done lies in a file until all of them are.
"""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import torch

from scoresweep.networks.base import ScoreNetwork
from scoresweep.pipeline.errors import InputError, RunError, ScoresweepError
from scoresweep.pipeline.results import recorded_dataset
from scoresweep.pipeline.results.code_summary import remove_if_other_code
from scoresweep.pipeline.results.code_version import MADE_BY, current_code, join_codes
from scoresweep.pipeline.results.input_hashes import (
    MADE_FROM,
    changed_inputs,
    recorded_weights_sha256,
)
from scoresweep.pipeline.sampling.chunks import (
    SamplingJob,
    check_chunk_memory,
    chunk_made_by,
    chunk_path,
    draw_chunks,
    is_whole,
    read_chunk,
)
from scoresweep.pipeline.sampling.resolve import ResolvedSampling
from scoresweep.pipeline.sampling.sample_store import read_samples, write_samples
from scoresweep.pipeline.study import Plan, Setting
from scoresweep.pipeline.system.atomic_files import remove, sha256_of, write_json
from scoresweep.pipeline.system.console import progress, say
from scoresweep.pipeline.system.device import check_precision
from scoresweep.pipeline.system.job_state import JobState
from scoresweep.pipeline.system.locks import file_lock
from scoresweep.pipeline.system.process import exit_with_parent
from scoresweep.pipeline.training.weights import load_network
from scoresweep.seeds import derive_seed

__all__ = ["sample"]

TRIES = 3
"""How often chunks that something else deletes are drawn."""

NAMED = 3
"""Most chunks that a message names."""


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
    """Draw the samples of a setting in `processes` processes and write them as one Zarr store.

    With `this_code`, samples and chunks that other code has drawn are drawn again.

    Raises `InputError` where the setting does not fit the run (a step size that diverges) or there
    are fewer GPUs or none that know the precision, and `RunError` where samples are not finite, a
    chunk does not fit into memory or a process is killed.
    """
    run, setting, layout = plan.run(run_id), plan.setting(setting_id), plan.paths
    current_code("samples")  # the code of now, not of the end
    if gpus and gpus > torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise InputError(f"gpus: {gpus}: expected {found} or fewer, which this machine can use")
    weights = layout.weights(run.id)
    digest = sha256_of(weights) if weights.exists() else ""
    processes = min(processes, _chunks(setting))
    data = recorded_dataset(layout, run.dataset.id).sha256
    work = SamplingJob(run, setting, layout, processes, threads, gpus, digest, data, this_code)
    with file_lock(layout.samples_lock(run.id, setting.id)):
        if this_code:
            _discard_other_code(work)
        if not _is_drawn(work):
            _sample(work)


def _discard_other_code(work: SamplingJob) -> None:
    """Remove what says that the samples are drawn, if other code has drawn them."""
    manifest = work.paths.samples_manifest(work.run.id, work.setting.id)
    copy = work.paths.samples_manifest_copy(work.run.id, work.setting.id)
    if not manifest.exists():
        copy.unlink(missing_ok=True)
    remove_if_other_code("samples", manifest, copy)


def _sample(work: SamplingJob) -> None:
    """Draw and write the samples, and keep telling how far that is."""
    run, setting, layout = work.run, work.setting, work.paths
    state = JobState("running", 0, _chunks(setting))
    state_path = layout.samples_progress(run.id, setting.id)
    try:
        check_precision("sample", setting.sample.precision, work.gpus)
        network = load_network(layout.run(run.id))
        walk = work.walk(network)
        check_chunk_memory(work, network, float(walk.sigmas[0]))
        for _ in range(TRIES):
            _draw_all(work, state, state_path)
            try:
                _write(work, walk, network, state.seconds)
                break
            except FileNotFoundError as error:
                say(f"{_vanished(work, error)}; what is missing is drawn again")
        else:
            raise RunError(
                f"{work.parts}: chunks were deleted {TRIES} times while samples were drawn; find "
                f"out what deletes them, then run the same command again"
            )
    except ScoresweepError as error:
        state.state, state.message = "failed", str(error)
        with contextlib.suppress(RunError):  # a disk that is still full: the first error is told
            state.write(state_path)
        raise
    state.state = "done"
    state.write(state_path)
    remove(work.parts)


def _vanished(work: SamplingJob, error: Exception) -> str:
    """Say which chunks another process has deleted or damaged, or what else is wrong."""
    chunks = range(_chunks(work.setting))
    gone = [
        chunk_path(work, chunk).name for chunk in chunks if not chunk_path(work, chunk).exists()
    ]
    if not gone:
        return (
            f"run {work.run.id}, setting {work.setting.id}: the samples were not written ({error})"
        )
    names = ", ".join(gone[:NAMED]) + (f" and {len(gone) - NAMED} more" if gone[NAMED:] else "")
    return f"{work.parts}: {names} of {len(chunks)} chunks vanished while samples were drawn"


def _is_drawn(work: SamplingJob) -> bool:
    """Return whether the samples of these weights are there; others are named."""
    manifest = work.paths.samples_manifest(work.run.id, work.setting.id)
    if not manifest.exists() and not _restored(work, manifest):
        return False
    try:
        read_samples(work.paths.samples(work.run.id, work.setting.id))
        content = json.loads(manifest.read_text(encoding="utf-8"))
    except InputError as error:
        say(f"{error} They are drawn again.")
        return False
    what, drawn = "are drawn already", content.get("weights_sha256") == work.weights_sha256
    if not drawn:
        what = "came from other weights"
    elif changed_inputs(content.get(MADE_FROM, {}), {"data": work.data_sha256}):
        what, drawn = "came from a network of other data", False
    say(f"the samples of {work.run.id}, {work.setting.id} {what}: {manifest}")
    return bool(drawn)


def _restored(work: SamplingJob, manifest: Path) -> bool:
    """Write the manifest again where its copy says that these weights have drawn all samples."""
    copy = work.paths.samples_manifest_copy(work.run.id, work.setting.id)
    try:
        content = json.loads(copy.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    if content.get("weights_sha256") != work.weights_sha256:
        return False
    write_json(manifest, content)
    return True


# ── processes ───────────────────────────────────────────────────────────────────────────────────


def _chunks(setting: Setting) -> int:
    """Return how many chunks the samples are cut into."""
    return math.ceil(setting.sample.count / setting.sample.chunk)


def _draw_all(work: SamplingJob, state: JobState, state_path: Path) -> None:
    """Draw the chunks that are not drawn yet."""
    work.parts.mkdir(parents=True, exist_ok=True)
    missing = [chunk for chunk in range(state.steps) if not is_whole(work, chunk)]
    before = state.step = state.steps - len(missing)
    earlier = JobState.read(state_path)
    if earlier and before:
        state.seconds, state.restarts = earlier.seconds, earlier.restarts + 1
    state.write(state_path)
    options, seconds, started = work.setting.sample, state.seconds, time.monotonic()
    with progress(f"sample {work.run.id} {work.setting.id}", state.steps, before) as advance:
        for done in _drawn(work, missing):
            advance(done - state.step + before)
            state.step = before + done
            passed = time.monotonic() - started
            state.seconds = seconds + passed
            state.images_per_second = min(done * options.chunk, options.count) / passed
            state.write(state_path)


def _drawn(work: SamplingJob, chunks: list[int]) -> Iterator[int]:
    """Draw `chunks`; yield how many of them are done, from time to time and at the end."""
    if work.processes == 1 or len(chunks) < 2:
        yield from draw_chunks(work, chunks, work.device())
        return
    context = get_context("spawn")
    stopping = context.Event()
    with ProcessPoolExecutor(work.processes, context, _begin, (stopping,)) as pool:
        waiting: set[Future[None]] = {
            pool.submit(_draw_share, work, chunks[i :: work.processes], work.device(i))
            for i in range(work.processes)
        }
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=1, return_when=FIRST_EXCEPTION)
                for share in finished:
                    _raise_failure(work, share)
                yield sum(chunk_path(work, chunk).exists() for chunk in chunks)
        finally:
            stopping.set()


_stopping: Event
"""In each of several processes: once set, the chunk that is being drawn is the last."""


def _begin(stopping: Event) -> None:
    """Begin one of several processes; it ends, too, when the one that started it is killed."""
    global _stopping
    _stopping = stopping
    exit_with_parent()


def _raise_failure(work: SamplingJob, share: Future[None]) -> None:
    """Raise what went wrong in a process, if anything did."""
    try:
        share.result()
    except BrokenProcessPool:
        raise RunError(
            f"run {work.run.id}, setting {work.setting.id}: a process was killed, often for want "
            f"of memory. The chunks that are drawn are kept: run the same command again, with "
            f"fewer processes"
        ) from None


def _draw_share(work: SamplingJob, chunks: list[int], device: str) -> None:
    """Draw `chunks` in this process, one of several, as long as none of them has failed."""
    for _ in draw_chunks(work, chunks, device):
        if _stopping.is_set():
            return


# ── the store ───────────────────────────────────────────────────────────────────────────────────


def _write(
    work: SamplingJob, walk: ResolvedSampling, network: ScoreNetwork, seconds: float
) -> None:
    """Put the chunks together to one store; its manifest comes last."""
    options, run, setting = work.setting.sample, work.run, work.setting
    chunks = _chunks(setting)
    parts = [read_chunk(work, chunk) for chunk in range(chunks)]
    code = join_codes(chunk_made_by(work, chunk) for chunk in range(chunks))
    seeds = torch.tensor([derive_seed(work.seed, "sample", chunk) for chunk in range(chunks)])
    levels = {
        name: torch.stack([part[name] for part in parts]).double().mean(0)
        for name in ("rms", "score_norm")
    }
    visited = parts[0]["level"]
    levels |= {"sigma": walk.sigmas[visited], "step_size": walk.steps[visited]}
    frames = [part["trajectory"] for part in parts if "trajectory" in part]
    originals = [part["original"] for part in parts if "original" in part]
    attributes: dict[str, Any] = {
        "run": run.id,
        "setting": setting.id,
        "sample": options.model_dump_json(),
        "task": options.task.name if options.task else "none",
        "seed": work.seed,
        "seconds": seconds,
        "device": torch.cuda.get_device_name(work.device()) if work.gpus else "cpu",
        "weights_sha256": work.weights_sha256,
    }
    described = write_samples(
        work.paths.samples(run.id, setting.id),
        torch.cat([part["x"] for part in parts])[: options.count],
        chunk_seed=seeds.repeat_interleave(options.chunk)[: options.count],
        levels=levels,
        trajectory=torch.cat(frames) if frames else None,
        original=torch.cat(originals)[: options.count] if originals else None,
        attributes=attributes,
    )
    facts = {"count": options.count, "shape": list(network.shape), "devices": work.devices}
    inputs = {
        "weights": recorded_weights_sha256(work.paths.weights(run.id)),
        "data": work.data_sha256,
    }
    origin = {MADE_FROM: {name: sha256 for name, sha256 in inputs.items() if sha256}}
    manifest = facts | attributes | described | origin | {MADE_BY: code.record()}
    write_json(work.paths.samples_manifest_copy(run.id, setting.id), manifest)
    write_json(work.paths.samples_manifest(run.id, setting.id), manifest)
