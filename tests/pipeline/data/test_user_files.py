"""Which files are user data, and when they have changed."""

from __future__ import annotations

import hashlib
import os

import numpy as np
import pytest
import zarr

from scoresweep.pipeline.data.user_files import hash_files, list_files, matches_record
from scoresweep.pipeline.errors import InputError

TOOLS = [
    *(".DS_Store", "Thumbs.db", "._1.txt", "a/.DS_Store", "a/desktop.ini", ".git/HEAD"),
    *("__MACOSX/a/1.txt", "a/@eaDir/1.txt", "a/.ipynb_checkpoints/1.txt", "a/.thumbnails/1.txt"),
]


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def old_record(root):
    """Record of earlier versions: hidden files included, linked folders not followed."""
    files = sorted(file for file in root.rglob("*") if file.is_file())
    lines = "".join(
        f"{hashlib.sha256(f.read_bytes()).hexdigest()}  {f.relative_to(root)}\n" for f in files
    )
    return {f"{root.name} ({len(files)} files)": hashlib.sha256(lines.encode()).hexdigest()}


def test_hidden_and_tool_files_are_ignored(tmp_path):
    write(tmp_path, "a/1.txt", "b/2.txt")
    before = hash_files(tmp_path)
    write(tmp_path, *TOOLS)
    assert hash_files(tmp_path) == before
    assert list_files(tmp_path) == [tmp_path / "a/1.txt", tmp_path / "b/2.txt"]
    write(tmp_path, "b/3.txt")
    assert hash_files(tmp_path) != before


def test_records_of_earlier_versions_stay_valid(tmp_path):
    write(tmp_path, "a/1.txt", "b/2.txt")
    assert hash_files(tmp_path) == old_record(tmp_path)
    write(tmp_path, *TOOLS)
    record = old_record(tmp_path)
    assert record != hash_files(tmp_path)
    assert matches_record(tmp_path, record)
    write(tmp_path, "b/3.txt")
    assert not matches_record(tmp_path, record)


def test_links_are_followed_at_any_depth(tmp_path):
    write(tmp_path, "elsewhere/deep/1.txt")
    (tmp_path / "own").mkdir()
    (tmp_path / "between").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "own" / "a").symlink_to(tmp_path / "between")
    (tmp_path / "elsewhere" / "further").symlink_to(tmp_path / "elsewhere" / "deep")
    files = list_files(tmp_path / "own")
    names = [str(file.relative_to(tmp_path / "own")) for file in files]
    assert names == ["a/deep/1.txt", "a/further/1.txt"]
    before = hash_files(tmp_path / "own")
    assert list(before) == ["own (2 files)"]
    # A record without files is from before links were followed.
    assert not matches_record(tmp_path / "own", old_record(tmp_path / "own"))
    (tmp_path / "elsewhere/deep/1.txt").write_text("changed")
    assert hash_files(tmp_path / "own") != before


@pytest.mark.parametrize("target", ["..", "nowhere", "loop"])
def test_broken_and_circular_links_are_named(tmp_path, target):
    write(tmp_path, "a/1.txt")
    (tmp_path / "a" / "loop").symlink_to(target)
    with pytest.raises(InputError, match="loop: "):
        hash_files(tmp_path)


def test_special_files_are_named(tmp_path):
    write(tmp_path, "a/1.txt")
    os.mkfifo(tmp_path / "a" / "pipe")
    with pytest.raises(InputError, match="pipe: is neither a file"):
        hash_files(tmp_path)


@pytest.mark.parametrize("name", ["a", "a/1.txt"])
def test_unreadable_files_are_named(tmp_path, read_only, name):
    write(tmp_path / "own", "a/1.txt", "b/2.txt")
    closed = read_only(tmp_path / "own", name)
    with pytest.raises(InputError, match=rf"{name}: cannot be read \(Permission denied\)"):
        hash_files(closed)


def test_file_names_that_are_not_utf8_are_hashed(tmp_path):
    name = os.fsdecode(b"\xff.txt")
    write(tmp_path, "1.txt")
    (tmp_path / name).write_text("x")
    before = hash_files(tmp_path)
    (tmp_path / name).write_text("y")
    assert hash_files(tmp_path) != before


def test_zarr_metadata_files_are_hashed(tmp_path):
    store = tmp_path / "s.zarr"
    array = zarr.create_array(store, data=np.zeros((2, 2)), zarr_format=2)
    before = hash_files(store)
    array.attrs["missing"] = 0
    assert hash_files(store) != before
