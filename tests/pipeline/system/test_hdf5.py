from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from scoresweep.pipeline.system.hdf5 import is_complete


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
def test_a_truncated_file_is_incomplete(tmp_path: Path, libver: str) -> None:
    path = tmp_path / "a.nc"
    with h5py.File(path, "w", libver=libver) as file:
        file["x"] = np.arange(1000.0)
    content = path.read_bytes()
    assert is_complete(content)
    for size in (len(content) - 1, len(content) // 2, 64, 20, 8, 0):
        assert not is_complete(content[:size])


def test_a_file_of_another_format_is_incomplete() -> None:
    assert not is_complete(b"\0" * 1000)


@pytest.mark.parametrize("libver", ["earliest", "v108", "latest"])
def test_attributes_are_found_without_opening_the_file(tmp_path: Path, libver: str) -> None:
    path = tmp_path / "a.nc"
    with h5py.File(path, "w", libver=libver) as file:
        file.create_dataset("x", data=np.arange(1000.0), compression="gzip")
        file.attrs["measured"] = "60cf6171"
    content = path.read_bytes()
    assert is_complete(content)
    assert b"60cf6171" in content
    assert b"60cf6172" not in content
