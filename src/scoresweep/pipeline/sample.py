"""Rule `sample`: draw the samples of one setting from one trained network.

The samples are cut into fixed chunks, each drawn from a generator seeded by (seed, chunk). A chunk
is a function of weights, setting, seed and its index: any number of processes or restarts gives the
same samples. A chunk that is done lies in a file until all of them are.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import pkgutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from scoresweep.console import progress, say
from scoresweep.data.samples import write_samples
from scoresweep.data.store import read_samples, read_split
from scoresweep.errors import InputError, RunError, ScoresweepError
from scoresweep.files import remove, sha256_of, whole, write_json
from scoresweep.jobstate import JobState
from scoresweep.locks import exclusive
from scoresweep.networks.base import ScoreNetwork
from scoresweep.pipeline.device import check_precision
from scoresweep.pipeline.memory import (
    bytes_of_a_sample,
    bytes_of_largest_layer,
    memory_limit,
    size_that_fits,
    told_of_memory,
)
from scoresweep.process import set_up_process
from scoresweep.samplers import initial, interpolated, known_part
from scoresweep.score import Score, knows_density
from scoresweep.seeds import derive_seed, generator_for
from scoresweep.study import Layout, Plan, Run, Sample, Setting
from scoresweep.study.components.tasks import Inpainting, Interpolation
from scoresweep.tensors import sha256_of_tensors, write_tensors
from scoresweep.training.compiling import compile_network
from scoresweep.training.ladder import resolve_ladder, training_points
from scoresweep.training.weights import load_network

__all__ = ["sample", "steps_of_levels"]

HELD = 4
"""Tensors of the size of a chunk that a sampler has at once: samples, score, noise, a product."""


@dataclass(frozen=True)
class _Work:
    """What a process needs to draw chunks."""

    run: Run
    setting: Setting
    layout: Layout
    threads: int
    gpus: int
    weights_sha256: str

    @property
    def parts(self) -> Path:
        return self.layout.samples_parts(self.run.id, self.setting.id)

    @property
    def seed(self) -> int:
        """The setting's seed, or the run's, so that repeats over the run's seed are independent."""
        seed = self.setting.sample.seed
        return self.run.train.seed if seed is None else seed

    def device(self, process: int = 0) -> str:
        """Where a process draws: the GPUs are shared out in turn."""
        return f"cuda:{process % self.gpus}" if self.gpus else "cpu"

    def devices(self, processes: int) -> int:
        """How many GPUs, or cores of the CPU, `processes` keep at work."""
        return min(self.gpus, processes) if self.gpus else processes * self.threads


@dataclass(frozen=True)
class _Walk:
    """What the setting's options are on the run's ladder and data."""

    sigmas: Tensor
    """The ladder to walk down, (L,)."""
    steps: Tensor
    """Step size η of each level, (L,); NaN where the sampler has none."""
    mask: Tensor | None
    """In-painting: the part of a sample that is known."""


def sample(
    plan: Plan, run_id: str, setting_id: str, processes: int = 1, threads: int = 1, gpus: int = 0
) -> None:
    """Draw the samples of a setting in `processes` processes and write them as one Zarr store.

    Raises `InputError` where the setting does not fit the run (a step size that diverges) or there
    are fewer GPUs or none that know the precision, and `RunError` where samples are not finite, a
    chunk does not fit into memory or a process is killed.
    """
    run, setting, layout = plan.run(run_id), plan.setting(setting_id), plan.layout
    if gpus and gpus > torch.cuda.device_count():
        found = torch.cuda.device_count()
        raise InputError(f"gpus: {gpus}: expected {found} or fewer, which this machine can use")
    weights = layout.weights(run.id)
    digest = sha256_of(weights) if weights.exists() else ""
    work = _Work(run, setting, layout, threads, gpus, digest)
    with exclusive(layout.samples_lock(run.id, setting.id)):
        if not _is_drawn(work):
            _sample(work, processes)


