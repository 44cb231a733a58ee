from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
import xarray as xr
import zarr

from scoresweep.pipeline.data import dataset_store
from scoresweep.pipeline.data.dataset_store import read_split, write_array, write_store
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.data.store_manifest import check_store, describe_files, manifest_path
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.sampling.sample_store import read_samples

RANDOM = np.random.default_rng(0)


def images(count, shape=(5, 4, 3)):
    values = RANDOM.integers(0, 256, (count, *shape), np.uint8)
    return Split(values, RANDOM.integers(0, 3, count), (0.0, 255.0), ["a", "b", "c"])


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "toy.zarr"
    splits = {"train": images(1000), "test": images(130)}
    write_store(path, splits, {"source": "made up", "pixel_range": [0, 255]})
    return path, splits


def assert_same(found, expected):
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.labels, expected.labels)
    assert (found.pixel_range, found.class_names) == (expected.pixel_range, expected.class_names)


@pytest.mark.parametrize("split", ["train", "test"])
def test_round_trip(store, split):
    path, splits = store
    assert_same(read_split(path, split), splits[split])


def test_several_shards(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset_store, "SHARD", 128)
    split = Split(RANDOM.normal(size=(1500, 3)).astype(np.float32))
    write_store(tmp_path / "points.zarr", {"train": split}, {})
    assert len(list((tmp_path / "points.zarr/train/point/c").glob("*/0"))) == 12
    np.testing.assert_array_equal(
        read_split(tmp_path / "points.zarr", "train").values, split.values
    )


@pytest.mark.parametrize(
    ("values", "chunk", "shard"),
    [
        (np.zeros((5000, 28, 28, 1), np.uint8), 128, 4096),
        (np.zeros((5000, 8, 8, 1), np.uint8), 1024, 4096),
        (np.zeros((300, 28, 28, 1), np.uint8), 128, 384),
        (np.zeros((10_000, 2), np.float32), 4096, 4096),
        (np.zeros(10, np.int64), 10, 10),
        (np.zeros((6, 2048, 2048, 1), np.uint8), 4, 8),
    ],
)
def test_chunks_of_a_batch_in_shards_of_many(tmp_path, values, chunk, shard):
    group = zarr.create_group(tmp_path)
    names = ("sample", "y", "x", "channel")[: values.ndim]
    write_array(group, "a", values, names)
    assert (group["a"].chunks[0], group["a"].shards[0]) == (chunk, shard)


def test_xarray_opens_a_split_without_warnings(store):
    path, splits = store
    opened = xr.open_zarr(path, group="train")
    assert opened.image.dims == ("sample", "y", "x", "channel")
    assert opened.image.dtype == np.uint8
    assert opened.image.attrs["pixel_range"] == [0, 255]
    np.testing.assert_array_equal(opened.image, splits["train"].values)
    np.testing.assert_array_equal(opened.label, splits["train"].labels)
    assert xr.open_zarr(path).attrs["source"] == "made up"
    assert xr.open_datatree(path, engine="zarr")["test/image"].shape == (130, 5, 4, 3)


def test_images_in_model_space():
    values = np.array([[[[0], [4]], [[8], [16]]]], np.uint8)
    split = Split(values, pixel_range=(0.0, 16.0))
    assert split.shape == (1, 2, 2)
    x = split.model_space()
    assert x.dtype == torch.float32
    assert x.tolist() == [[[[0.0, 0.25], [0.5, 1.0]]]]


def test_black_need_not_be_zero():
    split = Split(np.array([[[[10], [35]], [[60], [110]]]], np.uint8), pixel_range=(10.0, 110.0))
    assert split.model_space().tolist() == [[[[0.0, 0.25], [0.5, 1.0]]]]


def test_images_are_channels_last_in_memory():
    split = images(6)
    x = split.model_space(slice(2, 5))
    assert x.shape == (3, 3, 5, 4)
    assert x.is_contiguous(memory_format=torch.channels_last)
    expected = split.values[2:5].astype(np.float32).transpose(0, 3, 1, 2) / np.float32(255)
    np.testing.assert_array_equal(x.numpy(), expected)


