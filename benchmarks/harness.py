"""Shared code of the benchmarks: alternating variants, ratios, tables, result files.

Other load on a machine changes times severalfold, so a single time says little. Variants take turns
within one run, so that any load affects all of them alike; the ratio of two is the median of the
ratios of their turns.

`on_gpu.py` uses parts of this module where only PyTorch is installed, so the module itself imports
no other package.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

PRODUCTS = 4
"""Matrix products in a turn; a single one is too short to average over other load."""

QUICK_NOTE = "--quick: these figures only show that the benchmark runs"

Run = Callable[[], object]
"""Does the work once when called."""


@dataclass(frozen=True)
class Finding:
    """A figure and its target, if it has one."""

    what: str
    figure: float
    target: float | None
    unit: str = "x"
    at_least: bool = True
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the figure meets the target; None without a target."""
        if self.target is None:
            return None
        return self.figure >= self.target if self.at_least else self.figure <= self.target

    def cells(self) -> list[str]:
        """Return the cells of its table row."""
        figure = number(self.figure, self.unit)
        if self.target is None:
            return [self.what, figure, "", "", self.note]
        target = f"{'≥' if self.at_least else '≤'} {number(self.target, self.unit)}"
        return [self.what, figure, target, "yes" if self.reached else "NO", self.note]


@dataclass
class Benchmark:
    """One run of a benchmark: options, rows and findings."""

    options: argparse.Namespace
    rows: list[dict[str, Any]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def device(self) -> torch.device:
        """Device of the tensors."""
        return torch.device(self.options.device)

    def times(
        self, runs: Mapping[str, Run], repeats: int = 0, warm_ups: int = 1
    ) -> dict[str, list[float]]:
        """Time the variants, `repeats` times or as often as the command line says."""
        return take_turns(runs, repeats or self.options.repeats, self.options.device, warm_ups)

    def add(self, **row: Any) -> None:
        """Add a row of figures."""
        self.rows.append(row)

    def compare(
        self,
        seconds: Mapping[str, Sequence[float]],
        base: str,
        flops: Mapping[str, float] | None = None,
        rate: float = 0.0,
        **about: Any,
    ) -> None:
        """Add a row per variant: median, ratio to `base`, share of `rate`.

        `flops` are the operations of each variant, `rate` is the machine's rate in 1/s.
        """
        for name, times in seconds.items():
            row = about | {"variant": name, "median_s": statistics.median(times)}
            row["times_as_fast"] = ratio(seconds[base], times)
            if flops and name in flops:
                row["gflop_per_s"] = flops[name] / row["median_s"] / 1e9
                row["share_of_rate"] = row["gflop_per_s"] * 1e9 / rate
            self.rows.append(row | {"seconds": list(times)})

    def find(
        self, what: str, figure: float, target: float | None, unit: str = "x", **more: Any
    ) -> None:
        """Add a figure, with a target or without."""
        self.findings.append(Finding(what, figure, target, unit, **more))

    def finish(self) -> None:
        """Print rows and findings; write the output file if one is given."""
        print_rows(self.rows)
        if self.options.quick:
            print(QUICK_NOTE)
        if self.findings:
            print()
            print_findings([finding.cells() for finding in self.findings])
        if self.options.output:
            self.options.output.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(self.report(), indent=2, ensure_ascii=False, default=str)
            self.options.output.write_text(text + "\n", encoding="utf-8")

    def report(self) -> dict[str, Any]:
        """Return the content of the output file."""
        from scoresweep.pipeline.system.provenance import provenance

        settings = {key: value for key, value in vars(self.options).items() if key != "output"}
        if settings.get("peer"):
            peer = settings["peer"]
            commit = call("git", "-C", peer, "describe", "--always", "--dirty", "--abbrev=40")
            settings["peer"] = {"name": peer.name, "commit": commit.strip()}
        return {
            "benchmark": Path(sys.argv[0]).stem,
            "settings": settings,
            "machine": machine(),
            "made_by": provenance(),
            "rows": self.rows,
            "findings": [asdict(f) | {"reached": f.reached} for f in self.findings],
        }


def command_line(
    about: str | None, *, repeats: int = 5, peer: bool = False
) -> argparse.ArgumentParser:
    """Return a parser with the common options; `about` is the script's docstring."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=about, formatter_class=form)
    parser.add_argument(
        "--quick", action="store_true", help="the least work that shows that it runs"
    )
    parser.add_argument("--repeats", type=int, default=repeats, help="turns of each variant")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--output", type=Path, help="JSON file to write")
    if peer:
        parser.add_argument("--peer", type=Path, help="checkout of ermongroup/ncsnv2")
    return parser


def begin(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None, quick_repeats: int = 2
) -> Benchmark:
    """Parse the command line and apply the common options."""
    options = parser.parse_args(arguments)
    if options.quick:
        options.repeats = quick_repeats
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    return Benchmark(options)


# ── times ───────────────────────────────────────────────────────────────────────────────────────


def take_turns(
    runs: Mapping[str, Run], repeats: int, device: str = "cpu", warm_ups: int = 1
) -> dict[str, list[float]]:
    """Return the seconds of each turn, by variant, after `warm_ups` uncounted turns.

    Every second turn runs in reverse order, so that no variant always follows the same one.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(-warm_ups, repeats):
        for name, run in list(runs.items())[:: -1 if turn % 2 else 1]:
            elapsed = seconds_of(run, device)
            if turn >= 0:
                seconds[name].append(elapsed)
    return seconds


def seconds_of(run: Run, device: str = "cpu") -> float:
    """Return how long one call of `run` takes."""
    gc.collect()
    start = time.perf_counter()
    run()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def ratio(long: Sequence[float], short: Sequence[float]) -> float:
    """Return the median over the turns of `long` / `short`."""
    return statistics.median(a / b for a, b in zip(long, short, strict=True))


# ── machine ─────────────────────────────────────────────────────────────────────────────────────


def matrix_product(kind: torch.dtype, device: torch.device, quick: bool = False) -> Run:
    """Return a function that multiplies square matrices of type `kind`."""
    size = _size(device, quick)
    a, b, product = (torch.randn(size, size, device=device).to(kind) for _ in range(3))

    def run() -> None:
        for _ in range(PRODUCTS):
            torch.matmul(a, b, out=product)

    return run


def flops_of_product(device: torch.device, quick: bool = False) -> float:
    """Return the operations of `matrix_product`."""
    return PRODUCTS * 2.0 * _size(device, quick) ** 3


def _size(device: torch.device, quick: bool) -> int:
    return 512 if quick else 8192 if device.type == "cuda" else 3072


def rate_of(times: Sequence[float], flops: float) -> float:
    """Return operations per second, at the median of `times`."""
    return flops / statistics.median(times)


def flops_of(run: Run) -> float:
    """Return the operations of matrix products and convolutions in one call of `run`."""
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())


