"""Programs that some tests need: Debian's, installed by apt-get if possible."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

__all__ = ["UnavailableError", "debian_program"]


class UnavailableError(Exception):
    """A program is missing and cannot be installed."""


def debian_program(name: str, package: str) -> str:
    """Return the path of a program; if it is missing, root installs its Debian package."""
    with (Path(tempfile.gettempdir()) / "scoresweep-apt.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the tests' SLURM is also installed by apt-get
        found = shutil.which(name)
        if found is None:
            _install(name, package)
            found = shutil.which(name)
    if found is None:
        raise UnavailableError(f"the package {package} holds no program {name}")
    return found


def _install(name: str, package: str) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise UnavailableError(f"there is no program {name}, and only root on Debian can get it")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package]
    for command in (["apt-get", "update", "--quiet"], install):
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        raise UnavailableError(f"apt-get could not install {package}:\n{done.stderr}")
