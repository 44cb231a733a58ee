"""What made a result: the program, the versions of its parts, and the machine."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["provenance"]

PACKAGES = (
    "scoresweep",
    "torch",
    "accelerate",
    "submitit",
    "snakemake",
    "zarr",
    "xarray",
    "numpy",
)


def provenance() -> dict[str, Any]:
    """Return versions, commit and machine as plain values."""
    # A copy that is installed may lie inside some other project's repository.
    commit = _git("rev-parse", "HEAD") if _git("ls-files", Path(__file__).name) else ""
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit,
        "uncommitted_changes": bool(commit and _git("status", "--porcelain", "-uno")),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def _git(*arguments: str) -> str:
    """Return git's answer about the folder of this program; "" where there is no repository."""
    folder = Path(__file__).parent
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    """Return the model name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
