"""What made a result: the program, the versions of its parts, and the machine."""

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

__all__ = ["Code", "append_start", "commit_name", "provenance", "snapshot_code", "update"]

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
"""Folder of the program's files."""

WORKFLOW = ("src", "workflow")
"""Folders of the checkout whose files count as code also where git does not know them."""


@dataclass(frozen=True)
class Code:
    """The code of a process; `patch` and `environment` are names of files in a folder."""

    commit: str
    """What is checked out; "" where the program is in no checkout of its own."""
    patch: str | None
    """What the checkout has that the commit has not."""
    environment: str
    """Every installed package."""
    source_sha256: str
    """Hash over the names and contents of the program's files."""


def provenance() -> dict[str, Any]:
    """Return versions, commit and machine as plain values."""
    commit = _commit()
    return _about(commit, bool(commit and _patch()))


def _about(commit: str, uncommitted_changes: bool) -> dict[str, Any]:
    return {
        "created": _now(),
        "commit": commit,
        "uncommitted_changes": uncommitted_changes,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def snapshot_code(folder: Path) -> Code:
    """Keep the code of this process in `folder`, and return what is there.

    The folder holds `<sha>.patch` and `<sha>.environment.txt`, one of each for all that are alike.
    """
    commit = _commit()
    patch = _patch() if commit else b""
    return Code(
        commit=commit,
        patch=_keep(folder, patch, ".patch") if patch else None,
        environment=_keep(folder, _environment(), ".environment.txt"),
        source_sha256=_source_sha256(),
    )


@functools.cache
def commit_name() -> str:
    """Return the first digits of the commit, with "+" if the program's files differ from it.

    "" if the program is in no checkout of its own, or there is no git.
    """
    commit = _commit()
    changed = commit and _git("status", "--porcelain", "--", str(PACKAGE))
    return commit[:12] + ("+" if changed else "")


def append_start(path: Path, folder: Path, code: Code | None = None) -> None:
    """Add a start of this process's work to the provenance at `path`.

    `code` is what the process that launched this one has kept in `folder`: nodes of a cluster may
    have no git. It is kept anew where there is none, or where the program has changed since, while
    the job waited.
    """
    if code is None or code.source_sha256 != _source_sha256() or not _is_kept(code, folder):
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
    before = _read(path)
    starts = [*before.get("starts", []), start]
    about = _about(code.commit, code.patch is not None)
    write_json(path, before | about | {"starts": starts})


def _is_kept(code: Code, folder: Path) -> bool:
    """Whether the files that `code` names are in `folder`, which may have been deleted."""
    return all((folder / name).exists() for name in (code.patch, code.environment) if name)


def update(path: Path, facts: dict[str, Any]) -> None:
    """Add `facts` about finished work to the provenance that its last start left at `path`.

    The code and the versions are those of that start: a checkout may change while work runs.
    """
    write_json(path, _read(path) | facts)


def _read(path: Path) -> dict[str, Any]:
    """Return what is at `path`; nothing where there is no file or a power cut has spoilt it."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (ValueError, TypeError) as error:
        say(f"{path}: is damaged ({error}), and is begun anew")
        return {}


def _keep(folder: Path, content: bytes, suffix: str) -> str:
    """Write `content` under a name made of its hash, if it is not there; return the name."""
    name = hashlib.sha256(content).hexdigest()[:12] + suffix
    if not (folder / name).exists():
        with atomic_write(folder / name) as temporary:
            temporary.write_bytes(content)
    return name


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _commit() -> str:
    """Return the commit that is checked out; "" where the program is in no checkout of its own."""
    # A copy that is installed may lie inside some other project's repository.
    listed = _ask_git("ls-files", "__init__.py")
    top = _checkout()
    if top and listed.returncode:
        problem = " ".join(listed.stderr.decode(errors="replace").split())
        say(f"{top}: results will not say which commit this code is, only its hash: {problem}")
    return _git("rev-parse", "HEAD").decode().strip() if listed.stdout else ""


def _checkout() -> Path | None:
    """Return the folder of the repository that this program lies in."""
    return next((f for f in PACKAGE.resolve().parents if (f / ".git").exists()), None)


def _patch() -> bytes:
    """Return what `git apply` needs to make the checkout's code out of its commit."""
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
    answer = _ask_git(*arguments, at=at)
    return answer.stdout if answer.returncode in (0, 1) else b""


def _ask_git(*arguments: str, at: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    """Return all that git has to say; as 127, the shell's number, where there is no git."""
    command = ["git", "-C", str(at or PACKAGE)]
    top = _checkout()
    if top and (top / ".git").stat().st_uid == PACKAGE.stat().st_uid:
        # A shared checkout may be somebody else's; that person's code is what runs here anyway.
        command += ["-c", "safe.directory=*"]
    # A git hook, or `git rebase --exec`, sets variables that name the repository it works on.
    mine = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        return subprocess.run([*command, *arguments], capture_output=True, env=mine, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, b"", b"there is no git")


def _source_sha256() -> str:
    """Return a hash over the names and contents of the program's files."""
    folder, digest = PACKAGE, hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            digest.update(f"{file.relative_to(folder).as_posix()}\0".encode())
            digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _environment() -> bytes:
    """Return Python, the build of torch and every installed package, a line each."""
    found = importlib.metadata.distributions()
    torch = _build_of_torch()
    packages = sorted({f"{package.name}=={package.version}" for package in found}, key=str.lower)
    lines = [
        f"# Python {platform.python_version()}",
        f"# torch {torch['__version__']}, CUDA {torch['cuda']}, {torch['git_version']}",
        *packages,
    ]
    return ("\n".join(lines) + "\n").encode()


def _build_of_torch() -> dict[str, Any]:
    """Return torch's own account of itself, without the seconds that its import takes."""
    spec = find_spec("torch")
    assert spec is not None
    assert spec.origin is not None
    return run_path(str(Path(spec.origin).with_name("version.py")))


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
