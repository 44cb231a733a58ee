"""The browser of the tests: Debian's Chromium, installed by apt-get if possible."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

__all__ = ["UnavailableError", "chromium"]


class UnavailableError(Exception):
    """Chromium is missing and cannot be installed."""


def chromium() -> str:
    """Return the path of Chromium; if it is missing, root installs the Debian package."""
    with (Path(tempfile.gettempdir()) / "scoresweep-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests' SLURM is also installed by apt-get
        found = shutil.which("chromium")
        if found is None:
            _install()
            found = shutil.which("chromium")
    if found is None:
        raise UnavailableError("the package chromium holds no program of that name")
    return found


def _install() -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise UnavailableError("there is no program chromium, and only root on Debian can get it")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "chromium"]
    for command in (["apt-get", "update", "--quiet"], install):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise UnavailableError(f"apt-get could not install chromium:\n{done.stderr}")
