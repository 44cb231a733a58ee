"""Advice for a chunk that does not fit in memory."""

from __future__ import annotations

import functools

import torch

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.sampling.mixed_precision import score_in_precision
from scoresweep.pipeline.sampling.sampling_job import SamplingJob
from scoresweep.pipeline.study import Sample
from scoresweep.pipeline.system.gpu_memory import fits_on_gpu, largest_fitting_size
from scoresweep.pipeline.system.memory_errors import MEMORY_REMEDIES

__all__ = ["chunk_memory_advice"]

LIVE_TENSORS = 4
"""Chunk-sized tensors that a sampler holds at once: samples, score, noise and a product."""


def chunk_memory_advice(job: SamplingJob, network: ScoreNetwork, device: str) -> str:
    """Return what to change if a chunk runs out of memory.

    On a GPU, smaller chunks are tried and a size that fits is named.
    """
    chunk = job.setting.sample.chunk
    problem = f"sample.chunk: {chunk}: {job}: too many samples at once for the memory of {device}."
    if device == "cpu":
        return f"{problem} To fix it, {MEMORY_REMEDIES['sample']}."
    evaluate = functools.partial(_evaluate, network, job.setting.sample, device)
    size = largest_fitting_size(lambda n: fits_on_gpu(functools.partial(evaluate, n)), chunk)
    if not size:
        return f"{problem} No smaller size fits either: use a GPU with more memory."
    return f"{problem} {size} at once fit: set sample.chunk: {size} (draws different samples)."


@torch.no_grad()
def _evaluate(network: ScoreNetwork, options: Sample, device: str, size: int) -> None:
    """Evaluate the score of `size` samples, next to the other tensors of a sampler."""
    x, *_held = torch.zeros(LIVE_TENSORS, size, *network.shape, device=device)
    sigma = network.sigmas[:1].to(x).expand(size)
    score_in_precision(network, options)(x, sigma)