def num_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> dict[str, Any]:
    """Return facts that times depend on; `provenance` has versions and commit."""
    import psutil

    from scoresweep.pipeline.system.provenance import provenance

    on_gpu = torch.cuda.is_available()
    return {
        "processor": provenance()["processor"],
        "cores": num_cores(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpu": torch.cuda.get_device_name() if on_gpu else None,
        "cuda": torch.version.cuda,
        "platform": platform.platform(),
        "libc": " ".join(platform.libc_ver()),
        "load": psutil.getloadavg()[0],
    }


# ── processes ───────────────────────────────────────────────────────────────────────────────────


def call(*command: str | Path, at: Path | None = None) -> str:
    """Run a command and return its output; raise `SystemExit` if it fails."""
    words = [str(part) for part in command]
    done = subprocess.run(words, cwd=at, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def python(*arguments: str | Path, at: Path | None = None) -> str:
    """Run this Python with `arguments`."""
    return call(sys.executable, *arguments, at=at)


def peak_gib() -> float:
    """Return the peak memory of this process."""
    status = Path("/proc/self/status")
    if not status.exists():  # macOS: `ru_maxrss` in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30
    # On Linux a process inherits `ru_maxrss` from its parent.
    lines = status.read_text(encoding="ascii").splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(kib) / 2**20


# ── tables ──────────────────────────────────────────────────────────────────────────────────────


def number(value: Any, unit: str = "") -> str:
    """Format a value: three digits, or a percentage."""
    if not isinstance(value, float):
        return str(value)
    if unit == "%":
        return f"{100 * value:.0f} %"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{text} {unit}".strip().replace(" x", "×")


def print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows of figures without their lists."""
    shown = [{k: v for k, v in row.items() if not isinstance(v, (list, dict))} for row in rows]
    names = list(dict.fromkeys(name for row in shown for name in row))
    lines = [[number(row.get(name, "")) for name in names] for row in shown]
    _print([[name.replace("_", " ") for name in names], *lines])


def print_findings(cells: Sequence[Sequence[str]]) -> None:
    """Print figures and targets."""
    _print([["what", "figure", "target", "met", ""], *cells])


def _print(table: Sequence[Sequence[str]]) -> None:
    widths = [max(len(line[i]) for line in table) for i in range(len(table[0]))]
    for line in table:
        first, *others = zip(line, widths, strict=True)
        cells = [f"{first[0]:{first[1]}s}", *(f"{cell:>{width}s}" for cell, width in others)]
        print("  ".join(cells).rstrip(), flush=True)
