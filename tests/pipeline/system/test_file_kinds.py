"""Files and folders are recognised by what is in them."""

import gzip
import io
import json
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch import nn

from scoresweep.pipeline.system.file_kinds import (
    READABLE,
    abbreviate_names,
    describe,
)
from scoresweep.pipeline.system.pickle_globals import pickled_globals

LFS = """version https://git-lfs.github.com/spec/v1
oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
size 119154129
"""


def archive(**members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, content in members.items():
            made.writestr(name.replace("__", "/"), content)
    return file.getvalue()


def torch_file(content, zipped=True):
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def npy(**arrays):
    file = io.BytesIO()
    if arrays:
        np.savez(file, **arrays)
    else:
        np.save(file, np.zeros(3))
    return file.getvalue()


def tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as made:
        made.addfile(tarfile.TarInfo("a.pth"))
    return file.getvalue()


def persistent(module):
    """Return a pickle as NVIDIA's programs write it, by the opcodes that name the object."""
    return (
        b"\x80\x04}\x8c\x03ema"
        + b"".join(b"\x8c" + bytes([len(part)]) + part for part in module)
        + b"\x93)R\x8c\x01.ss."
    )


STATE = {"first.weight": torch.ones(2)}
FILES = {
    "empty": b"",
    "html": b"\n <!DOCTYPE html>\n<html><head><title>Google Drive - Quota exceeded</title>",
    "xml": b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code></Error>',
    "git_lfs": LFS.encode(),
    "git_annex": b"/annex/objects/SHA256E-s31390--f50d7ac4.pth\n",
    "index": json.dumps({"metadata": {}, "weight_map": {"a": "b"}}, indent=1).encode(),
    "json": b'{"message": "Not Found"}',
    "text": "Zu viele Anfragen: später versuchen\n".encode(),
    "tensorflow": b'model_checkpoint_path: "ckpt-5"\n',
    "torch_zip": torch_file(STATE),
    "torch_legacy": torch_file(STATE, zipped=False),
    "zip_cut": torch_file(STATE)[:-200],
    "npz": npy(a=np.zeros(2), b=np.ones(1)),
    "npy": npy(),
    "zip": archive(**{"a.pth": b"x", "readme.txt": b"y"}),
    "keras": archive(**{"config.json": b"{}", "model.weights.h5": b"x"}),
    "safetensors": save(STATE),
    "safetensors_cut": save(STATE)[:40],
    "edm": persistent((b"torch_utils.persistence", b"_reconstruct_persistent_obj")),
    "pickle": pickle.dumps({"a": nn.Linear(1, 1)}),
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "flax": b"\x82\xa6params\x81\xa5Dense\x81\xa6kernel\xc7\x10\x01" + bytes(20),
    "tar": tar(),
    "compressed": gzip.compress(b"x" * 100),
    "image": b"\x89PNG\r\n\x1a\n" + bytes(20),
    "gguf": b"GGUF\x03\x00\x00\x00",
    "unknown": bytes(range(8, 200)),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_recognised_by_its_content(tmp_path, kind):
    (tmp_path / "checkpoint.pth").write_bytes(FILES[kind])
    found = describe(tmp_path / "checkpoint.pth")
    assert found.name == kind
    assert (kind in READABLE) == (kind in {"torch_zip", "torch_legacy", "safetensors"})


def test_torchscript_is_not_mistaken_for_weights(tmp_path):
    (tmp_path / "a.pt").write_bytes(
        archive(a__code__m="x", **{"a/data.pkl": b"", "a/constants.pkl": b""})
    )
    assert describe(tmp_path / "a.pt").name == "torchscript"


def test_a_file_of_torch_save_may_be_called_code(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "code.pth")  # its members are in a folder "code"
    assert describe(tmp_path / "code.pth").name == "torch_zip"


def test_what_the_description_names(tmp_path):
    (tmp_path / "a.pth").write_bytes(FILES["git_lfs"])
    assert "119,154,129 bytes" in describe(tmp_path / "a.pth").description
    (tmp_path / "a.pth").write_bytes(FILES["zip"])
    assert "a.pth, readme.txt" in describe(tmp_path / "a.pth").description
    (tmp_path / "a.pth").write_bytes(FILES["pickle"])
    assert "torch.nn.modules.linear.Linear" in describe(tmp_path / "a.pth").description
    (tmp_path / "a.pth").write_bytes(FILES["unknown"])
    assert "0x08090a0b0c0d0e0f" in describe(tmp_path / "a.pth").description


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["model_index.json", "unet"], "diffusers"),
        (["config.json", "diffusion_pytorch_model.safetensors"], "diffusers"),
        (["model.safetensors", "config.yaml", "provenance.json"], "scoresweep_run"),
        (["data.pkl", "version", "byteorder"], "torch_unpacked"),
        (["checkpoint", "manifest.ocdbt", "_METADATA"], "orbax"),
        (["saved_model.pb", "variables"], "tensorflow"),
        (["checkpoint", "ckpt-1.index", "ckpt-1.data-00000-of-00001"], "tensorflow"),
        ([".metadata", "__0_0.distcp"], "torch_distributed"),
        (["mp_rank_00_model_states.pt"], "deepspeed"),
        (["checkpoint_5000.pth", "notes"], "folder"),
        ([], "folder"),
    ],
)
def test_a_folder_is_recognised_by_its_files(tmp_path, files, kind):
    for name in files:
        (tmp_path / name).touch()
    assert describe(tmp_path).name == kind


def test_a_folder_lists_the_checkpoints_in_it(tmp_path):
    for number in range(7):
        (tmp_path / f"checkpoint_{number}.pth").touch()
    mend = describe(tmp_path).remedy
    assert "checkpoint_0.pth" in mend
    assert "and 4 more" in mend


def test_objects_of_a_pickle_are_named_but_not_created():
    class_twice = [nn.Linear(1, 1), nn.Linear(1, 1), np.float64(2)]
    for protocol in (2, 4, 5):
        found = pickled_globals(io.BytesIO(pickle.dumps(class_twice, protocol)))
        assert found.count("torch.nn.modules.linear.Linear") == 1
        assert "numpy.dtype" in found
    cut = pickle.dumps(class_twice)[:-20]
    assert "torch.nn.modules.linear.Linear" in pickled_globals(io.BytesIO(cut))


def test_long_lists_are_shortened():
    assert abbreviate_names("abc", 5) == ["a", "b", "c"]
    assert abbreviate_names("abcdefg", 5) == ["a", "b", "c", "d", "e", "and 2 more"]
    assert abbreviate_names(["x" * 100], 5, 10) == ["xxxxxxx..."]
