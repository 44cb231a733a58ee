from __future__ import annotations

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from scoresweep.pipeline.data.zarr_shards import compressors_for, read_shard, write_shard

COUNT, CHUNK, SHARD = 90, 8, 32  # two full shards, and one of 26 samples (3.25 chunks)
VALUES = {
    "image": np.random.default_rng(0).integers(0, 9, (COUNT, 5, 4, 3), np.uint8),
    "point": np.random.default_rng(0).normal(size=(COUNT, 2)).astype(np.float32),
    "label": np.arange(COUNT),
}


@pytest.fixture(params=VALUES)
def values(request):
    return VALUES[request.param]


COMPRESSORS = {
    "lz4": [BloscCodec(cname="lz4", clevel=9, shuffle="noshuffle"), Crc32cCodec()],
    "zstd": [ZstdCodec(level=-5, checksum=True)],
}


@pytest.fixture(params=COMPRESSORS)
def array(request, tmp_path, values):
    return zarr.create_group(tmp_path / "a.zarr").create_array(
        "values",
        shape=values.shape,
        dtype=values.dtype,
        chunks=(CHUNK, *values.shape[1:]),
        shards=(SHARD, *values.shape[1:]),
        compressors=COMPRESSORS[request.param],
    )


def test_zarr_reads_written_shards(array, values):
    for start in range(0, COUNT, SHARD):
        write_shard(array, start, values[start : start + SHARD])
    np.testing.assert_array_equal(array[:], values)
    np.testing.assert_array_equal(array[30:71], values[30:71])


def test_shards_written_by_zarr_are_read(array, values):
    array[:] = values
    for start in range(0, COUNT, SHARD):
        out = np.full_like(values[start : start + SHARD], 77)
        read_shard(array, start, out)
        np.testing.assert_array_equal(out, values[start : start + SHARD])


def test_noncontiguous_samples_are_written(array, values):
    write_shard(array, 32, values[::-2][:SHARD])
    np.testing.assert_array_equal(array[32:64], values[::-2][:SHARD])


@pytest.mark.parametrize("values", ["image"], indirect=True)
def test_a_changed_byte_is_detected_at_any_offset(array, values):
    write_shard(array, 0, values[:SHARD])
    (file,) = (f for f in (array.store.root / "values" / "c").rglob("*") if f.is_file())
    content, out = file.read_bytes(), np.empty_like(values[:SHARD])
    for place in range(0, len(content), 29):
        changed = bytearray(content)
        changed[place] ^= 4
        file.write_bytes(changed)
        with pytest.raises((ValueError, RuntimeError)):
            read_shard(array, 0, out)
    for size in (0, 10, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:size])
        with pytest.raises((ValueError, RuntimeError)):
            read_shard(array, 0, out)


def test_an_unwritten_chunk_is_detected(array, values):
    write_shard(array, 64, values[64:80])
    with pytest.raises(ValueError, match="chunk 2 of a shard was not written"):
        read_shard(array, 64, np.empty_like(values[64:]))


def test_what_does_not_compress_is_left_to_zstd():
    random = np.random.default_rng(0).integers(0, 256, (32, 28, 28), np.uint8)
    assert isinstance(compressors_for(random)[0], ZstdCodec)
    assert isinstance(compressors_for(random // 128)[0], BloscCodec)
