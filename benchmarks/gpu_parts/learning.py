"""Training on the GPU: exact resume, the CPU's losses, two minutes of CIFAR-10, order of chunks.

The training is that of `learner.py`: this package's network, objective and random numbers without
its files, so that it needs PyTorch alone.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Iterator

import torch
from ncsnv2 import QUICK, SIGMAS, Case
from torch import Tensor

from gpu_parts.device_time import synchronize
from gpu_parts.images import Images, find_images
from gpu_parts.learner import Learner, largest_difference
from gpu_parts.part import Part, run_part
from scoresweep.noise import geometric
from scoresweep.samplers import annealed_langevin, initial_samples
from scoresweep.seeds import generator_for

BATCH, CPU_BATCH = 128, 32
STEPS_TO_RESUME, STOP = 4, 2
CPU_SECONDS, CPU_STEPS = 20.0, 25
TRAINING = 120.0
"""Seconds."""
FOR_CHUNKS = 15.0
"""Seconds kept for the last check."""
LOGGED = 50
"""Steps of a point of the curve; between two, nothing is read from the device."""
CHUNKS, LEVELS = 3, 10
FIRST_LOSS, LATER_LOSSES = 1e-4, 1e-2
"""Largest relative differences from the CPU, at the first step and at any: Adam amplifies the
rounding of small gradients."""


def measure(part: Part) -> None:
    """Run all checks, and train in between for the time that is left."""
    images = find_images(part.data, part.quick)
    if part.quick:
        images = Images(images.train[:, :1, :8, :8], images.test[:, :1, :8, :8], images.source)
    case = QUICK[0] if part.quick else Case(128, (3, 32, 32), BATCH)
    part.attempt("resume", lambda: resume(part, case, images.train))
    part.attempt("losses of the CPU", lambda: compare_with_cpu(part, case, images.train))
    learner = Learner(case, images.train, part.device, bf16=True)
    part.attempt("training", lambda: train(part, learner, images.source))
    part.attempt("order of chunks", lambda: order_of_chunks(part, learner))


# ── resume ──────────────────────────────────────────────────────────────────────────────────────


def resume(part: Part, case: Case, images: Tensor) -> None:
    """Train twice, and once with a stop in between, by default and with deterministic kernels."""
    for name, context in {
        "": contextlib.nullcontext(),
        ", deterministic": _deterministic(),
    }.items():
        with context:
            start = time.perf_counter()
            whole = _trained(part, case, images, stop=None)
            seconds = time.perf_counter() - start
            for what, stop in {"same training again": None, "resumed training": STOP}.items():
                other = _trained(part, case, images, stop)
                difference = largest_difference(whole, other)
                part.add(
                    f"{what}{name}: largest difference of weights, averages and moments",
                    figure=difference,
                    target=0.0,
                    at_least=False,
                    failed=difference > 0 and bool(name),
                    note=f"{STEPS_TO_RESUME} steps in bf16, {seconds:.1f} s with start-up",
                )


def _trained(part: Part, case: Case, images: Tensor, stop: int | None) -> dict:
    """Return the state after all steps; with `stop`, of a second start from a file."""
    learner = Learner(case, images, part.device, bf16=True)
    for number in range(STEPS_TO_RESUME):
        if number == stop:
            file = io.BytesIO()
            torch.save(learner.state(), file)
            file.seek(0)
            learner = Learner(case, images, part.device, bf16=True)
            learner.load(torch.load(file, map_location=part.device, weights_only=True))
        learner.step(number)
    return learner.state()


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    """Let PyTorch use deterministic kernels only, as far as it has them."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


# ── the CPU's losses ────────────────────────────────────────────────────────────────────────────


