"""A training step of NCSNv2, compared with the public program and the machine's matrix rate.

A step is the forward pass, the denoising score matching loss, the backward pass, Adam and the
moving average of the weights, in float32 and bf16. The public program's step is its own network,
loss, optimiser and average, and the loss that it logs. Without `--peer`, a plain loop of our
network takes its place.

    python benchmarks/training_step.py --peer CHECKOUT --output training_step.json
"""

from __future__ import annotations

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
from torch import Tensor, nn

from scoresweep.adamw import AdamW
from scoresweep.objectives import dsm

FASTER = {"cpu": None, "cuda": 6.0}
"""Target speed-up in bf16 over the public program, by device. On a CPU the machine's rates bound it
(docs/performance.md), so shares of these rates have targets instead."""
PRODUCTS = {"float32": "matrix product float32", "bf16": "matrix product bfloat16"}
TYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
SHARES: dict[str, dict[str, float | None]] = {
    "cpu": {"float32": 0.9, "bf16": 0.7},
    "cuda": {"float32": None, "bf16": 0.4},
}
"""Target share of the matrix rate of the same precision, by device and precision."""


def own_step(
    case: Case,
    device: torch.device,
    bf16: bool,
    compiled: bool = False,
    capturable: bool = False,
) -> Run:
    """Return one step of our training loop; `capturable`: for a CUDA graph."""
    network = own_network(case, device)
    if compiled:
        network.forward = torch.compile(network.forward, dynamic=False)
    x, sigmas = torch.rand(case.batch, *case.shape, device=device), SIGMAS.float().to(device)
    if len(case.shape) == 3:
        x = x.contiguous(memory_format=torch.channels_last)
    parameters = list(network.parameters())
    average = [parameter.detach().clone() for parameter in parameters]
    options = {"weight_decay": 0.0, "fused": True, "capturable": capturable}
    optimizer = AdamW(parameters, 1e-4, **options)

    def step() -> None:
        sigma = sigmas[torch.randint(len(sigmas), (len(x),), device=device)]
        with mixed(device, bf16):
            loss = dsm(network, x, sigma, torch.randn_like(x)).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch._foreach_lerp_(average, [parameter.detach() for parameter in parameters], 1e-3)

    return step


def plain_step(case: Case, device: torch.device) -> Run:
    """Return one step of a plain loop of our network, which synchronises for its loss."""
    network = plain_network(case, device)
    score = with_sigma(network)
    x, sigmas = torch.rand(case.batch, *case.shape, device=device), SIGMAS.float().to(device)
    average = {name: value.detach().clone() for name, value in network.named_parameters()}
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)

    def step() -> None:
        labels = torch.randint(len(sigmas), (len(x),), device=device)
        sigma = sigmas[labels][:, None, None, None]
        z = torch.randn_like(x)
        residual = score(x + sigma * z, labels) + z / sigma
        loss = (residual.flatten(1).square().sum(1) / 2 * sigma.flatten() ** 2).mean()
        loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for name, value in network.named_parameters():
            average[name] = 0.001 * value.data + 0.999 * average[name]

    return step


def peer_step(case: Case, device: torch.device, folder: Path) -> Run:
    """Return one step of the public program."""
    network: nn.Module = peer_network(folder, case, device)
    from losses.dsm import anneal_dsm_score_estimation
    from models.ema import EMAHelper

    x, sigmas = torch.rand(case.batch, *case.shape, device=device), SIGMAS.float().to(device)
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)
    average = EMAHelper(mu=0.999)
    average.register(network)

    def step() -> None:
        loss: Tensor = anneal_dsm_score_estimation(network, x, sigmas, None, 2.0)
        loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update(network)

    return step


def measure(benchmark: Benchmark, case: Case) -> None:
    """Measure the steps of one network."""
    options, given = benchmark.options, (case, benchmark.device)
    peer = (
        SeparateProcess(peer_step, *given, options.peer)
        if options.peer
        else SeparateProcess(plain_step, *given)
    )
    base = "public float32" if options.peer else "plain float32"
    runs: dict[str, Run] = {base: peer}
    runs |= {"ours float32": SeparateProcess(own_step, *given, False, keep_memory=True)}
    runs |= {"ours bf16": SeparateProcess(own_step, *given, True, keep_memory=True)}
    if options.compile:
        runs |= {
            "ours bf16 compiled": SeparateProcess(own_step, *given, True, True, keep_memory=True)
        }
    flops = dict.fromkeys(runs, flops_of(own_step(*given, False)))
    for precision, product in PRODUCTS.items():
        runs[product] = SeparateProcess(
            matrix_product, TYPES[precision], benchmark.device, options.quick, keep_memory=True
        )
        flops[product] = flops_of_product(benchmark.device, options.quick)
    seconds = benchmark.times(runs)
    rate = rate_of(seconds[PRODUCTS["bf16"]], flops[PRODUCTS["bf16"]])
    benchmark.compare(seconds, base, flops, rate, case=case.name)
    for precision, product in PRODUCTS.items():
        what = f"training step {case.name}, ours {precision}"
        own = f"ours {precision}"
        share = ratio(seconds[product], seconds[own]) * flops[own] / flops[product]
        target = SHARES[options.device][precision]
        benchmark.find(f"{what}, of the {precision} matrix rate", share, target, "%")
        faster = FASTER[options.device] if precision == "bf16" else None
        benchmark.find(f"{what} against {base}", ratio(seconds[base], seconds[own]), faster)
    bound = ratio(seconds[PRODUCTS["float32"]], seconds[PRODUCTS["bf16"]])
    benchmark.find("matrix rates, bf16 over float32", bound, None)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = command_line(__doc__, repeats=7, peer=True)
    parser.add_argument("--compile", action="store_true", help="also time a compiled network")
    benchmark = begin(parser, arguments)
    for case in QUICK if benchmark.options.quick else CASES:
        measure(benchmark, case)
    benchmark.finish()


if __name__ == "__main__":
    main()
