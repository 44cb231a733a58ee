"""Chunks of samples: each is drawn from the run's network, and kept in a file of its own.

A chunk is a function of weights, setting, seed and its index.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from scoresweep.networks.base import ScoreNetwork
from scoresweep.pipeline.data.store import read_split
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.results.code_version import CodeVersion, current_code, parse_code
from scoresweep.pipeline.sampling.resolve import ResolvedSampling, resolve_sampling
from scoresweep.pipeline.study import Run, Sample, Setting, StudyPaths
from scoresweep.pipeline.study.methods.tasks import Interpolation
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.pipeline.system.console import say
from scoresweep.pipeline.system.memory_available import memory_available
from scoresweep.pipeline.system.memory_trial import START, fits
from scoresweep.pipeline.system.process import set_up_process
from scoresweep.pipeline.system.safetensors_io import save_safetensors, sha256_of_tensors
from scoresweep.pipeline.training.compile import compile_network
from scoresweep.pipeline.training.memory_advice import (
    DOUBT,
    NONE_FITS,
    bytes_of_largest_layer,
    explain_out_of_memory,
    how_found,
    largest_fitting_size,
    suffices,
)
from scoresweep.pipeline.training.weights import load_network
from scoresweep.samplers import initial_samples, interpolated_noise
from scoresweep.score import Score, has_log_density
from scoresweep.seeds import generator_for

__all__ = [
    "SamplingJob",
    "SamplingRecorder",
    "check_chunk_memory",
    "chunk_made_by",
    "chunk_path",
    "draw_chunks",
    "is_whole",
    "read_chunk",
    "score_of",
]

LIVE_TENSORS = 4
"""Tensors of the size of a chunk that a sampler has at once: samples, score, noise, a product."""


@dataclass(frozen=True)
class SamplingJob:
    """What a process needs to draw chunks."""

    run: Run
    setting: Setting
    paths: StudyPaths
    processes: int
    threads: int
    gpus: int
    weights_sha256: str
    data_sha256: str | None = None
    this_code: bool = False
    """Whether what other code has drawn is drawn again."""

    @property
    def parts(self) -> Path:
        """The folder of the files of chunks."""
        return self.paths.samples_parts(self.run.id, self.setting.id)

    @property
    def seed(self) -> int:
        """The setting's seed, or the run's, so that repeats over the run's seed are independent."""
        seed = self.setting.sample.seed
        return self.run.train.seed if seed is None else seed

    def walk(self, network: ScoreNetwork) -> ResolvedSampling:
        """Return what the setting asks for on the ladder of the run's `network`."""
        return resolve_sampling(self.run, self.setting, self.paths, network)

    def device(self, process: int = 0) -> str:
        """Where a process draws: the GPUs are shared out in turn."""
        return f"cuda:{process % self.gpus}" if self.gpus else "cpu"

    @property
    def devices(self) -> int:
        """How many GPUs, or cores of the CPU, are kept at work."""
        if self.gpus:
            return min(self.gpus, self.processes)
        return self.processes * self.threads


def draw_chunks(work: SamplingJob, chunks: list[int], device: str) -> Iterator[int]:
    """Draw `chunks` one after the other; yield how many are done after each."""
    set_up_process(work.threads)
    network = load_network(work.paths.run(work.run.id)).to(device)
    walk, store = work.walk(network), work.paths.dataset_store(work.run.dataset.id)
    data = originals = None
    if work.setting.sample.initial == "data_plus_noise":
        data = read_split(store, "train").model_space()
    if walk.mask is not None:
        originals = read_split(store, "test").model_space()
    advice = functools.partial(_smaller_chunk, work, network, float(walk.sigmas[0]), device)
    if work.setting.sample.compile:
        with explain_out_of_memory(advice):
            _compile(network, work.setting.sample, walk, device)
    for done, chunk in enumerate(chunks, start=1):
        with explain_out_of_memory(advice):
            _draw_chunk(work, chunk, device, network, walk, data, originals)
        yield done


