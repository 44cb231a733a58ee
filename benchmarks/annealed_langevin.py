"""A step of annealed Langevin dynamics, compared with the public program and the matrix rate.

At batch 64. Ours is `annealed_langevin` with the score and the diagnostics of `scoresweep sample`;
the public program's is its `anneal_Langevin_dynamics` with `final_only`. Without `--peer`, a plain
loop of our network in float32 and NCHW takes its place; it synchronises to compute its norms.

    python benchmarks/annealed_langevin.py --peer CHECKOUT --output annealed_langevin.json
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from harness import (
    Benchmark,
    Run,
    begin,
    command_line,
    flops_of,
    flops_of_product,
    matrix_product,
    rate_of,
    ratio,
)
from ncsnv2 import (
    CASES,
    QUICK,
    SIGMAS,
    Case,
    mixed,
    own_network,
    peer_network,
    plain_network,
    with_sigma,
)
from separate_process import SeparateProcess
from torch import Tensor

from scoresweep.pipeline.sampling.recorder import SamplingRecorder
from scoresweep.samplers import annealed_langevin

BATCH = 64
STEP_SIZE = 6.2e-6
"""NCSNv2's, for CIFAR-10."""
FASTER, SHARE = {"cpu": None, "cuda": 6.0}, {"cpu": 0.75, "cuda": 0.5}
"""Targets by device, in bf16: speed-up over the public program, share of the matrix rate. On a CPU
the machine's rates bound the first (docs/performance.md)."""
OURS = {"ours bf16": False, "ours bf16 compiled": True}
"""Whether the forward pass is compiled."""


def own_step(
    case: Case, device: torch.device, batch: int, bf16: bool, compiled: bool = False
) -> Run:
    """Return one step of our sampler."""
    network = own_network(case, device).eval().requires_grad_(False)

    def score(x: Tensor, sigma: Tensor) -> Tensor:  # as `score_in_precision`
        with mixed(device, bf16):
            output: Tensor = network(x, sigma).to(x.dtype)
        return output

    x, sigmas = torch.rand(batch, *case.shape, device=device), SIGMAS[-1:]
    options = {"step_size": STEP_SIZE, "steps_per_level": 1, "denoise": False}

    def step() -> None:
        annealed_langevin(score, x, sigmas, observe=SamplingRecorder(sigmas, 0), **options)

    if compiled:
        started = time.monotonic()
        network.forward = torch.compile(network.forward, dynamic=False)
        step()
        print(f"{case.name}: compiled in {time.monotonic() - started:.0f} s", flush=True)
    return step


def plain_step(case: Case, device: torch.device, batch: int) -> Run:
    """Return a step of a plain loop that synchronises for the norms it prints."""
    score = with_sigma(plain_network(case, device).eval())
    x = torch.rand(batch, *case.shape, device=device)
    labels = torch.full((batch,), len(SIGMAS) - 1, device=device)

    @torch.no_grad()
    def step() -> None:
        gradient, noise = score(x, labels), torch.randn_like(x)
        moved = x + STEP_SIZE * gradient + math.sqrt(2 * STEP_SIZE) * noise
        for value in (gradient, noise, moved):
            value.flatten(1).norm(dim=1).mean().item()
        moved.cpu()

    return step


def peer_step(case: Case, device: torch.device, batch: int, folder: Path) -> Run:
    """Return a step of the authors' sampler."""
    network = peer_network(folder, case, device).eval()
    from models import anneal_Langevin_dynamics

    x, sigmas = torch.rand(batch, *case.shape, device=device), SIGMAS[-1:].float().numpy()
    options = {"step_lr": STEP_SIZE, "final_only": True, "denoise": False}
    return lambda: anneal_Langevin_dynamics(x, network, sigmas, 1, **options)


def measure(benchmark: Benchmark, case: Case) -> None:
    """Measure the steps of one network."""
    options, device = benchmark.options, benchmark.device
    given = (case, device, 4 if options.quick else BATCH)
    public = (peer_step, *given, options.peer) if options.peer else (plain_step, *given)
    base = "public float32" if options.peer else "plain float32"
    runs: dict[str, Run] = {
        base: SeparateProcess(*public),
        f"{base}, memory retained": SeparateProcess(*public, keep_memory=True),
        "ours float32": SeparateProcess(own_step, *given, False, keep_memory=True),
        "ours bf16, memory not retained": SeparateProcess(own_step, *given, True),
    }
    for name, compiled in OURS.items():
        runs[name] = SeparateProcess(own_step, *given, True, compiled, keep_memory=True)
    flops = dict.fromkeys(runs, flops_of(own_step(*given, False)))
    product = "matrix product bfloat16"
    runs[product] = SeparateProcess(
        matrix_product, torch.bfloat16, device, options.quick, keep_memory=True
    )
    flops[product] = flops_of_product(device, options.quick)
    seconds = benchmark.times(runs)
    rate = rate_of(seconds[product], flops[product])
    benchmark.compare(seconds, base, flops, rate, case=case.name)
    faster = FASTER[options.device]
    for name in OURS:
        what = f"Langevin step {case.name}, {name}"
        benchmark.find(f"{what} against {base}", ratio(seconds[base], seconds[name]), faster)
        share = ratio(seconds[product], seconds[name]) * flops[name] / flops[product]
        benchmark.find(f"{what}, of the matrix rate", share, SHARE[options.device], "%")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    benchmark = begin(command_line(__doc__, peer=True), arguments)
    for case in QUICK if benchmark.options.quick else CASES:
        measure(benchmark, case)
    benchmark.finish()


if __name__ == "__main__":
    main()
