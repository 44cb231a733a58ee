"""Sliced and implicit score matching at dimension 1,000.

A step of `ssm_vr` is compared with a step of `dsm`, and `ism` with one backward pass per dimension.
The network is that of Kondracki and Le Bihan, "From score matching to score-based generative
modeling", 2024, figure 1: two hidden layers of 10·D units; batch and activation are ours. They
measured a ratio of about 610 between `ism` and `ssm_vr`. A step is the loss, its gradient and Adam;
a value is the loss alone, a gradient is both without Adam. The variant with one backward pass per
dimension is measured on `--passes` dimensions and scaled up: each pass costs the same.

    python benchmarks/implicit_objectives.py --output implicit_objectives.json
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from harness import Benchmark, Run, begin, command_line, ratio, take_turns
from torch import Tensor

from scoresweep.networks import PlainMLP
from scoresweep.objectives import dsm, ism, ssm_vr

SIGMA = 0.1
"""Noise level; it does not affect the time."""
MAX_SLOWDOWN, MIN_SPEEDUP = 3.0, 3.0
"""Of a step of `ssm_vr` over `dsm`; of `ism` over one pass per dimension."""
SOURCE = 610.0
EACH = "one pass per dimension"


def network_of(dimension: int, device: torch.device) -> PlainMLP:
    """Build the source's network."""
    hidden, ladder = (10 * dimension, 10 * dimension), torch.tensor([SIGMA])
    options = {"activation": "tanh", "conditioning": "none"}
    return PlainMLP((dimension,), ladder, hidden=hidden, **options).to(device)


def one_pass_each(network: PlainMLP, noisy: Tensor, passes: int) -> Tensor:
    """Return the part of the trace from `passes` dimensions, one backward pass each."""
    noisy = noisy.detach().requires_grad_()
    output = network(noisy, noisy.new_full((len(noisy),), SIGMA))
    trace = torch.zeros_like(output[:, 0])
    for i in range(passes):
        (row,) = torch.autograd.grad(output[:, i].sum(), noisy, create_graph=True)
        trace = trace + row[:, i]
    return trace


def measure(benchmark: Benchmark, dimension: int, batch: int, passes: int) -> None:
    """Measure steps of `dsm` and `ssm_vr`, then values and gradients of `ssm_vr` and `ism`."""
    device = benchmark.device
    network = network_of(dimension, device)
    adam = torch.optim.Adam(network.parameters(), 1e-6, fused=True)
    x, z = torch.randn(2, batch, dimension, device=device)
    v, sigma = torch.randn(1, batch, dimension, device=device).sign(), x.new_full((batch,), SIGMA)

    def step(losses: Tensor) -> None:
        losses.mean().backward()
        adam.step()
        adam.zero_grad()

    steps: dict[str, Run] = {
        "dsm, step": lambda: step(dsm(network, x, sigma, z)),
        "ssm_vr, step": lambda: step(ssm_vr(network, x, sigma, z, v=v)),
    }
    seconds = benchmark.times(steps)
    benchmark.compare(seconds, "dsm, step", dimension=dimension, batch=batch)
    slower = ratio(seconds["ssm_vr, step"], seconds["dsm, step"])
    what = f"ssm_vr step at dimension {dimension:,} over a dsm step"
    benchmark.find(what, slower, MAX_SLOWDOWN, at_least=False)
    # `ism` is hundreds of times slower than the others: only its imports are warmed up.
    ism(network_of(4, device), x[:, :4], sigma, z[:, :4])
    turns = max(1, benchmark.options.repeats // 2)
    losses: dict[str, Callable[[], Tensor]] = {
        "ssm_vr": lambda: ssm_vr(network, x, sigma, z, v=v),
        "ism": lambda: ism(network, x, sigma, z),
        EACH: lambda: one_pass_each(network, x, passes),
    }
    for name in ("ssm_vr", EACH):
        losses[name]()
    compare_traces(benchmark, "value", losses, turns, dimension / passes)
    gradients: dict[str, Run] = {
        name: lambda loss=loss: gradient(network, loss()) for name, loss in losses.items()
    }
    compare_traces(benchmark, "gradient", gradients, 1, dimension / passes)


def gradient(network: PlainMLP, losses: Tensor) -> None:
    """Compute the gradient of the weights and discard it."""
    losses.mean().backward()
    network.zero_grad()


def compare_traces(
    benchmark: Benchmark, of: str, runs: dict[str, Run], turns: int, scale: float
) -> None:
    """Compare `ism` with one pass per dimension, of which the fraction 1/`scale` is measured."""
    dimension, batch = benchmark.options.dimension, benchmark.options.batch
    seconds = take_turns(runs, turns, benchmark.device.type, warm_ups=0)
    seconds[EACH] = [time * scale for time in seconds[EACH]]
    rows = {f"{name}, {of}": times for name, times in seconds.items()}
    benchmark.compare(rows, f"{EACH}, {of}", dimension=dimension, batch=batch)
    over = {name: ratio(seconds[name], seconds["ssm_vr"]) for name in ("ism", EACH)}
    note = ", ".join(f"{name}: {value:.0f} × ssm_vr" for name, value in over.items())
    what = f"{of} of ism at dimension {dimension:,} against {EACH}"
    faster = ratio(seconds[EACH], seconds["ism"])
    benchmark.find(what, faster, MIN_SPEEDUP, note=f"{note}; the source: {SOURCE:.0f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = command_line(__doc__)
    parser.add_argument("--dimension", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--passes", type=int, default=50, help="backward passes to measure")
    benchmark = begin(parser, arguments)
    options = benchmark.options
    if options.quick:
        options.dimension, options.passes = 20, 20
    measure(benchmark, options.dimension, options.batch, min(options.passes, options.dimension))
    benchmark.finish()


if __name__ == "__main__":
    main()