def _sample(work: _Work, processes: int) -> None:
    """Draw and write the samples, and keep telling how far that is."""
    run, setting, layout = work.run, work.setting, work.layout
    state = JobState("running", 0, math.ceil(setting.sample.count / setting.sample.chunk))
    state_path = layout.samples_progress(run.id, setting.id)
    try:
        check_precision("sample", setting.sample.precision, work.gpus)
        network = load_network(layout.run(run.id))
        walk = _walk(work, network)
        _check_memory(work, network, walk, processes)
        _draw_all(work, processes, state, state_path)
        _write(work, walk, network, state.seconds, work.devices(processes))
    except ScoresweepError as error:
        state.state, state.message = "failed", str(error)
        with contextlib.suppress(RunError):  # a disk that is still full: the first error is told
            state.write(state_path)
        raise
    state.state = "done"
    state.write(state_path)
    remove(work.parts)


def _is_drawn(work: _Work) -> bool:
    """Return whether the samples of these weights are there; others are named."""
    manifest = work.layout.samples_manifest(work.run.id, work.setting.id)
    if not manifest.exists() and not _restored(work, manifest):
        return False
    try:
        read_samples(work.layout.samples(work.run.id, work.setting.id))
        drawn = json.loads(manifest.read_text(encoding="utf-8")).get("weights_sha256")
    except InputError as error:
        say(f"{error} They are drawn again.")
        return False
    what = "are drawn already" if drawn == work.weights_sha256 else "came from other weights"
    say(f"the samples of {work.run.id}, {work.setting.id} {what}: {manifest}")
    return bool(drawn == work.weights_sha256)


