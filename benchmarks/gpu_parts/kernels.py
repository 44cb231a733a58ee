"""The ten kernels that take most time in a training step and in a sampling step of NCSNv2."""

from __future__ import annotations

import annealed_langevin
import training_step
from harness import Run
from ncsnv2 import QUICK, Case
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from gpu_parts.device_time import synchronize
from gpu_parts.part import Part, run_part

STEPS, KERNELS = 3, 10
NAME = 90
"""Characters of a kernel's name in the table; the rest are template arguments."""


def measure(part: Part) -> None:
    """Profile one step of each kind in bf16."""
    case = QUICK[0] if part.quick else Case(128, (3, 32, 32), 128)
    steps = {
        "training step": lambda: training_step.own_step(case, part.device, True),
        "Langevin step": lambda: annealed_langevin.own_step(case, part.device, case.batch, True),
    }
    for name, make in steps.items():
        what = f"NCSNv2, {name} in bf16, batch {case.batch}"
        part.attempt(what, lambda make=make, what=what: _profile(part, what, make()))


def _profile(part: Part, what: str, step: Run) -> None:
    """Add a row for all kernels of a step and one for each of the largest."""
    on_gpu = part.device.type == "cuda"
    for _ in range(STEPS):
        step()
    synchronize(part.device)
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiler:
        for _ in range(STEPS):
            step()
        synchronize(part.device)
    # On a GPU, kernels are events of their own beside the operators that launch them.
    wanted = DeviceType.CUDA if on_gpu else DeviceType.CPU
    events = [
        event
        for event in profiler.key_averages()
        # Annotations such as "Optimizer.step" cover kernels that are counted themselves.
        if event.device_type == wanted and not getattr(event, "is_user_annotation", False)
    ]
    time = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    events.sort(key=lambda event: getattr(event, time), reverse=True)
    total = sum(getattr(event, time) for event in events)
    launched = sum(event.count for event in events) // STEPS
    kind = "kernels" if on_gpu else "operators"
    note = f"{launched} {kind}"  # none at all: the profiler does not reach the device
    part.add(what, figure=total / STEPS / 1e3, unit="ms", note=note, failed=not events)
    for rank, event in enumerate(events[:KERNELS], start=1):
        share, calls = getattr(event, time) / total, event.count // STEPS
        name = " ".join(event.key.split())
        part.add(
            f"{what}, {rank}: {name[:NAME]}",
            figure=share,
            unit="%",
            note=f"{calls} calls",
            name=name,
            ms=getattr(event, time) / STEPS / 1e3,
        )


if __name__ == "__main__":
    run_part(measure)
