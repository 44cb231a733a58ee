"""Provenance of results: code, package versions and host."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import socket
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from runpy import run_path
from typing import Any

from scoresweep.pipeline.system.atomic_files import atomic_write, write_json
from scoresweep.pipeline.system.console import say

__all__ = [
    "Code",
    "append_start",
    "commit_name",
    "provenance",
    "snapshot_code",
    "update_provenance",
    "usable_cores",
]

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

PACKAGE = Path(__file__).parents[2]
"""Folder of the installed package."""

CPUINFO = Path("/proc/cpuinfo")
"""Linux only."""

CODE_FOLDERS = ("src", "workflow")
"""Folders of the checkout whose untracked files also count as code."""


@dataclass(frozen=True)
class Code:
    """The code of a process; `patch` and `environment` name files in the snapshot folder."""

    commit: str
    """Commit that is checked out; "" if the package is not in its own checkout."""
    patch: str | None
    """Difference between the checkout and the commit; None if there is none."""
    environment: str
    """List of installed packages."""
    source_sha256: str
    """Hash of the names and contents of the package's files."""


def provenance() -> dict[str, Any]:
    """Return versions, commit and host as plain values."""
    commit = _commit()
    return _describe(commit, bool(commit and _patch()))


def _describe(commit: str, uncommitted_changes: bool) -> dict[str, Any]:
    return {
        "created": _now(),
        "commit": commit,
        "uncommitted_changes": uncommitted_changes,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "processor": _processor(),
        "cores": usable_cores(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def snapshot_code(folder: Path) -> Code:
    """Save the code of this process to `folder` as `<sha>.patch` and `<sha>.environment.txt`.

    Identical files are saved once.
    """
    commit = _commit()
    patch = _patch() if commit else b""
    return Code(
        commit=commit,
        patch=_save(folder, patch, ".patch") if patch else None,
        environment=_save(folder, _environment(), ".environment.txt"),
        source_sha256=_source_sha256(),
    )


@functools.cache
def commit_name() -> str:
    """Return the first digits of the commit, with "+" if the package's files differ from it.

    Returns "" if the package is not in its own checkout, or git is not installed.
    """
    commit = _commit()
    changed = commit and _git("status", "--porcelain", "--", str(PACKAGE))
    return commit[:12] + ("+" if changed else "")


def append_start(path: Path, folder: Path, code: Code | None = None) -> None:
    """Append a start of this job to the provenance file `path`.

    `code` is the snapshot that the launching process saved in `folder`, since cluster nodes may
    lack git. A new one is made if it is missing, or if the code changed while the job waited.
    """
    if code is None or code.source_sha256 != _source_sha256() or not _is_saved(code, folder):
        code = snapshot_code(folder)
    environment = os.environ
    start = {
        "time": _now(),
        **asdict(code),
        "hosts": environment.get("SLURM_JOB_NODELIST", socket.gethostname()),
        "slurm_job": environment.get("SLURM_JOB_ID"),
        "slurm_restarts": int(environment.get("SLURM_RESTART_COUNT", "0")),
        "processes": int(environment.get("WORLD_SIZE", "1")),
        "nodes": int(environment.get("SLURM_JOB_NUM_NODES", "1")),
    }
    content = _read(path)
    starts = [*content.get("starts", []), start]
    description = _describe(code.commit, code.patch is not None)
    write_json(path, content | description | {"starts": starts})


def _is_saved(code: Code, folder: Path) -> bool:
    """Return whether the files of a snapshot are in `folder`, which users may delete."""
    return all((folder / name).exists() for name in (code.patch, code.environment) if name)


def update_provenance(path: Path, facts: dict[str, Any]) -> None:
    """Add `facts` to a provenance file, keeping code and versions of the last start.

    The checkout may have changed since then.
    """
    write_json(path, _read(path) | facts)


def _read(path: Path) -> dict[str, Any]:
    """Return the content of a provenance file; {} if it is missing or damaged."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        say(f"{path}: is damaged ({error}); starting a new one")
        return {}


def _save(folder: Path, content: bytes, suffix: str) -> str:
    """Write `content` to a file named by its hash unless it exists; return the name."""
    name = hashlib.sha256(content).hexdigest()[:12] + suffix
    if not (folder / name).exists():
        with atomic_write(folder / name) as temporary:
            temporary.write_bytes(content)
    return name


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _commit() -> str:
    """Return the commit that is checked out; "" if the package is not in its own checkout."""
    # An installed copy may be inside another project's repository, which does not track it.
    tracked = _run_git("ls-files", "__init__.py")
    top = _checkout()
    if top and tracked.returncode:
        problem = " ".join(tracked.stderr.decode(errors="replace").split())
        say(f"{top}: results will record only a hash of this code, not its commit: {problem}")
    return _git("rev-parse", "HEAD").decode().strip() if tracked.stdout else ""


def _checkout() -> Path | None:
    """Return the top folder of the repository that contains the package."""
    return next((f for f in PACKAGE.resolve().parents if (f / ".git").exists()), None)


def _patch() -> bytes:
    """Return a patch that turns the commit into the code of the checkout."""
    top = Path(os.fsdecode(_git("rev-parse", "--show-toplevel").rstrip(b"\n")))
    # Override user settings that would change the format of the patch.
    options = ("--binary", "--no-color", "--no-ext-diff", "--no-textconv", "--no-renames")
    diff = ("diff", *options, "--src-prefix=a/", "--dst-prefix=b/")
    names = _git("ls-files", "-z", "--others", "--exclude-standard", "--", *CODE_FOLDERS, at=top)
    untracked = [os.fsdecode(name) for name in names.split(b"\0") if name]
    parts = [_git(*diff, "HEAD", at=top)]
    parts += [
        _git(*diff, "--no-index", "--", "/dev/null", name, at=top) for name in sorted(untracked)
    ]
    return b"".join(parts)


def _git(*arguments: str, at: Path | None = None) -> bytes:
    """Return the output of a git command; nothing if it fails.

    `git diff --no-index` exits with 1 if it finds differences.
    """
    done = _run_git(*arguments, at=at)
    return done.stdout if done.returncode in (0, 1) else b""


def _run_git(*arguments: str, at: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run git in the folder of the package; return code 127 if it is not installed."""
    command = ["git", "-C", str(at or PACKAGE)]
    top = _checkout()
    if top and (top / ".git").stat().st_uid == PACKAGE.stat().st_uid:
        # The checkout may belong to another user, whose code runs here anyway.
        command += ["-c", "safe.directory=*"]
    # Git hooks and `git rebase --exec` set variables that point to another repository.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    return _run([*command, *arguments], environment)


def _run(
    command: list[str], environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a command; return code 127, as in a shell, if it is not installed."""
    try:
        return subprocess.run(command, capture_output=True, env=environment, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, b"", f"no {command[0]}".encode())


def _source_sha256() -> str:
    """Return a hash of the names and contents of the package's files."""
    folder, digest = PACKAGE, hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(f"{file.relative_to(folder).as_posix()}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _environment() -> bytes:
    """Return one line each for Python, the torch build and every installed package."""
    torch = _torch_build()
    distributions = importlib.metadata.distributions()
    packages = sorted(
        {f"{package.name}=={package.version}" for package in distributions}, key=str.lower
    )
    lines = [
        f"# Python {platform.python_version()}",
        f"# torch {torch['__version__']}, CUDA {torch['cuda']}, {torch['git_version']}",
        *packages,
    ]
    return ("\n".join(lines) + "\n").encode()


def _torch_build() -> dict[str, Any]:
    """Read torch/version.py without importing torch, which takes seconds."""
    spec = find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    return run_path(str(Path(spec.origin).with_name("version.py")))


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    """Return the model name of the CPU."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:  # macOS
        names = _run(["sysctl", "-n", "machdep.cpu.brand_string"]).stdout.decode().splitlines()
    return names[0] if names else platform.processor()
