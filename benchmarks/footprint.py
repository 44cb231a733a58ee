"""Disk usage of a study: files and bytes per setting, and of a checkpoint.

A small study is run by Snakemake; then settings are added to its grid and it is run again. The
growth divided by the number of added settings is the cost of one. Few samples are drawn, so that
the rest of a setting shows; for samples, the bytes of one image matter.

Checkpoints of NCSNv2 and of its deepest network are written as training writes them.

    python benchmarks/footprint.py --output footprint.json
"""

from __future__ import annotations

import copy
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from harness import Benchmark, begin, call, command_line, seconds_of

from scoresweep.noise import geometric
from scoresweep.pipeline.study.methods.networks import AnyNetwork, NCSNv2, NCSNv2Deepest
from scoresweep.pipeline.training.checkpoint import Checkpoint, optimizer_tensors, save_checkpoint
from scoresweep.pipeline.training.weights import build_network

ROOT = Path(__file__).parents[1]
COUNT = 200
"""Samples per setting."""
STUDY: dict[str, Any] = {
    "study": "footprint",
    "dataset": {"name": "digits"},
    "train": {
        "network": {"name": "mlp", "width": 8, "blocks": 1},
        "noise": {"name": "geometric", "sigma_max": 8.0, "sigma_min": 0.05, "levels": 4},
        "steps": 10,
        "batch_size": 16,
    },
    "sample": {
        "sampler": {"name": "annealed_langevin", "step_size": 2e-5},
        "count": COUNT,
        "grid": {"sampler.step_size": []},
    },
    "evaluate": {"metrics": ["frechet"], "extractors": ["pixels"], "resamplings": 10},
}


def run_study(folder: Path, settings: int) -> None:
    """Run the study with `settings` settings; finished ones are not run again."""
    content = copy.deepcopy(STUDY)
    sizes = [2e-5 * (1 + i / 100) for i in range(settings)]
    content["sample"]["grid"]["sampler.step_size"] = sizes
    (folder / "study.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    command = (sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile")
    call(*command, "--cores", "all", "--configfile", "study.yaml", at=folder)


def usage(folder: Path) -> dict[str, tuple[int, int]]:
    """Return files and bytes by part of the study."""
    parts_usage: dict[str, list[int]] = {}
    for file in (path for path in folder.rglob("*") if path.is_file()):
        parts = file.relative_to(folder).parts
        part = parts[2] if parts[0] == "results" and len(parts) > 3 else parts[0]
        files_bytes = parts_usage.setdefault(part, [0, 0])
        files_bytes[0] += 1
        files_bytes[1] += file.stat().st_size
    return {part: (files, size) for part, (files, size) in parts_usage.items()}


def measure_settings(benchmark: Benchmark, few: int, many: int) -> None:
    """Measure the disk usage of one additional setting."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_study(folder, few)
        before = usage(folder)
        run_study(folder, many)
        after = usage(folder)
    added = many - few
    for part, (files, size) in sorted(after.items()):
        old_files, old_size = before.get(part, (0, 0))
        row = {"files": (files - old_files) / added, "bytes": (size - old_size) / added}
        benchmark.add(of="a setting", part=part, **row)


def measure_checkpoint(
    benchmark: Benchmark, component: AnyNetwork, shape: tuple[int, int, int]
) -> None:
    """Measure the size of a checkpoint and the time to write it."""
    network = build_network(component, shape, geometric(50, 0.01, 232))
    parameters = list(network.parameters())
    optimizer = torch.optim.AdamW(parameters, fused=True)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    tensors = {
        "network": network.state_dict(),
        "averaged": network.state_dict(),
        "optimizer": optimizer_tensors(network, optimizer),
    }
    with tempfile.TemporaryDirectory() as name:
        write = lambda: save_checkpoint(Path(name), Checkpoint(1, tensors, {}), 1)  # noqa: E731
        seconds = [seconds_of(write) for _ in range(benchmark.options.repeats)]
        files = [path for path in Path(name).rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
    count = sum(parameter.numel() for parameter in parameters)
    row = {"million_parameters": count / 1e6, "seconds": statistics.median(seconds)}
    benchmark.add(of="a checkpoint", part=component.name, files=len(files), bytes=size, **row)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    benchmark = begin(command_line(__doc__), arguments)
    quick = benchmark.options.quick
    measure_settings(benchmark, *((1, 2) if quick else (2, 12)))
    channels = 4 if quick else 128
    measure_checkpoint(benchmark, NCSNv2(name="ncsnv2", channels=channels), (3, 32, 32))
    deepest = NCSNv2Deepest(name="ncsnv2_deepest", channels=channels)
    measure_checkpoint(benchmark, deepest, (3, 64, 64))
    benchmark.finish()


if __name__ == "__main__":
    main()