def compare_with_cpu(part: Part, case: Case, images: Tensor) -> None:
    """Take the same first steps in float32 on the CPU and on the device, from the same numbers."""
    case = Case(case.channels, case.shape, min(CPU_BATCH, case.batch))
    cpu = torch.device("cpu")
    steps = 3 if part.quick else CPU_STEPS
    expected = _first_losses(Learner(case, images, cpu, False, cpu), steps, CPU_SECONDS)
    found = {
        "float32": _first_losses(Learner(case, images, part.device, False, cpu), len(expected)),
        "bf16": _first_losses(Learner(case, images, part.device, True, cpu), len(expected)),
    }
    for precision, losses in found.items():
        apart = [abs(a / b - 1) for a, b in zip(losses, expected, strict=True)]
        what = f"loss in {precision} against the CPU's in float32, relative difference"
        for when, value, limit in (
            ("first step", apart[0], FIRST_LOSS),
            (f"largest of {len(apart)} steps", max(apart), LATER_LOSSES),
        ):
            target = limit if precision == "float32" else None
            failed = target is not None and value > target
            part.add(f"{what}, {when}", figure=value, target=target, at_least=False, failed=failed)
    part.add("losses of the first steps", note="in the JSON file", cpu=expected, device=found)


def _first_losses(learner: Learner, steps: int, seconds: float = float("inf")) -> list[float]:
    """Return the losses of the first steps, at least two, but no more than fit in `seconds`."""
    start, losses = time.perf_counter(), []
    for number in range(steps):
        losses.append(float(learner.step(number)))
        if number and time.perf_counter() - start > seconds:
            break
    return losses


# ── two minutes ─────────────────────────────────────────────────────────────────────────────────


def train(part: Part, learner: Learner, source: str) -> None:
    """Train for two minutes at most, in bf16."""
    seconds = 1.0 if part.quick else min(TRAINING, part.seconds_left() - FOR_CHUNKS)
    every = 5 if part.quick else LOGGED
    start, curve, total, number = time.perf_counter(), [], torch.zeros((), device=part.device), 0
    while not curve or time.perf_counter() - start < seconds:
        total += learner.step(number)
        number += 1
        if number % every == 0:
            curve.append(float(total) / every)
            total.zero_()
    synchronize(part.device)
    elapsed = time.perf_counter() - start
    speed, what = number * learner.case.batch / elapsed, "training of NCSNv2 in bf16"
    about = f"{number:,} steps of {learner.case.batch} in {elapsed:.0f} s; {source}"
    part.add(f"{what}, speed", figure=speed, unit="images/s", note=about, curve=curve, every=every)
    tenth = max(1, len(curve) // 10)
    first, last = (sum(points) / tenth for points in (curve[:tenth], curve[-tenth:]))
    falls = None if part.quick else 1.0
    part.add(
        f"{what}, mean loss of the last tenth over the first",
        figure=last / first,
        target=falls,
        at_least=False,
        failed=not last < float("inf"),
        note=f"{first:.0f} to {last:.0f}",
    )


# ── chunks ──────────────────────────────────────────────────────────────────────────────────────


def order_of_chunks(part: Part, learner: Learner) -> None:
    """Draw chunks in two orders: a chunk must not depend on those before it."""
    indices = range(CHUNKS)
    forwards = {chunk: _draw(part, learner, chunk) for chunk in indices}
    backwards = {chunk: _draw(part, learner, chunk) for chunk in reversed(indices)}
    differing = sum(int((forwards[i] != backwards[i]).sum()) for i in indices)
    part.add(
        "samples drawn in reverse order of chunks: values that differ",
        figure=differing,
        target=0,
        at_least=False,
        failed=differing > 0 or not all(bool(x.isfinite().all()) for x in forwards.values()),
        note=f"{CHUNKS} chunks of {len(forwards[0])} in bf16",
    )


def _draw(part: Part, learner: Learner, chunk: int) -> Tensor:
    """Draw a chunk as `scoresweep sample` does."""
    generator = generator_for(0, "sample", chunk, device=part.device)
    case, ladder = learner.case, geometric(float(SIGMAS[0]), float(SIGMAS[-1]), LEVELS)
    count, given = 4 if part.quick else 64, {"generator": generator, "device": part.device}
    x = initial_samples("uniform", count, case.shape, sigma_max=float(ladder[0]), **given)

    def score(x: Tensor, sigma: Tensor) -> Tensor:
        with torch.autocast(part.device.type, torch.bfloat16):
            output: Tensor = learner.average(x, sigma).to(x.dtype)
        return output

    options = {"step_size": 6.2e-6, "steps_per_level": 2}
    return annealed_langevin(score, x, ladder, generator=generator, **options).cpu()


if __name__ == "__main__":
    # For deterministic products; cuBLAS reads it when it starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    run_part(measure)
