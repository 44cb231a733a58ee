"""Run all benchmarks and print a summary of figures and targets.

A script that fails is named in the summary; the others still run. The results go into one file,
`benchmarks/results/<machine>.json` by default, which git ignores.

    python benchmarks/run_all.py --peer CHECKOUT
    python benchmarks/run_all.py --quick --only start_up staging
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import QUICK_NOTE, Finding, machine, print_findings

from scoresweep.pipeline.system.provenance import provenance

HERE = Path(__file__).parent
SCRIPTS = (
    "training_step",
    "training_loop",
    "annealed_langevin",
    "sampling_memory",
    "smoothed_score",
    "implicit_objectives",
    "staging",
    "shuffled_reading",
    "default_study",
    "plan_estimates",
    "raised_count",
    "short_settings",
    "halving",
    "start_up",
    "planning",
    "report_scale",
    "processes",
)
SCRIPTS_WITH_PEER = {"training_step", "annealed_langevin"}


def run(script: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run one script, which prints its own tables; return its report."""
    output, started = folder / f"{script}.json", time.monotonic()
    command = [sys.executable, str(HERE / f"{script}.py"), "--output", str(output)]
    command += ["--device", options.device, *(["--quick"] if options.quick else [])]
    if options.peer and script in SCRIPTS_WITH_PEER:
        command += ["--peer", str(options.peer)]
    print(f"\n── {script} ──", flush=True)
    failed = subprocess.run(command, check=False).returncode != 0 or not output.exists()
    report = {"benchmark": script, "failed": True}
    if not failed:
        report = json.loads(output.read_text(encoding="utf-8")) | {"failed": False}
    seconds = time.monotonic() - started
    print(f"{script}: {'FAILED after ' if failed else ''}{seconds:.0f} s", flush=True)
    return report | {"wall_s": seconds}


def summarise(reports: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Return a line for each finding, and for each script without any."""
    lines = []
    for report in reports:
        findings = report.get("findings", [])
        for values in findings:
            fields = {name: value for name, value in values.items() if name != "reached"}
            lines.append(Finding(**fields).cells())
        if not findings:
            state = "failed" if report["failed"] else "not measured"
            lines.append([report["benchmark"], state, "", "NO", ""])
    return lines


def results_file() -> Path:
    """Return the default results file of this machine."""
    about = machine()
    name = f"{about['gpu'] or about['processor']} {about['cores']} cores"
    return HERE / "results" / (re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") + ".json")


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument(
        "--quick", action="store_true", help="the least work that shows that it runs"
    )
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=SCRIPTS, metavar="SCRIPT")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--peer", type=Path, help="checkout of ermongroup/ncsnv2")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmarks and write the summary; exit with 1 if one failed."""
    options = parse(arguments)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        reports = [run(script, options, Path(folder)) for script in options.only]
    print(f"\n── summary: {(time.monotonic() - started) / 60:.1f} minutes ──")
    if options.quick:
        print(QUICK_NOTE)
    print_findings(summarise(reports))
    output = options.output or results_file()
    output.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), "made_by": provenance(), "benchmarks": reports}
    output.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"\nwritten to {output}")
    if any(report["failed"] for report in reports):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
