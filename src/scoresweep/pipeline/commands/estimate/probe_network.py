"""Time training steps and score evaluations of a run's network."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from accelerate.state import AcceleratorState
from torch import Tensor

from scoresweep.networks.score_network import ScoreNetwork
from scoresweep.pipeline.commands.estimate.stopwatch import (
    LONG_ENOUGH,
    extrapolate,
    mean_seconds,
    seconds_at,
)
from scoresweep.pipeline.sampling.mixed_precision import score_in_precision
from scoresweep.pipeline.sampling.recorder import SamplingRecorder
from scoresweep.pipeline.study import Run, Sample, Setting, StudyPaths
from scoresweep.pipeline.study.plugins.declared_kinds import DeclaredSampler
from scoresweep.pipeline.training.network_setup import make_oracle
from scoresweep.pipeline.training.setup import make_trainer
from scoresweep.pipeline.training.trainer import Trainer
from scoresweep.seeds import generator_for

__all__ = [
    "NetworkTimes",
    "num_parameters",
    "random_inputs",
    "time_network",
    "trainer_of_batch",
]

FIRST_BATCH = 8
"""Samples of the first batch that is timed."""


class NetworkTimes(NamedTuple):
    """Cost of the network of a run."""

    step_seconds: float
    """Seconds of a training step; 0 for an oracle."""
    sample_seconds: float
    """Seconds of one score evaluation of one sample, and of the sampler's step that uses it."""
    image_seconds: float
    """Seconds of one score evaluation of the samples that training shows; 0 for an oracle."""
    parameters: int
    """Number of parameters."""


def time_network(
    run: Run, setting: Setting, paths: StudyPaths, device: str = "cpu"
) -> NetworkTimes:
    """Time training steps and score evaluations on the data in `paths`.

    Batches grow until a step takes `LONG_ENOUGH` or the batch has the size of the study's; the time
    of the full batch is extrapolated. An exact score has no training steps.
    """
    if not run.train.network.is_trained:
        oracle = make_oracle(run, paths).to(device)
        return NetworkTimes(
            0.0, _seconds_per_sample(oracle, setting.sample), 0.0, num_parameters(oracle)
        )
    step_seconds, trainer = _time_training(run, paths, device)
    network, images = trainer.averaged, _seconds_of_images(trainer, run)
    each = _seconds_per_sample(network, setting.sample)
    return NetworkTimes(step_seconds, each, images, num_parameters(network))


def _time_training(run: Run, paths: StudyPaths, device: str) -> tuple[float, Trainer]:
    """Return the seconds of a training step, and the trainer that took the last one."""
    full, times = run.train.batch_size, dict[int, float]()
    size = min(full, FIRST_BATCH)
    while True:
        trainer = trainer_of_batch(run, paths, size, device)
        steps = itertools.count()

        def update(trainer: Trainer = trainer, steps: Iterator[int] = steps) -> None:
            trainer.training_step.update(next(steps))

        update()  # warm-up: allocation and kernel selection
        times[size] = mean_seconds(update, _waiting(trainer.network))
        if size == full or times[size] > LONG_ENOUGH:
            return extrapolate(times, full), trainer
        size = min(full, max(4 * size, int(size * LONG_ENOUGH / times[size])))


def trainer_of_batch(run: Run, paths: StudyPaths, size: int, device: str) -> Trainer:
    """Return a trainer that is ready for its first step, with batches of `size` samples."""
    is_full = size == run.train.batch_size
    accumulation = run.train.gradient_accumulation if is_full else 1
    options = {"batch_size": size, "gradient_accumulation": accumulation, "compile": False}
    train = run.train.model_copy(update=options)
    AcceleratorState._reset_state(reset_partial_state=True)  # another run has another precision
    trainer = make_trainer(replace(run, train=train), paths, int(device == "cuda"))
    trainer.training_step.prepare(0)
    return trainer


def _seconds_of_images(trainer: Trainer, run: Run) -> float:
    network, count = trainer.averaged, run.train.log.image_count
    if len(network.shape) != 3 or not count:
        return 0.0
    x, sigma = random_inputs(network, count)
    with torch.no_grad(), trainer.accelerator.autocast():  # in the precision of the run
        network(x, sigma)
        return mean_seconds(lambda: network(x, sigma), _waiting(network))


def _seconds_per_sample(network: ScoreNetwork, options: Sample) -> float:
    """Return the seconds of a score evaluation of a sample in a full chunk.

    If the network is fast, the sampler takes its share of the time: its steps are timed too.
    """
    score = score_in_precision(network, options)

    def evaluate(size: int) -> Tensor:
        return score(*random_inputs(network, size))

    with torch.no_grad():
        seconds = seconds_at(evaluate, options.chunk, FIRST_BATCH, _waiting(network))
    seconds = _with_sampler(network, options, seconds)
    return seconds / options.chunk


def _with_sampler(network: ScoreNetwork, options: Sample, seconds: float) -> float:
    """Return the seconds of an evaluation in a run of the sampler on two levels, if that is fast.

    `seconds` are those of the score alone.
    """
    sampler, x = options.sampler, random_inputs(network, options.chunk)[0]
    # On the CPU, as in the jobs: samplers read each level.
    sigmas = network.sigmas.double().cpu()[[0, -1]][: len(network.sigmas)]
    evaluations = sampler.num_score_evaluations(len(sigmas))
    if isinstance(sampler, DeclaredSampler) or evaluations is None or options.task is not None:
        return seconds
    if evaluations * seconds > 5 * LONG_ENOUGH:
        return seconds
    score, device = score_in_precision(network, options), x.device
    draw = functools.partial(sampler.load(), score, x, sigmas, **sampler.arguments())

    def run() -> None:
        draw(observe=SamplingRecorder(sigmas, 0), generator=generator_for("probe", device=device))

    try:
        run()
        return mean_seconds(run, _waiting(network)) / evaluations
    except ValueError:  # the options do not fit two levels
        return seconds


def random_inputs(network: ScoreNetwork, size: int) -> tuple[Tensor, Tensor]:
    """Return random samples, and the middle level for each."""
    device = network.sigmas.device
    x = torch.rand(size, *network.shape, device=device)
    if x.ndim == 4:
        x = x.to(memory_format=torch.channels_last)
    return x, network.sigmas[len(network.sigmas) // 2].float().expand(size)


def num_parameters(network: ScoreNetwork) -> int:
    """Return the number of parameters of a network."""
    return sum(p.numel() for p in network.parameters())


def _waiting(network: ScoreNetwork) -> Callable[[], None] | None:
    """Return what waits for a network on a GPU; None on a CPU."""
    return torch.cuda.synchronize if network.sigmas.is_cuda else None
