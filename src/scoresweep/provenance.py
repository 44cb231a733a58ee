"""What made a result: the program, the versions of its parts, and the machine."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from scoresweep.files import whole, write_json

__all__ = ["note_end", "note_start", "provenance"]

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

WORKFLOW = ("src", "workflow")
"""Folders of the checkout whose files count as code also where git does not know them."""


def provenance() -> dict[str, Any]:
    """Return versions, commit and machine as plain values."""
    commit = _commit()
    return {
        "created": _now(),
        "commit": commit,
        "uncommitted_changes": bool(commit and _git("status", "--porcelain", "-uno").strip()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def note_start(path: Path, code: Path) -> None:
    """Add a start of this process's work to the provenance at `path`; keep its code in `code`.

    The folder holds `<sha>.patch`, what the checkout had that its commit has not, and
    `<sha>.environment.txt`, every installed package: one of each for all starts that are alike.
    """
    patch, environment = _patch(), os.environ
    start = {
        "time": _now(),
        "commit": _commit(),
        "patch": _keep(code, patch, ".patch") if patch else None,
        "source_sha256": _source_sha256(),
        "environment": _keep(code, _environment(), ".environment.txt"),
        "hosts": environment.get("SLURM_JOB_NODELIST", socket.gethostname()),
        "slurm_job": environment.get("SLURM_JOB_ID"),
        "slurm_restarts": int(environment.get("SLURM_RESTART_COUNT", "0")),
        "processes": int(environment.get("WORLD_SIZE", "1")),
        "nodes": int(environment.get("SLURM_JOB_NUM_NODES", "1")),
    }
    before = _read(path)
    starts = [*before.get("starts", []), start]
    write_json(path, before | provenance() | {"starts": starts})


def note_end(path: Path, facts: dict[str, Any]) -> None:
    """Add `facts` about finished work to the provenance that its last start left at `path`.

    The code and the versions are those of that start: a checkout may change while work runs.
    """
    write_json(path, _read(path) | facts)


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _keep(folder: Path, content: bytes, suffix: str) -> str:
    """Write `content` under a name made of its hash, if it is not there; return the name."""
    name = hashlib.sha256(content).hexdigest()[:12] + suffix
    if not (folder / name).exists():
        with whole(folder / name) as temporary:
            temporary.write_bytes(content)
    return name


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _commit() -> str:
    """Return the commit that is checked out; "" where the program is in no checkout of its own."""
    # A copy that is installed may lie inside some other project's repository.
    known = _git("ls-files", Path(__file__).name)
    return _git("rev-parse", "HEAD").decode().strip() if known else ""


def _patch() -> bytes:
    """Return what `git apply` needs to make the checkout's code out of its commit."""
    if not _commit():
        return b""
    top = Path(os.fsdecode(_git("rev-parse", "--show-toplevel").rstrip(b"\n")))
    # Whatever a person has configured, the answer is a patch in the usual form.
    options = ("--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
    diff = ("diff", *options, "--src-prefix=a/", "--dst-prefix=b/")
    listed = _git("ls-files", "-z", "--others", "--exclude-standard", "--", *WORKFLOW, at=top)
    new = [os.fsdecode(name) for name in listed.split(b"\0") if name]
    parts = [_git(*diff, "HEAD", at=top)]
    parts += [_git(*diff, "--no-index", "--", "/dev/null", name, at=top) for name in sorted(new)]
    return b"".join(parts)


def _git(*arguments: str, at: Path | None = None) -> bytes:
    """Return git's answer about the folder of this program; nothing where there is no repository.

    Commands that compare answer 1 where they found a difference.
    """
    folder = str(at or Path(__file__).parent)
    try:
        answer = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        return b""
    return answer.stdout if answer.returncode in (0, 1) else b""


def _source_sha256() -> str:
    """Return a hash over the names and contents of the program's files."""
    folder, digest = Path(__file__).parent, hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(f"{file.relative_to(folder).as_posix()}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _environment() -> bytes:
    """Return Python, the build of torch and every installed package, a line each."""
    import torch

    found = importlib.metadata.distributions()
    packages = sorted({f"{package.name}=={package.version}" for package in found}, key=str.lower)
    lines = [
        f"# Python {platform.python_version()}",
        f"# torch {torch.__version__}, CUDA {torch.version.cuda}, {torch.version.git_version}",
        *packages,
    ]
    return ("\n".join(lines) + "\n").encode()


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    """Return the model name of the CPU."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
