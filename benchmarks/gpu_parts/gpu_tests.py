"""The tests in `tests/gpu`, which run on a real GPU if there is one."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from gpu_parts.part import Part, run_part

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "gpu"


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
    # The versions here may differ from the tested ones, so their warnings are no failures.
    command = [sys.executable, "-m", "pytest", str(FOLDER), f"--junitxml={report}", "-W", "default"]
    command += ["-p", "no:cacheprovider", *(["--collect-only"] if part.quick else [])]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    if part.quick:
        found = sum("::" in line for line in done.stdout.splitlines())
        note = "--dry-run: collected only, since make test runs them"
        part.add("GPU tests", figure=found, failed=done.returncode != 0, note=note)
        return
    if not report.exists():
        missing = [line for line in (done.stdout + done.stderr).splitlines() if "No module" in line]
        reason = missing[-1].strip() if missing else f"pytest ended with {done.returncode}"
        part.add("GPU tests", failed=not missing, note=f"not measured: {reason}")
        return
    add_results(part, report)


def add_results(part: Part, report: Path) -> None:
    """Add the rows of a JUnit file."""
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    bad = [
        case for case in cases if any(case.find(tag) is not None for tag in ("failure", "error"))
    ]
    skipped = [case for case in cases if case.find("skipped") is not None]
    passed = len(cases) - len(bad) - len(skipped)
    counts = f"of {len(cases)}; {len(bad)} failed, {len(skipped)} skipped"
    part.add("GPU tests, passed", figure=passed, failed=bool(bad) or not cases, note=counts)
    for case in [*bad, *skipped]:
        tag = next(tag for tag in ("failure", "error", "skipped") if case.find(tag) is not None)
        found = case.find(tag)
        message = " ".join((found.get("message") or "").split()) if found is not None else ""
        part.add(
            f"test {case.get('name')}", failed=tag != "skipped", note=f"{tag}: {message[:200]}"
        )


if __name__ == "__main__":
    run_part(measure)
