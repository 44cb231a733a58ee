"""Peak memory of sampling, by levels and images, compared with one pass of the network.

Each row is a separate process: `scoresweep sample` with 5 steps per level, or one forward pass of
a chunk. The memory of the imports is subtracted. Growth with levels and images is the sampler's:
it is measured on a very small network, of which 1,000 images of 232 levels take a minute or two.
With a larger network, two chunks of two levels are drawn. Its peak varies from run to run, since
the C library's free memory is fragmented, so the target is for processes in which each large buffer
is mapped separately and returned when freed (`MALLOC_MMAP_THRESHOLD_`). Those are slower.

    python benchmarks/sampling_memory.py --output sampling_memory.json
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from harness import Benchmark, begin, command_line, python
from ncsnv2 import Case
from training_loop import plan_of

from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.training.noise_levels import resolve_noise_levels
from scoresweep.pipeline.training.weights import build_network, save_network

MAX_RATIO, MAX_GROWTH = 1.5, 1.05
"""Relative to one pass; of more levels or images relative to fewer, with measurement noise."""
SEPARATE_MAPS = {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
"""Makes glibc map buffers of 1 MiB and more separately, and `scoresweep` retain no memory."""
PEAK = "\nimport harness; print('peak', harness.peak_gib())"
PARTS = {
    "imports": "import scoresweep.pipeline.rules.sample, scoresweep.pipeline.cli, harness",
    "one pass": """
import torch
from pathlib import Path
from scoresweep.pipeline.training.weights import load_network
network = load_network(Path(sys.argv[1]))
x = torch.rand(int(sys.argv[2]), *network.shape)
with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
    network(x, torch.ones(len(x)))
""",
    "sample": """
from scoresweep.pipeline.cli import app
app(["sample", "study.yaml"], standalone_mode=False)
""",
}


def peak_of(part: str, *arguments: str, at: Path) -> float:
    """Return the peak memory in GiB of a process that runs `part`."""
    here = f"import sys; sys.path.append({str(Path(__file__).parent)!r})\n"
    imports = PARTS["imports"] + "\n" if part != "imports" else ""
    printed = python("-c", here + imports + PARTS[part] + PEAK, *arguments, at=at)
    return float(printed.rsplit("peak", 1)[1])


def make_run(folder: Path, case: Case, levels: int, count: int, chunk: int) -> Plan:
    """Make a study of one run with random weights and one setting, ready to sample."""
    content = plan_of(folder, case, 1, "bf16").study.model_dump(mode="json")
    content["study"] = f"levels{levels}_count{count}"
    content["train"]["noise"]["levels"] = levels
    content["sample"] |= {"count": count, "chunk": chunk, "precision": "bf16"}
    content["sample"]["sampler"]["step_size"] = "auto"
    (folder / "study.yaml").write_text(yaml.safe_dump(content))
    plan = plan_study(parse_study(content, "study.yaml"), folder)
    (run,) = plan.runs
    sigmas = resolve_noise_levels(run.train.noise, lambda: torch.empty(0))
    network = build_network(run.train.network, case.shape, sigmas)
    weights = plan.paths.weights(run.id)
    weights.parent.mkdir(parents=True)
    save_network(weights, network, run.train.network)
    return plan


def measure(
    benchmark: Benchmark, case: Case, points: Sequence[tuple[int, int]], chunk: int
) -> list[tuple[float, float]]:
    """Return the peak in GiB and its ratio to one pass, for each of `points` (levels, images)."""
    peaks = []
    for levels, count in points:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            plan = make_run(folder, case, levels, count, chunk)
            weights = str(plan.paths.run(plan.runs[0].id))
            base = peak_of("imports", at=folder)
            one_pass = peak_of("one pass", weights, str(chunk), at=folder) - base
            drawing = peak_of("sample", at=folder) - base
            row = {"levels": levels, "images": count, "chunk": chunk, "imports_gib": base}
            row |= {"one_pass_gib": one_pass, "sampling_gib": drawing}
            peaks.append((base + drawing, drawing / one_pass))
            benchmark.add(case=case.name, **row, ratio=drawing / one_pass)
    return peaks


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    benchmark = begin(command_line(__doc__), arguments)
    quick = benchmark.options.quick
    points = [(3, 100), (3, 200), (6, 200)] if quick else [(10, 500), (10, 1000), (232, 1000)]
    (less, _), (more, _), (most, _) = measure(
        benchmark, Case(4, (1, 8, 8), 8), points, points[0][1]
    )
    what = f"sampling's peak memory, {points[1][1]} images over {points[0][1]}"
    note = f"{2**10 * (more - less):.1f} MiB"
    benchmark.find(what, more / less, MAX_GROWTH, at_least=False, note=note)
    what = f"sampling's peak memory L={points[2][0]} over L={points[1][0]}"
    note = f"{2**10 * (most - more):.1f} MiB"
    benchmark.find(what, most / more, MAX_GROWTH, at_least=False, note=note)
    case, chunk = (Case(8, (1, 16, 16), 8), 100) if quick else (Case(32, (3, 32, 32), 8), 250)
    what = f"sampling's peak memory, {case.name}, over one pass of the network"
    ((_, ratio),) = measure(benchmark, case, [(2, 2 * chunk)], chunk)
    benchmark.find(f"{what}, with fragmentation (varies)", ratio, None)
    os.environ |= SEPARATE_MAPS  # of the processes started from here on
    ((_, ratio),) = measure(benchmark, case, [(2, 2 * chunk)], chunk)
    benchmark.find(what, ratio, MAX_RATIO, at_least=False)
    benchmark.finish()


if __name__ == "__main__":
    main()