def _restored(work: _Work, manifest: Path) -> bool:
    """Write the manifest again where its copy says that these weights have drawn all samples."""
    copy = work.layout.samples_manifest_copy(work.run.id, work.setting.id)
    try:
        content = json.loads(copy.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return False
    if content.get("weights_sha256") != work.weights_sha256:
        return False
    write_json(manifest, content)
    return True


def _walk(work: _Work, network: ScoreNetwork) -> _Walk:
    """Return ladder, step sizes and mask; raise `InputError` where the options do not fit them."""
    options = work.setting.sample
    if options.noise is None:
        sigmas = network.sigmas.double()
    else:
        store = work.layout.dataset_store(work.run.dataset.id)
        sigmas = resolve_ladder(options.noise, functools.partial(training_points, store))
    steps, mask = steps_of_levels(work.run, work.setting, sigmas), None
    if isinstance(options.task, Inpainting):
        try:
            mask = known_part(options.task.mask, network.shape)
        except ValueError as error:
            raise InputError(f"sample.task: does not fit run {work.run.id}: {error}") from None
    return _Walk(sigmas, steps, mask)


def steps_of_levels(run: Run, setting: Setting, sigmas: Tensor) -> Tensor:
    """Return the step size of each level of the ladder `sigmas`, (L,), for a setting of `run`.

    Raises `InputError` where the sampler's options do not fit that ladder.
    """
    sampler = setting.sample.sampler
    schedule = pkgutil.resolve_name(sampler.schedule)
    try:
        steps: Tensor = schedule(sigmas, **sampler.arguments())
    except ValueError as error:
        raise InputError(
            f"sample.sampler: setting {setting.id} does not fit run {run.id}: {error}"
        ) from None
    return steps


def _check_memory(work: _Work, network: ScoreNetwork, walk: _Walk, processes: int) -> None:
    """Raise `InputError` where a CPU's memory does not hold the least that a chunk takes.

    A system that runs out of memory kills a process without a word. A sampler has a few tensors of
    the size of a chunk, and the network, at its largest layer, what goes in and what comes out.
    """
    if work.gpus:
        return
    options, x = work.setting.sample, torch.zeros(1, *network.shape)
    score = _score(network, options)
    layer = bytes_of_largest_layer(network, lambda: score(x, walk.sigmas[:1].to(x)))
    each, room = HELD * 4 * x.numel() + layer, memory_limit() // processes
    if options.chunk * each > room:
        raise InputError(
            f"sample.chunk: {options.chunk}: {HELD} copies of so many samples, as a sampler has "
            f"them, and the largest layer of the network take {options.chunk * each / 2**30:.3g} "
            f"GiB; a process has {room / 2**30:.3g} GiB on this machine; "
            f"expected fewer than {room // each} (other samples)"
        )


# ── chunks ──────────────────────────────────────────────────────────────────────────────────────


def _draw_all(work: _Work, processes: int, state: JobState, state_path: Path) -> None:
    """Draw the chunks that are not drawn yet."""
    work.parts.mkdir(parents=True, exist_ok=True)
    missing = [chunk for chunk in range(state.steps) if not _is_whole(work, chunk)]
    before = state.step = state.steps - len(missing)
    earlier = JobState.read(state_path)
    if earlier and before:
        state.seconds, state.restarts = earlier.seconds, earlier.restarts + 1
    state.write(state_path)
    options, seconds, started = work.setting.sample, state.seconds, time.monotonic()
    with progress(f"sample {work.run.id} {work.setting.id}", state.steps, before) as advance:
        for done in _drawn(work, missing, processes):
            advance(done - state.step + before)
            state.step = before + done
            passed = time.monotonic() - started
            state.seconds = seconds + passed
            state.images_per_second = min(done * options.chunk, options.count) / passed
            state.write(state_path)


def _drawn(work: _Work, chunks: list[int], processes: int) -> Iterator[int]:
    """Draw `chunks`; yield how many of them are done, from time to time and at the end."""
    if processes == 1 or len(chunks) < 2:
        yield from _draw(work, chunks, work.device())
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(processes, context, initializer=_end_with_parent) as pool:
        waiting: set[Future[None]] = {
            pool.submit(_draw_share, work, chunks[i::processes], work.device(i))
            for i in range(processes)
        }
        while waiting:
            finished, waiting = wait(waiting, timeout=1, return_when=FIRST_EXCEPTION)
            for share in finished:
                _raise_failure(work, share)
            yield sum(_part(work, chunk).exists() for chunk in chunks)


def _end_with_parent() -> None:
    """End this process when the one that started it is killed: nobody would ever stop it."""
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _raise_failure(work: _Work, share: Future[None]) -> None:
    """Raise what went wrong in a process, if anything did."""
    try:
        share.result()
    except BrokenProcessPool:
        raise RunError(
            f"run {work.run.id}, setting {work.setting.id}: a process was killed, often for want "
            f"of memory. The chunks that are drawn are kept: run the same command again, with "
            f"fewer processes"
        ) from None


def _draw_share(work: _Work, chunks: list[int], device: str) -> None:
    """Draw `chunks` in this process, one of several."""
    for _ in _draw(work, chunks, device):
        pass


def _draw(work: _Work, chunks: list[int], device: str) -> Iterator[int]:
    """Draw `chunks` one after the other; yield how many are done after each."""
    set_up_process(work.threads)
    network = load_network(work.layout.run(work.run.id)).to(device)
    walk, store = _walk(work, network), work.layout.dataset_store(work.run.dataset.id)
    data = originals = None
    if work.setting.sample.initial == "data_plus_noise":
        data = read_split(store, "train").model_space()
    if walk.mask is not None:
        originals = read_split(store, "test").model_space()
    advice = functools.partial(_smaller_chunk, work, network, walk, device)
    if work.setting.sample.compile:
        with told_of_memory(advice):
            _compile(network, work.setting.sample, walk, device)
    for done, chunk in enumerate(chunks, start=1):
        with told_of_memory(advice):
            _draw_chunk(work, chunk, device, network, walk, data, originals)
        yield done


def _compile(network: ScoreNetwork, options: Sample, walk: _Walk, device: str) -> None:
    """Compile the network for chunks as the sampler gives them."""
    x = torch.zeros(options.chunk, *network.shape, device=device)

    @torch.no_grad()
    def attempt() -> None:
        _score(network, options)(x, x.new_full((len(x),), float(walk.sigmas[0])))

    compile_network(network, attempt)


@torch.no_grad()
def _smaller_chunk(work: _Work, network: ScoreNetwork, walk: _Walk, device: str) -> str:
    """Say how many samples fit into memory at once, by scores that are tried out."""
    options = work.setting.sample

    def evaluate(size: int) -> None:
        # The sampler has the samples, their noise and what it makes of them beside the score.
        x, *_held = torch.zeros(HELD, size, *network.shape, device=device)
        _score(network, options)(x, walk.sigmas[:1].to(x).expand(size))

    x = torch.zeros(1, *network.shape, device=device)
    kept = functools.partial(bytes_of_a_sample, _score(network, options), x, walk.sigmas[:1].to(x))
    fitting = size_that_fits(evaluate, options.chunk, kept, x.device)
    instead = "Not even one fits; expected a smaller network, or more memory."
    if fitting:
        instead = f"{fitting} at once fit, as was tried: sample.chunk: {fitting} (other samples)."
    return (
        f"sample.chunk: {options.chunk}: run {work.run.id}, setting {work.setting.id}: so many "
        f"samples at once are more than the memory of {device} holds. {instead}"
    )


def _draw_chunk(
    work: _Work,
    chunk: int,
    device: str,
    network: ScoreNetwork,
    walk: _Walk,
    data: Tensor | None,
    originals: Tensor | None,
) -> None:
    """Draw one chunk and write it to its file.

    A chunk is drawn whole, also the last one of which only a part is kept: what a sample is then
    does not depend on how many are asked for.
    """
    options = work.setting.sample
    generator = generator_for(work.seed, "sample", chunk, device=device)
    x = initial(
        options.initial,
        options.chunk,
        network.shape,
        sigma_max=float(walk.sigmas[0]),
        data=data,
        generator=generator,
        device=device,
    )
    given: dict[str, Any] = {"generator": generator, **options.sampler.arguments()}
    drawn: dict[str, Tensor] = {}
    if isinstance(options.task, Interpolation):
        # A row starts from one point: only the noise turns from sample to sample.
        x = x[:: options.task.steps].repeat_interleave(options.task.steps, dim=0)
        given["noise"] = interpolated(options.task.steps, generator)
    if walk.mask is not None and originals is not None:
        drawn["original"] = (chunk * options.chunk + torch.arange(len(x))) % len(originals)
        given |= {"known": originals[drawn["original"]].to(x), "mask": walk.mask.to(device)}
    x, diagnostics = _walk_down(work, chunk, network, walk.sigmas, x, given)
    with whole(_part(work, chunk)) as temporary:
        drawn |= {"x": x, **diagnostics}
        digests = {"weights_sha256": work.weights_sha256, "sha256": sha256_of_tensors(drawn)}
        write_tensors(temporary, drawn, digests)


def _walk_down(
    work: _Work,
    chunk: int,
    network: ScoreNetwork,
    sigmas: Tensor,
    x: Tensor,
    given: dict[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the samples that the sampler makes of the starting points `x`, and its diagnostics."""
    options = work.setting.sample
    kept = min(options.trajectories, options.count) - chunk * options.chunk
    watch = _Watch(sigmas, min(options.chunk, max(0, kept)))
    sampler, score = options.sampler.load(), _score(network, options)
    x = sampler(score, x, sigmas, observe=watch, **given)
    _check_finite(x, work, chunk, watch)
    return x.cpu(), watch.tensors()


def _score(network: ScoreNetwork, options: Sample) -> Score:
    """Return the network, under automatic mixed precision where asked for.

    An exact score, which has an energy too, is not made less exact.
    """
    if options.precision == "no" or knows_density(network):
        return network

    def score(x: Tensor, sigma: Tensor) -> Tensor:
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            output: Tensor = network(x, sigma).to(x.dtype)
        return output

    return score


class _Watch:
    """Diagnostics of each level that a sampler visits, and the trajectories of the first samples.

    All stays on the device.
    """

    def __init__(self, sigmas: Tensor, trajectories: int) -> None:
        self.sigmas = sigmas
        self.trajectories = trajectories
        self.levels: list[int] = []
        self.rms: list[Tensor] = []
        self.score_norm: list[Tensor] = []
        self.frames: list[Tensor] = []

    def __call__(self, level: int, x: Tensor, score: Tensor) -> None:
        """Note the state at a level."""
        self.levels.append(level)
        self.rms.append(x.flatten(1).square().mean(1).sqrt().mean())
        norms = score.flatten(1).square().mean(1).sqrt()
        self.score_norm.append(norms.mean() * float(self.sigmas[level]))
        if self.trajectories:
            self.frames.append(x[: self.trajectories].to("cpu", copy=True))

    def tensors(self) -> dict[str, Tensor]:
        """Return (level,) levels and diagnostics, and (trajectory, level, ...) trajectories."""
        kept = {
            "level": torch.tensor(self.levels),
            "rms": torch.stack(self.rms).cpu(),
            "score_norm": torch.stack(self.score_norm).cpu(),
        }
        if self.frames:
            kept["trajectory"] = torch.stack(self.frames, dim=1)
        return kept


def _check_finite(x: Tensor, work: _Work, chunk: int, watch: _Watch) -> None:
    bad = (~torch.isfinite(x.flatten(1)).all(1)).sum().item()
    if bad:
        finite = torch.isfinite(torch.stack(watch.rms))
        first = len(finite) - 1 if bool(finite.all()) else int((~finite).nonzero()[0])
        level = watch.levels[first] + 1
        raise RunError(
            f"run {work.run.id}, setting {work.setting.id}: {bad} of {len(x)} samples of chunk "
            f"{chunk} are not finite from level {level} on (sigma {watch.sigmas[level - 1]:.4g}); "
            f"a smaller step_size may help"
        )


def _part(work: _Work, chunk: int) -> Path:
    return work.parts / f"chunk-{chunk:06d}.safetensors"


def _is_whole(work: _Work, chunk: int) -> bool:
    """Return whether a chunk is drawn, from these weights; another one is named and removed."""
    path = _part(work, chunk)
    if not path.exists():
        return False
    try:
        _read_part(work, chunk)
    except ValueError as error:
        say(f"{path} {error}; it is drawn again")
        path.unlink()
    return path.exists()


def _read_part(work: _Work, chunk: int) -> dict[str, Tensor]:
    """Return what was drawn of a chunk; raise `ValueError` where that cannot be used."""
    try:
        with safe_open(_part(work, chunk), framework="pt") as file:
            digests = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"is damaged ({error})") from error
    if digests.get("weights_sha256") != work.weights_sha256:
        raise ValueError("came from other weights")
    if digests.get("sha256") != sha256_of_tensors(tensors):
        raise ValueError("is damaged (its SHA-256 is not the one that it names)")
    return tensors


# ── the store ───────────────────────────────────────────────────────────────────────────────────


def _write(work: _Work, walk: _Walk, network: ScoreNetwork, seconds: float, devices: int) -> None:
    """Put the chunks together to one store; its manifest comes last."""
    options, run, setting = work.setting.sample, work.run, work.setting
    chunks = math.ceil(options.count / options.chunk)
    parts = [_read_part(work, chunk) for chunk in range(chunks)]
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
        work.layout.samples(run.id, setting.id),
        torch.cat([part["x"] for part in parts])[: options.count],
        chunk_seed=seeds.repeat_interleave(options.chunk)[: options.count],
        levels=levels,
        trajectory=torch.cat(frames) if frames else None,
        original=torch.cat(originals)[: options.count] if originals else None,
        attributes=attributes,
    )
    facts = {"count": options.count, "shape": list(network.shape), "devices": devices}
    manifest = facts | attributes | described
    write_json(work.layout.samples_manifest_copy(run.id, setting.id), manifest)
    write_json(work.layout.samples_manifest(run.id, setting.id), manifest)
