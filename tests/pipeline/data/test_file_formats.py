"""Unsupported formats and wrong `dataset.name`s are refused in one line."""

from __future__ import annotations

import gzip
import json
import pickle
import sqlite3
import struct
import tarfile
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch
import zarr
from PIL import Image
from safetensors.numpy import save_file
from tensorboard.summary.writer.record_writer import RecordWriter

from scoresweep.pipeline.data.sources.arrays import read_array, read_zarr
from scoresweep.pipeline.data.sources.folder import read_folder
from scoresweep.pipeline.errors import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 5), np.uint8)


def write_tfrecord(path):
    with path.open("wb") as file:
        RecordWriter(file).write(b"a record")


def write_lmdb(path):
    path.mkdir()
    (path / "data.mdb").write_bytes(bytes(16) + struct.pack("<II", 0xBEEFC0DE, 1) + bytes(100))


def write_tar(path):
    with tarfile.open(path, "w") as archive:
        archive.add(__file__, "000.jpg")


def write_mat73(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        file["image"] = IMAGES
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(128))


def write_arrow(path):
    import pyarrow as pa

    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, pa.schema([("a", pa.int64())])):
        pass


def write_sqlite(path):
    connection = sqlite3.connect(path)
    connection.execute("create table a (b int)")
    connection.commit()
    connection.close()


FORMATS = {
    "TFRecord": ("a.tfrecord", write_tfrecord),
    "LMDB": ("a.lmdb", write_lmdb),
    "PyTorch": ("a.pt", lambda path: torch.save({"x": torch.ones(3)}, path)),
    "MATLAB": ("a.mat", lambda path: scipy.io.savemat(path, {"x": IMAGES})),
    "text table": ("a.csv", lambda path: pd.DataFrame(IMAGES[0]).to_csv(path)),
    "text": ("a.txt", lambda path: np.savetxt(path, IMAGES[0])),
    "JSON": ("a.jsonl", lambda path: path.write_text(json.dumps([1, 2]))),
    "tar": ("a.tar", write_tar),
    "pickle": ("a.pkl", lambda path: path.write_bytes(pickle.dumps(IMAGES))),
    "Arrow": ("a.arrow", write_arrow),
    "safetensors": ("a.safetensors", lambda path: save_file({"x": IMAGES}, path)),
    "gzip": ("a.npy.gz", lambda path: path.write_bytes(gzip.compress(b"x"))),
    "SQLite": ("a.db", write_sqlite),
    "one PNG, JPEG or GIF file": ("a.png", lambda path: Image.fromarray(IMAGES[0]).save(path)),
    "IDX": ("a-idx3-ubyte", lambda path: path.write_bytes(b"\x00\x00\x08\x03" + bytes(12))),
}


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("what", FORMATS)
def test_unsupported_formats(tmp_path, what, named):
    name, write = FORMATS[what]
    path = tmp_path / name
    write(path)
    path = path / "data.mdb" if what == "LMDB" else path
    if not named:
        if what in ("text table", "text", "JSON", "safetensors"):  # recognised only by name
            return
        path = path.rename(tmp_path / "renamed")
    for read in (read_array, read_zarr, read_folder):
        with pytest.raises(InputError) as caught:
            read(path)
        message = str(caught.value)
        assert message.startswith(f"dataset.path: {path}: ")
        assert what in message
        assert "\n" not in message
        assert len(message) - len(str(path)) < 250
        assert "allow_pickle" not in message
        assert "weights_only" not in message


def test_a_matlab_file_of_version_73(tmp_path):
    write_mat73(tmp_path / "a.mat")
    with pytest.raises(InputError, match="MATLAB"):
        read_array(tmp_path / "a.mat")


def test_a_folder_of_a_hugging_face_dataset(tmp_path):
    (tmp_path / "dataset_info.json").write_text("{}")
    with pytest.raises(InputError, match="Arrow"):
        read_array(tmp_path)


def write_zip(path, member):
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(3000):
            archive.writestr(member.format(i), b"")


@pytest.mark.parametrize(
    ("name", "write", "right"),
    [
        ("a.zarr", lambda path: zarr.save_array(path, IMAGES), "zarr"),
        ("b", lambda path: zarr.save_array(path, IMAGES), "zarr"),
        ("a.npy", lambda path: np.save(path, IMAGES), "array"),
        ("a.npz", lambda path: np.savez(path, IMAGES), "array"),
        ("a.h5", lambda path: h5py.File(path, "w").close(), "array"),
        ("dataset.zip", lambda path: write_zip(path, "00000/img{}.png"), "folder"),
        ("a.zip", lambda path: write_zip(path, "a.zarr/zarr.json"), "zarr"),
        (
            "images",
            lambda path: path.mkdir() or Image.new("L", (5, 5)).save(path / "a.png"),
            "folder",
        ),
        ("a.parquet", lambda path: path.write_bytes(b"PAR1"), "parquet"),
    ],
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_right_dataset_name_is_suggested_by_content(tmp_path, name, write, right):
    write(tmp_path / name)
    for used, read in (("array", read_array), ("zarr", read_zarr), ("folder", read_folder)):
        if used != right:
            with pytest.raises(InputError, match=f"dataset.name: {used} .*dataset.name: {right}$"):
                read(tmp_path / name)


def test_a_zip_of_other_files_is_not_listed(tmp_path):
    write_zip(tmp_path / "a.npz", "file{}.bin")
    with pytest.raises(InputError) as caught:
        read_array(tmp_path / "a.npz")
    assert len(str(caught.value)) < 500


def test_an_unknown_format(tmp_path):
    (tmp_path / "a.xyz").write_bytes(b"something")
    with pytest.raises(InputError, match=r"a\.xyz: unknown format"):
        read_array(tmp_path / "a.xyz")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY\x01\x00v\x00{'descr'", b"no numbers"])
@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5", "a.zip"])
def test_files_with_a_wrong_suffix(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_array(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)
    assert "pickle" not in str(caught.value)


def test_a_folder_of_arrays(tmp_path):
    np.save(tmp_path / "a.npy", IMAGES)
    (tmp_path / "readme.txt").write_text("arrays")
    for read in (read_array, read_zarr):
        with pytest.raises(InputError, match=r"no images.*dataset\.name: array"):
            read(tmp_path)
    with pytest.raises(InputError, match=r"found no images"):
        read_folder(tmp_path)


@pytest.mark.parametrize("path", ["~/a.npz", "$DATA/a.npz"])
def test_paths_with_tilde_and_variables(path):
    with pytest.raises(InputError, match="not expanded"):
        read_array(Path(path))