def _compile(network: ScoreNetwork, options: Sample, walk: ResolvedSampling, device: str) -> None:
    """Compile the network for chunks as the sampler gives them."""
    x = torch.zeros(options.chunk, *network.shape, device=device)

    @torch.no_grad()
    def attempt() -> None:
        score_of(network, options)(x, x.new_full((len(x),), float(walk.sigmas[0])))

    compile_network(network, attempt)


# ── memory ──────────────────────────────────────────────────────────────────────────────────────


def check_chunk_memory(work: SamplingJob, network: ScoreNetwork, sigma: float) -> None:
    """Raise `InputError` before the first chunk where a CPU's memory cannot hold one.

    The score of a chunk at noise level `sigma` is tried out where it might not fit. A compiled
    network may take less than it does as it is: nothing is said of that. A GPU's torch itself
    tells.
    """
    chunk = work.setting.sample.chunk
    if work.gpus or work.setting.sample.compile:
        return
    is_doubtful = DOUBT * _least_bytes(work, network, chunk) > _room(work)
    if is_doubtful and not _chunk_fits(work, network, sigma, "cpu", chunk):
        raise InputError(_smaller_chunk(work, network, sigma, "cpu"))


def _room(work: SamplingJob) -> int:
    """Return the bytes of the machine's memory for one of the processes, which are to be started.

    One process alone is this one.
    """
    return memory_available() // work.processes - (START if work.processes > 1 else 0)


def _smaller_chunk(work: SamplingJob, network: ScoreNetwork, sigma: float, device: str) -> str:
    """Say how many samples fit into memory at once, by scores that are tried out."""
    chunk = work.setting.sample.chunk
    told = (
        f"sample.chunk: {chunk}: run {work.run.id}, setting {work.setting.id}: so many samples at "
        f"once are more than the memory of {device} holds."
    )
    if work.processes > 1 and not work.gpus:
        told += f" {work.processes} processes share it; fewer draw the same samples."
    size = largest_fitting_size(functools.partial(_chunk_fits, work, network, sigma, device), chunk)
    if not size:
        return f"{told} {NONE_FITS}"
    return f"{told} {size} at once fit, {how_found(device)}: sample.chunk: {size} (other samples)."


def _chunk_fits(
    work: SamplingJob, network: ScoreNetwork, sigma: float, device: str, size: int
) -> bool:
    """Tell whether memory holds `size` samples at once, by a score that is tried out."""
    if device != "cpu":
        return suffices(functools.partial(_evaluate, network, work, sigma, device, size))
    room = _room(work)
    if _least_bytes(work, network, size) > room:
        return False
    return fits(functools.partial(_first_score, work, sigma, size), room)


@torch.no_grad()
def _evaluate(
    network: ScoreNetwork, work: SamplingJob, sigma: float, device: str, size: int
) -> None:
    """Evaluate the score of `size` samples beside what else a sampler has."""
    x, *_held = torch.zeros(LIVE_TENSORS, size, *network.shape, device=device)
    score_of(network, work.setting.sample)(x, x.new_full((size,), sigma))


def _first_score(work: SamplingJob, sigma: float, size: int) -> None:
    """Evaluate the score of `size` samples in a process that has nothing yet."""
    set_up_process(work.threads)
    _evaluate(load_network(work.paths.run(work.run.id)), work, sigma, "cpu", size)


def _least_bytes(work: SamplingJob, network: ScoreNetwork, size: int) -> int:
    """Return less than `size` samples take: a few of their size, and the largest layer."""
    x = torch.zeros(1, *network.shape, device=network.sigmas.device)
    score, sigma = score_of(network, work.setting.sample), network.sigmas[:1].to(x)
    layer = bytes_of_largest_layer(network, lambda: score(x, sigma))
    return size * (LIVE_TENSORS * 4 * x.numel() + layer)


# ── one chunk ───────────────────────────────────────────────────────────────────────────────────


