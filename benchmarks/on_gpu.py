"""Everything that needs a GPU, in one call: tests, steps, training, features, kernels.

It needs PyTorch and this checkout only; a missing package costs the figures that need it. Each
part runs in its own process, most valuable first, and is stopped at its time, so that a failure
costs only itself. The results are rewritten after each part: `on_gpu.json` has everything,
`on_gpu.md` one table. `--dry-run` runs every part in small on a CPU, without hurry.

    python benchmarks/on_gpu.py --minutes 8 --peer CHECKOUT
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
PARTS = {
    "gpu_tests": 50,
    "training_steps": 125,
    "sampling_steps": 50,
    "learning": 165,
    "program": 20,
    "features": 40,
    "kernels": 25,
}
"""Seconds of each part if there are eight minutes, most valuable first. Time that a part does not
use is shared among those after it."""
MINUTES, OF_DRY_RUN = 8.0, 60.0
"""Time for everything. The second is long enough for a busy machine: it ends parts that hang."""
GRACE = 5.0
"""Seconds after which a part that should have ended is stopped."""
COLUMNS = ("part", "what", "figure", "of the bf16 rate", "× base", "target", "met", "note")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument(
        "--minutes",
        type=float,
        help=f"time for everything (default: {MINUTES:g}, of a dry run {OF_DRY_RUN:g})",
    )
    parser.add_argument("--dry-run", action="store_true", help="every part in small, on a CPU")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--peer", type=Path, help="checkout of ermongroup/ncsnv2")
    parser.add_argument(
        "--data", type=Path, help="folder of CIFAR-10's batches (.bin or .png); default: the cache"
    )
    parser.add_argument(
        "--weights", type=Path, help="Inception's weights (safetensors); default: the cache"
    )
    parser.add_argument(
        "--output", type=Path, default=HERE / "results" / "on_gpu", help="folder of the results"
    )
    return parser.parse_args(arguments)


# ── parts ───────────────────────────────────────────────────────────────────────────────────────


def run_parts(
    options: argparse.Namespace, about: Mapping[str, Any], end: float
) -> list[dict[str, Any]]:
    """Run the parts one after another until `end` (monotonic); write the results after each."""
    reports: list[dict[str, Any]] = []
    names = [name for name in PARTS if name in options.only]
    (options.output / "on_gpu.log").unlink(missing_ok=True)
    for index, name in enumerate(names):
        share = PARTS[name] / sum(PARTS[later] for later in names[index:])
        seconds = (end - time.monotonic()) * share
        report = run_part(name, seconds, options)
        reports.append(report)
        print(f"{name}: {report['state']} after {report['seconds']:.0f} s", flush=True)
        write_results(options.output, about, reports)
    return reports


def run_part(name: str, seconds: float, options: argparse.Namespace) -> dict[str, Any]:
    """Run one part in its own process; return its rows and how it ended."""
    output, started = options.output / f"{name}.rows.json", time.monotonic()
    settings = {"until": time.time() + seconds - GRACE, "output": str(output)}
    settings |= {"device": "cpu" if options.dry_run else "cuda", "dry_run": options.dry_run}
    for key in ("peer", "data", "weights"):
        settings[key] = str(getattr(options, key).resolve()) if getattr(options, key) else None
    command = [sys.executable, "-m", f"gpu_parts.{name}", json.dumps(settings)]
    paths = [str(HERE), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    with (options.output / "on_gpu.log").open("a", encoding="utf-8") as log:
        print(f"\n── {name} ──", file=log, flush=True)
        process = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            code = process.wait(max(0.0, seconds))
            state = "done" if code == 0 else f"failed with exit code {code}"
        except BaseException as error:  # also Ctrl-C, which the part does not get
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            state = "stopped at its time"
    rows = json.loads(output.read_text(encoding="utf-8")) if output.exists() else []
    output.unlink(missing_ok=True)
    report = {"part": name, "state": state, "seconds": time.monotonic() - started, "rows": rows}
    failed = state.startswith("failed") or not rows or any(row.get("failed") for row in rows)
    return report | {"failed": failed}


# ── results ─────────────────────────────────────────────────────────────────────────────────────


def describe_machine(dry_run: bool) -> dict[str, Any]:
    """Return what figures depend on; exit with 2 if there is no GPU."""
    import torch

    if not dry_run and not torch.cuda.is_available():
        print("on_gpu.py: PyTorch finds no GPU; expected one, or --dry-run", file=sys.stderr)
        raise SystemExit(2)
    commit = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        found = subprocess.run(commit, capture_output=True, text=True, check=False).stdout.strip()
    except FileNotFoundError:
        found = ""
    about = {"device": f"{platform.machine()} CPU", "commit": found, "torch": torch.__version__}
    if not dry_run:
        free, total = torch.cuda.mem_get_info()
        about |= {"device": torch.cuda.get_device_name(), "cuda": torch.version.cuda}
        about |= {"cudnn": torch.backends.cudnn.version(), "memory_gib": round(total / 2**30, 1)}
        about |= {"free_gib": round(free / 2**30, 1)}
    return about | {"cores": os.cpu_count(), "python": platform.python_version()}


def write_results(
    folder: Path, about: Mapping[str, Any], reports: Sequence[Mapping[str, Any]]
) -> None:
    """Write both files, each whole or not at all."""
    content = {"machine": dict(about), "parts": list(reports)}
    texts = {
        "on_gpu.json": json.dumps(content, indent=2, ensure_ascii=False),
        "on_gpu.md": markdown(about, reports),
    }
    for name, text in texts.items():
        temporary = folder / f"{name}.tmp"
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(folder / name)


def markdown(about: Mapping[str, Any], reports: Sequence[Mapping[str, Any]]) -> str:
    """Return the machine and the table of all rows."""
    facts = ", ".join(f"{name} {value}" for name, value in about.items() if name != "device")
    lines = [f"{about['device']}; {facts}", "", _line(COLUMNS), _line(["---"] * len(COLUMNS))]
    for report in reports:
        state = f"{report['state']}, {report['seconds']:.0f} s"
        rows = report["rows"] or [{"what": "no rows", "note": "see on_gpu.log"}]
        for row in rows:
            lines.append(_line([report["part"], *_cells(row)]))
        lines.append(_line([report["part"], "", "", "", "", "", "", state]))
    return "\n".join(lines)


def _cells(row: Mapping[str, Any]) -> list[str]:
    figure, target, unit = row.get("figure"), row.get("target"), row.get("unit", "")
    at_least = row.get("at_least", True)
    met = wanted = ""
    if target is not None and figure is not None:
        wanted = f"{'≥' if at_least else '≤'} {number(target, unit)}"
        met = "yes" if (figure >= target if at_least else figure <= target) else "NO"
    share, times = row.get("share"), row.get("times")
    shown = [number(figure, unit), number(share, "%"), number(times, "x"), wanted, met]
    return [row["what"], *shown, row.get("note") or ""]


def number(value: float | None, unit: str = "") -> str:
    """Format a figure with its unit; "" if there is none."""
    if value is None:
        return ""
    if unit == "%":
        return f"{100 * value:.1f} %"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{text}×" if unit == "x" else f"{text} {unit}".strip()


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the parts; exit with 1 if something that should work does not."""
    options, started = parse(arguments), time.monotonic()
    options.output.mkdir(parents=True, exist_ok=True)
    about = describe_machine(options.dry_run)
    minutes = options.minutes or (OF_DRY_RUN if options.dry_run else MINUTES)
    reports = run_parts(options, about, started + 60 * minutes)
    print((options.output / "on_gpu.md").read_text(encoding="utf-8"))
    if options.dry_run:
        print("--dry-run: these figures only show that every part runs")
    print(f"{(time.monotonic() - started) / 60:.1f} minutes; written to {options.output}")
    if any(report["failed"] for report in reports):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
