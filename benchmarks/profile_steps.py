"""Profile of a training step and of a sampling step in bf16, by kind of work.

PyTorch's profiler adds up the time of each operator itself; operators of one kind form one row.
With one thread, the default here, no row includes waiting for another thread.

    python benchmarks/profile_steps.py --output profile_steps.json
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import annealed_langevin
import training_step
from harness import Benchmark, Run, begin, command_line
from ncsnv2 import CASES, QUICK, Case
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from scoresweep.pipeline.system.process import retain_freed_memory

KINDS = {
    "convolutions": ("conv", "cutlass", "cudnn", "gemm"),
    "ELU": ("elu",),
    "pooling and resizing": ("pool", "upsample"),
    "Adam and moving average": ("_fused_adam", "foreach_lerp"),
    "noise": ("normal_", "random", "randint"),
    "copies and conversions": ("copy_", "clone", "contiguous", "cat"),
    "norms and other sums": ("mean", "sum", "addcmul", "square", "pow", "var", "sub", "mul", "add"),
}
"""Kind to parts of its operators' names; the first match counts."""
STEPS = 3


def kind_of(operator: str) -> str:
    """Return the kind of work of an operator."""
    name = operator.lower()
    matches = (kind for kind, parts in KINDS.items() if any(part in name for part in parts))
    return next(matches, "other")


def shares(run: Run, device: str) -> tuple[float, Counter[str]]:
    """Return the seconds of one call of `run`, in total and by kind."""
    for _ in range(STEPS):
        run()
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device == "cuda" else [])]
    with profile(activities=activities) as profiler:
        for _ in range(STEPS):
            run()
    seconds: Counter[str] = Counter()
    on_gpu = device == "cuda"
    for event in profiler.key_averages():
        # GPU kernels are separate events from the operators that launch them.
        if (event.device_type == DeviceType.CUDA) != on_gpu or event.is_user_annotation:
            continue
        elapsed = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        seconds[kind_of(event.key)] += elapsed / STEPS / 1e6
    return seconds.total(), seconds


def measure(benchmark: Benchmark, case: Case) -> None:
    """Profile the steps of one network."""
    device, quick = benchmark.device, benchmark.options.quick
    retain_freed_memory()
    batch = 4 if quick else annealed_langevin.BATCH
    steps = {
        "training": training_step.own_step(case, device, bf16=True),
        "sampling": annealed_langevin.own_step(case, device, batch, bf16=True),
    }
    for name, step in steps.items():
        total, by_kind = shares(step, device.type)
        for kind, seconds in by_kind.most_common():
            row = {"step": f"{name}, {case.name}", "work": kind, "seconds": seconds}
            benchmark.add(**row, percent=round(100 * seconds / total, 1))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = command_line(__doc__, repeats=1)
    parser.set_defaults(threads=1)
    benchmark = begin(parser, arguments)
    for case in QUICK if benchmark.options.quick else CASES:
        measure(benchmark, case)
    benchmark.finish()


if __name__ == "__main__":
    main()