def _draw_chunk(
    work: SamplingJob,
    chunk: int,
    device: str,
    network: ScoreNetwork,
    walk: ResolvedSampling,
    data: Tensor | None,
    originals: Tensor | None,
) -> None:
    """Draw one chunk and write it to its file.

    A chunk is drawn whole, also the last one of which only a part is kept: what a sample is then
    does not depend on how many are asked for.
    """
    options = work.setting.sample
    generator = generator_for(work.seed, "sample", chunk, device=device)
    x = initial_samples(
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
        given["noise"] = interpolated_noise(options.task.steps, generator)
    if walk.mask is not None and originals is not None:
        drawn["original"] = (chunk * options.chunk + torch.arange(len(x))) % len(originals)
        given |= {"known": originals[drawn["original"]].to(x), "mask": walk.mask.to(device)}
    x, diagnostics = _run_sampler(work, chunk, network, walk.sigmas, x, given)
    drawn |= {"x": x, **diagnostics}
    try:
        _write_chunk(work, chunk, drawn)
    except FileNotFoundError:
        say(f"{work.parts}: was deleted while a chunk was written to it; it is written again")
        _write_chunk(work, chunk, drawn)


def _write_chunk(work: SamplingJob, chunk: int, drawn: dict[str, Tensor]) -> None:
    with atomic_write(chunk_path(work, chunk)) as temporary:
        digests = {"weights_sha256": work.weights_sha256, "sha256": sha256_of_tensors(drawn)}
        save_safetensors(temporary, drawn, digests | current_code("samples").record())


def _run_sampler(
    work: SamplingJob,
    chunk: int,
    network: ScoreNetwork,
    sigmas: Tensor,
    x: Tensor,
    given: dict[str, Any],
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the samples that the sampler makes of the starting points `x`, and its diagnostics."""
    options = work.setting.sample
    kept = min(options.trajectories, options.count) - chunk * options.chunk
    watch = SamplingRecorder(sigmas, min(options.chunk, max(0, kept)))
    sampler, score = options.sampler.load(), score_of(network, options)
    x = sampler(score, x, sigmas, observe=watch, **given)
    _check_finite(x, work, chunk, watch)
    return x.cpu(), watch.tensors()


def score_of(network: ScoreNetwork, options: Sample) -> Score:
    """Return the network, under automatic mixed precision where asked for.

    An exact score, which has an energy too, is not made less exact.
    """
    if options.precision == "no" or has_log_density(network):
        return network

    def score(x: Tensor, sigma: Tensor) -> Tensor:
        with torch.autocast(x.device.type, dtype=torch.bfloat16):
            output: Tensor = network(x, sigma).to(x.dtype)
        return output

    return score


class SamplingRecorder:
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


def _check_finite(x: Tensor, work: SamplingJob, chunk: int, watch: SamplingRecorder) -> None:
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


# ── its file ────────────────────────────────────────────────────────────────────────────────────


def chunk_path(work: SamplingJob, chunk: int) -> Path:
    """Return the file of a chunk."""
    return work.parts / f"chunk-{chunk:06d}.safetensors"


def is_whole(work: SamplingJob, chunk: int) -> bool:
    """Return whether a chunk is drawn, from these weights; another one is named and removed.

    If the work asks for this code, so is a chunk that other code drew.
    """
    path = chunk_path(work, chunk)
    if not path.exists():
        return False
    try:
        read_chunk(work, chunk)
        code = chunk_made_by(work, chunk)
        if work.this_code and code.code != current_code("samples").code:
            raise ValueError(f"was drawn by {code}")
    except FileNotFoundError:
        return False
    except ValueError as error:
        say(f"{path} {error}; it is drawn again")
        path.unlink(missing_ok=True)
        return False
    return True


def chunk_made_by(work: SamplingJob, chunk: int) -> CodeVersion:
    """Return which code drew a chunk, from its file."""
    with safe_open(chunk_path(work, chunk), framework="pt") as file:
        return parse_code(file.metadata())


def read_chunk(work: SamplingJob, chunk: int) -> dict[str, Tensor]:
    """Return what was drawn of a chunk; raise `ValueError` where that cannot be used."""
    try:
        with safe_open(chunk_path(work, chunk), framework="pt") as file:
            digests = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"is damaged ({error})") from error
    if digests.get("weights_sha256") != work.weights_sha256:
        raise ValueError("came from other weights")
    if digests.get("sha256") != sha256_of_tensors(tensors):
        raise ValueError("is damaged (its SHA-256 is not the one that it names)")
    return tensors
