from __future__ import annotations

import struct

import numpy as np
import pytest

from scoresweep.pipeline.data.sources.mnist import read_idx
from scoresweep.pipeline.errors import InputError


def idx(values):
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    return head + values.tobytes()


@pytest.mark.parametrize("shape", [(7,), (300, 5, 4)])
def test_an_idx_file(tmp_path, shape):
    values = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    (tmp_path / "file").write_bytes(idx(values))
    np.testing.assert_array_equal(read_idx(tmp_path / "file"), values)


def test_a_truncated_idx_file(tmp_path):
    (tmp_path / "file").write_bytes(idx(np.zeros((3, 2, 2), np.uint8))[:-1])
    with pytest.raises(InputError, match=r"11 values.*3 × 2 × 2"):
        read_idx(tmp_path / "file")


@pytest.mark.parametrize("content", [b"", b"\0\0", b"\0\0\x0d\x01aaaa", b"<html></html>"])
def test_something_else(tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match="expected an IDX file"):
        read_idx(tmp_path / "file")
