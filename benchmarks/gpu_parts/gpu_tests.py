"""The tests in `tests/gpu`, which run on a real GPU if there is one."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from gpu_parts.part import Part, run_part

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "gpu"
IN_DRY_RUN = "test_simulated_gpu.py"
ENDING = 5.0
"""Seconds in which pytest ends and writes its report."""
SIMULATED = "simulated GPU"
"""What the tests call it in their report if they do not run on a real one."""


def measure(part: Part) -> None:
    """Run them, and add a row with their number and one for each that fails or is skipped."""
    part.attempt("GPU tests", lambda: _run(part))


def _run(part: Part) -> None:
    if not FOLDER.exists():
        part.add("GPU tests", note="not measured: this checkout has no tests/gpu")
        return
    if importlib.util.find_spec("pytest") is None:
        raise ModuleNotFoundError("pytest", name="pytest")
    report = part.output.with_suffix(".xml")
    tests = FOLDER / IN_DRY_RUN if part.quick else FOLDER
    # The versions here may differ from the tested ones, so their warnings are no failures.
    command = [sys.executable, "-m", "pytest", str(tests), f"--junitxml={report}", "-W", "default"]
    output, code = run_tests([*command, "-p", "no:cacheprovider"], part.seconds_left() - ENDING)
    print(output)
    if not report.exists():
        missing = [line for line in output.splitlines() if "No module" in line]
        reason = missing[-1].strip() if missing else f"pytest ended with {code}"
        part.add("GPU tests", failed=not missing, note=f"not measured: {reason}")
        return
    add_results(part, report, all_ended=code is not None)


def run_tests(command: Sequence[str], seconds: float) -> tuple[str, int | None]:
    """Run pytest for at most `seconds`; return its output and exit code, None if it was stopped.

    It is stopped as by Ctrl-C, since it then writes the results of the tests that have ended.
    """
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, **given)
    try:
        return process.communicate(timeout=max(0.0, seconds))[0], process.returncode
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        return process.communicate()[0], None


def add_results(part: Part, report: Path, all_ended: bool = True) -> None:
    """Add the rows of a JUnit file; unless `all_ended`, its last test is the interrupted one."""
    root = ElementTree.parse(report).getroot()
    gpus = {each.get("value", "") for each in root.iter("property") if each.get("name") == "gpu"}
    cases = list(root.iter("testcase"))[: None if all_ended else -1]
    bad = [
        case for case in cases if any(case.find(tag) is not None for tag in ("failure", "error"))
    ]
    skipped = [case for case in cases if case.find("skipped") is not None]
    passed = len(cases) - len(bad) - len(skipped)
    counts = f"of {len(cases)}; {len(bad)} failed, {len(skipped)} skipped"
    counts += f"; on {' and '.join(sorted(gpus)) or 'no GPU'}"
    counts += "" if all_ended else "; the others had no time"
    is_wrong = part.device.type == "cuda" and (not gpus or SIMULATED in gpus)
    failed = bool(bad) or not cases or is_wrong
    part.add("GPU tests, passed", figure=passed, failed=failed, note=counts)
    for case in [*bad, *skipped]:
        tag = next(tag for tag in ("failure", "error", "skipped") if case.find(tag) is not None)
        found = case.find(tag)
        message = " ".join((found.get("message") or "").split()) if found is not None else ""
        part.add(
            f"test {case.get('name')}", failed=tag != "skipped", note=f"{tag}: {message[:200]}"
        )


if __name__ == "__main__":
    run_part(measure)
