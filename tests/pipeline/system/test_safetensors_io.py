import errno
import os
import resource

import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from scoresweep.pipeline.system import safetensors_io
from scoresweep.pipeline.system.safetensors_io import save_safetensors


def test_tensors_of_any_memory_layout_are_saved(tmp_path):
    image = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    view = torch.arange(6.0).reshape(2, 3).T
    save_safetensors(tmp_path / "file", {"image": image, "view": view}, {"what": "test"})
    found = load_file(tmp_path / "file")
    assert torch.equal(found["image"], image)
    assert torch.equal(found["view"], view)
    with safe_open(tmp_path / "file", framework="pt") as file:
        assert file.metadata() == {"what": "test"}


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077])
def test_permissions_follow_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        save_safetensors(tmp_path / "file", {"x": torch.zeros(2)})
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_file_size_limit_raises_an_oserror_that_names_the_file(tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(OSError) as raised:
            save_safetensors(tmp_path / "file", {"x": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (raised.value.errno, raised.value.filename) == (errno.EFBIG, str(tmp_path / "file"))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.ENOENT])
def test_system_errors_keep_their_errno_and_name_the_file(tmp_path, monkeypatch, code):
    def fail(*_arguments, **_options):
        raise SafetensorError(f"Error while serializing: I/O error: some words (os error {code})")

    monkeypatch.setattr(safetensors_io, "save_file", fail)
    with pytest.raises(OSError) as raised:
        save_safetensors(tmp_path / "file", {})
    assert (raised.value.errno, raised.value.filename) == (code, str(tmp_path / "file"))


def test_other_errors_of_safetensors_are_raised_unchanged(tmp_path, monkeypatch):
    def fail(*_arguments, **_options):
        raise SafetensorError("Error while serializing: some words")

    monkeypatch.setattr(safetensors_io, "save_file", fail)
    with pytest.raises(SafetensorError):
        save_safetensors(tmp_path / "file", {})
