"""Draw chunks of samples.

A chunk is a function of the weights, the setting, the seed and its index.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.sampling.chunk_files import num_trajectories, write_chunk
from scoresweep.pipeline.sampling.chunk_memory import chunk_memory_advice
from scoresweep.pipeline.sampling.mixed_precision import score_in_precision
from scoresweep.pipeline.sampling.plugin_sampler import run_plugin_sampler
from scoresweep.pipeline.sampling.recorder import SamplingRecorder
from scoresweep.pipeline.sampling.resolve import ResolvedSampling
from scoresweep.pipeline.sampling.sampling_job import SamplingJob
from scoresweep.pipeline.study.methods.tasks import Interpolation
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredSampler
from scoresweep.pipeline.system.console import say
from scoresweep.pipeline.system.memory_errors import explain_out_of_memory
from scoresweep.pipeline.system.process import disable_tf32, set_up_process
from scoresweep.pipeline.training.compile import compile_network
from scoresweep.pipeline.training.weights import load_run_network
from scoresweep.samplers import initial_samples, interpolated_noise
from scoresweep.seeds import generator_for

__all__ = ["draw", "draw_chunks"]


@dataclass(frozen=True)
class _Inputs:
    """What all chunks of a process have in common."""

    device: str
    network: ScoreNetwork
    resolved: ResolvedSampling
    data: Tensor | None
    """Training samples, (N, ...), if sampling starts from noisy data."""
    originals: Tensor | None
    """Test samples, (N, ...), for in-painting."""


def draw_chunks(job: SamplingJob, chunks: list[int], device: str) -> Iterator[int]:
    """Draw `chunks` in turn; yield the number of finished chunks after each."""
    set_up_process(job.devices.threads)
    inputs = _load(job, device)
    advice = functools.partial(chunk_memory_advice, job, inputs.network, device)
    if job.setting.sample.compile:
        with explain_out_of_memory(advice):
            _compile(job, inputs)
    for done, chunk in enumerate(chunks, start=1):
        with explain_out_of_memory(advice):
            tensors = _draw_chunk(job, chunk, inputs)
        try:
            write_chunk(job, chunk, tensors)
        except FileNotFoundError:
            say(f"{job.chunk_folder} was deleted while a chunk was written; writing it again")
            write_chunk(job, chunk, tensors)
        yield done


def draw(job: SamplingJob, device: str, network: ScoreNetwork) -> Tensor:
    """Draw the samples of a job in this process, and write no file; return them, (count, ...).

    `network` is that of the run, on `device`.
    """
    disable_tf32()
    inputs = _load(job, device, network)
    with explain_out_of_memory(functools.partial(chunk_memory_advice, job, network, device)):
        if job.setting.sample.compile:
            _compile(job, inputs)
        chunks = [_draw_chunk(job, chunk, inputs)["x"] for chunk in range(job.chunks)]
    return torch.cat(chunks)[: job.setting.sample.count]


def _load(job: SamplingJob, device: str, network: ScoreNetwork | None = None) -> _Inputs:
    if network is None:
        network = load_run_network(job.run, job.paths, job.weights).to(device)
    resolved, store = job.resolve(network), job.paths.dataset_store(job.run.dataset.id)
    data = originals = None
    if job.setting.sample.initial == "data_plus_noise":
        data = read_split(store, "train").model_space()
    if resolved.mask is not None:
        originals = read_split(store, "test").model_space()
    return _Inputs(device, network, resolved, data, originals)


def _compile(job: SamplingJob, inputs: _Inputs) -> None:
    """Compile the network for the shape of a chunk, as if no setting had been drawn before."""
    torch.compiler.reset()
    options, network = job.setting.sample, inputs.network
    x = torch.zeros(options.chunk, *network.shape, device=inputs.device)

    @torch.no_grad()
    def attempt() -> None:
        sigma = x.new_full((len(x),), float(inputs.resolved.sigmas[0]))
        score_in_precision(network, options)(x, sigma)

    compile_network(network, attempt)


def _draw_chunk(job: SamplingJob, chunk: int, inputs: _Inputs) -> dict[str, Tensor]:
    """Return the samples `x` of a chunk, their diagnostics, and `original` for in-painting.

    The last chunk is drawn in full and truncated later, so that a sample does not depend on
    `count`.
    """
    options, sigmas = job.setting.sample, inputs.resolved.sigmas
    generator = generator_for(job.seed, "sample", chunk, device=inputs.device)
    x = initial_samples(
        options.initial,
        options.chunk,
        inputs.network.shape,
        sigma_max=float(sigmas[0]),
        data=inputs.data,
        generator=generator,
        device=inputs.device,
    )
    arguments: dict[str, Any] = {"generator": generator, **options.sampler.arguments()}
    tensors: dict[str, Tensor] = {}
    if isinstance(options.task, Interpolation):
        # All samples of a row start from the same point; only the noise changes along the row.
        x = x[:: options.task.steps].repeat_interleave(options.task.steps, dim=0)
        arguments["noise"] = interpolated_noise(options.task.steps, generator)
    if inputs.resolved.mask is not None and inputs.originals is not None:
        index = (chunk * options.chunk + torch.arange(len(x))) % len(inputs.originals)
        tensors["original"] = index
        arguments["known"] = inputs.originals[index].to(x)
        arguments["mask"] = inputs.resolved.mask.to(inputs.device)
    x, diagnostics = _run_sampler(job, chunk, inputs, x, arguments)
    return tensors | {"x": x, **diagnostics}


def _run_sampler(
    job: SamplingJob, chunk: int, inputs: _Inputs, x: Tensor, arguments: dict[str, Any]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Run the sampler from the starting points `x`; return samples and diagnostics."""
    options, sigmas = job.setting.sample, inputs.resolved.sigmas
    recorder = SamplingRecorder(sigmas, num_trajectories(job, chunk))
    score = score_in_precision(inputs.network, options)
    sampler = options.sampler
    if isinstance(sampler, DeclaredSampler):
        x = run_plugin_sampler(sampler, score, x, sigmas, observe=recorder, **arguments)
    else:
        x = sampler.load()(score, x, sigmas, observe=recorder, **arguments)
    bad = int((~torch.isfinite(x.flatten(1)).all(1)).sum())
    if bad:
        level = recorder.first_nonfinite_level()
        by = f"{sampler.origin}: " if sampler.origin else ""
        raise RunError(
            f"{by}{job}: {bad} of {len(x)} samples of chunk {chunk} are not finite from level "
            f"{level} on (sigma {sigmas[level - 1]:.4g}); try a smaller step_size"
        )
    return x.cpu(), recorder.tensors()
