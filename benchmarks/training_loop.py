"""The whole training loop, compared with the bare step: data, moving average, logging, checkpoints.

The loop is that of `scoresweep train`, in this process, on a small staged set of random images;
the bare step is that of `training_step.py` with the same network, batch and precision. They take
turns. Curves are logged at the default interval, every 50 steps. A checkpoint and sample images,
which a study writes every 1,000 steps, end each turn: they are timed separately and counted as
often as in a study. The row gives both: the time of the turn, and the share of the bare step's
speed in a study.

    python benchmarks/training_loop.py --output training_loop.json
"""

from __future__ import annotations

import contextlib
import functools
import io
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.state import AcceleratorState
from harness import Benchmark, begin, command_line, seconds_of
from ncsnv2 import Case
from training_step import own_step

from scoresweep.pipeline.data.dataset_store import write_store
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.system.process import retain_freed_memory
from scoresweep.pipeline.training.setup import make_trainer
from scoresweep.pipeline.training.trainer import Trainer

TARGET = 0.97
"""Share of the bare step's speed."""


def plan_of(root: Path, case: Case, steps: int, precision: str) -> Plan:
    """Plan a study of one network and stage random images for it."""
    content = {
        "study": "loop",
        "dataset": {"name": "digits"},
        "train": {
            "network": {"name": "ncsnv2", "channels": case.channels},
            "noise": {"name": "geometric", "sigma_max": 20, "sigma_min": 0.01, "levels": 10},
            "steps": steps,
            "batch_size": case.batch,
            "precision": precision,
        },
        "sample": {"sampler": {"name": "annealed_langevin", "step_size": 6e-6}},
    }
    plan = plan_study(parse_study(content, "study.yaml"), root)
    channels, height, width = case.shape
    values = np.random.default_rng(0).integers(
        0, 256, (1000, height, width, channels), dtype=np.uint8
    )
    splits = {name: Split(values, pixel_range=(0.0, 255.0)) for name in ("train", "test")}
    write_store(plan.paths.dataset_store("digits"), splits, {"source": "random"})
    return plan


def timed(work: Callable[..., Any], seconds: list[float]) -> Callable[..., Any]:
    """Return `work`, appending its time to `seconds`."""

    @functools.wraps(work)
    def run(*arguments: Any) -> Any:
        start = time.perf_counter()
        result = work(*arguments)
        seconds.append(time.perf_counter() - start)
        return result

    return run


def train(plan: Plan, gpus: int) -> tuple[float, float, float]:
    """Train the run from the start; return seconds in total, of checkpoints, of sample images."""
    shutil.rmtree(plan.paths.results, ignore_errors=True)
    run, saving, drawing = plan.runs[0], [], []
    trainer: Any = make_trainer(run, plan.paths, gpus)
    assert isinstance(trainer, Trainer)
    trainer._save = timed(trainer._save, saving)
    trainer.draw_samples = timed(trainer.draw_samples, drawing)
    with contextlib.redirect_stderr(io.StringIO()):
        seconds = seconds_of(trainer.run, trainer.accelerator.device.type)
    return seconds, sum(saving), sum(drawing)


def measure(benchmark: Benchmark, case: Case, steps: int, precision: str) -> None:
    """Measure the loop and the bare step of one network."""
    options, device = benchmark.options, benchmark.device
    retain_freed_memory()
    gpus = int(device.type == "cuda")
    step = own_step(case, device, precision == "bf16")

    def bare() -> None:
        for _ in range(steps):
            step()

    shares: dict[str, list[float]] = {"turn": [], "study": []}
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_of(Path(folder), case, steps, precision)
        log, every = plan.runs[0].train.log, plan.runs[0].train.checkpoint.steps
        for turn in range(-1, options.repeats):
            total, saving, drawing = train(plan, gpus)
            alone = seconds_of(bare, device.type)
            ends = saving * steps / every + drawing * steps / log.images
            if turn >= 0:
                shares["turn"].append(alone / total)
                shares["study"].append(alone / (total - saving - drawing + ends))
                benchmark.add(
                    case=case.name,
                    precision=precision,
                    steps=steps,
                    loop_s=total,
                    checkpoint_s=saving,
                    picture_s=drawing,
                    bare_s=alone,
                    share=shares["study"][-1],
                )
    AcceleratorState._reset_state(reset_partial_state=True)
    note = f"{statistics.median(shares['turn']):.0%} with both at the end of {steps} steps"
    what = f"training loop {case.name} {precision}, share of the bare step's speed"
    benchmark.find(what, statistics.median(shares["study"]), TARGET, "%", note=note)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = command_line(__doc__)
    parser.add_argument("--steps", type=int, default=80, help="steps per turn")
    benchmark = begin(parser, arguments)
    if benchmark.options.quick:
        measure(benchmark, Case(4, (1, 8, 8), 8), 5, "bf16")
    else:
        measure(benchmark, Case(32, (1, 28, 28), 16), benchmark.options.steps, "bf16")
    benchmark.finish()


if __name__ == "__main__":
    main()