def test_points_in_model_space_stay_as_they_are():
    split = Split(np.array([[1.5, -2.0], [0.0, 3.0]], np.float32))
    assert split.shape == (2,)
    assert split.model_space(np.array([1])).tolist() == [[0.0, 3.0]]


def test_a_missing_store_is_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.zarr: no such file"):
        read_split(tmp_path / "nowhere.zarr", "train")


def test_a_store_without_a_manifest_is_incomplete(store):
    path, _ = store
    manifest_path(path).unlink()
    with pytest.raises(InputError, match=r"toy\.json: no such file"):
        read_split(path, "train")


def test_a_truncated_manifest(store):
    path, _ = store
    manifest_path(path).write_text(manifest_path(path).read_text()[:-20])
    with pytest.raises(InputError, match=r"toy\.json: is damaged"):
        read_split(path, "train")


def shard(path):
    return next(file for file in (path / "train/image/c").rglob("*") if file.is_file())


def test_a_missing_shard_is_found_without_reading(store):
    path, _ = store
    shard(path).unlink()
    with pytest.raises(InputError, match=r"train/image/c.*is missing.*scoresweep stage"):
        check_store(path)


def test_a_truncated_shard_is_named(store):
    path, _ = store
    file = shard(path)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"train/image/c.*bytes, expected"):
        read_split(path, "train")


def test_a_changed_byte_is_detected(store):
    path, _ = store
    file = shard(path)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        read_split(path, "train")


def test_swapped_content_of_equal_size_is_detected(store):
    path, splits = store
    group = zarr.open_group(path, path="train")
    changed = splits["train"].labels.copy()
    changed[[0, 1]] = (changed[0] + 1) % 3, changed[1]
    group["label"][:] = changed
    manifest = json.loads(manifest_path(path).read_text())
    manifest_path(path).write_text(json.dumps(manifest | describe_files(path)))
    with pytest.raises(InputError, match="train/label is damaged"):
        read_split(path, "train")


def test_writing_again_replaces_the_store(store):
    path, _ = store
    other = images(7)
    write_store(path, {"train": other}, {})
    assert_same(read_split(path, "train"), other)
    assert list(check_store(path)["splits"]) == ["train"]


def test_a_failed_write_leaves_no_file(tmp_path):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_store(tmp_path / "toy.zarr", {"train": images(10)}, {}, stop)
    assert list(tmp_path.iterdir()) == []


def test_a_shard_of_zeros_is_written(tmp_path):
    split = Split(np.zeros((10, 2), np.float32), np.zeros(10, np.int64))
    write_store(tmp_path / "zeros.zarr", {"train": split}, {})
    files = check_store(tmp_path / "zeros.zarr")["files"]
    assert {"train/point/c/0/0", "train/label/c/0"} <= set(files)


@pytest.fixture
def samples(tmp_path):
    path = tmp_path / "setting=2.5e-05.zarr"
    values = images(20).values
    group = zarr.create_group(path)
    names = ("sample", "y", "x", "channel")
    digest = write_array(group, "image", values, names, {"pixel_range": [0, 255]})
    manifest_path(path).write_text(json.dumps({"sha256": digest} | describe_files(path)))
    return path, values


def test_samples_are_read_as_a_split(samples):
    path, values = samples
    split = read_samples(path)
    np.testing.assert_array_equal(split.values, values)
    assert split.shape == (3, 5, 4)
    assert (split.pixel_range, split.labels) == ((0.0, 255.0), None)


def test_a_missing_shard_of_samples_is_named(samples):
    path, _ = samples
    shutil.rmtree(path / "image/c")
    with pytest.raises(InputError, match=r"image/c/0.* is missing"):
        read_samples(path)


def test_missing_samples_are_named(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.zarr"):
        read_samples(tmp_path / "nowhere.zarr")


def test_changed_metadata_is_detected(store):
    path, _ = store
    file = path / "train/image/zarr.json"
    file.write_text(file.read_text().replace("255", "254"))
    with pytest.raises(InputError, match=r"train/image/zarr\.json: is damaged"):
        check_store(path)
