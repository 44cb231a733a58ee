"""HDF5 and netCDF files written by h5py, xarray and scipy."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import xarray as xr
from scipy.io import netcdf_file

from scoresweep.pipeline.data.sources.arrays import read_array
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.methods.datasets import Keys

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (20, 6, 5, 3), np.uint8)
LABELS = np.arange(20) % 2 + 4
DIMENSIONS = ("sample", "y", "x", "channel")


def same(staged, values):
    rows = [row.tobytes() for split in (staged.train, staged.test) for row in split.values]
    assert sorted(rows) == sorted(row.tobytes() for row in values)


def test_plain_hdf5(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"], file["labels"] = IMAGES, LABELS.astype(np.uint64)
        file["y"], file["info"] = np.arange(6), "about this file"
        file.create_dataset("empty", dtype="f4")
        file["records"] = np.zeros(3, [("a", "i4"), ("b", "f4")])
    staged = read_array(tmp_path / "a.h5")
    same(staged, IMAGES)
    assert staged.train.class_names == ["4", "5"]


@pytest.mark.parametrize("link", [h5py.SoftLink("/raw/a1"), h5py.ExternalLink("b.h5", "/image")])
def test_linked_arrays(tmp_path, link):
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file["image"] = IMAGES
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw/a1"], file["mask"] = IMAGES, 255 - IMAGES
        file["image"] = link
    if isinstance(link, h5py.SoftLink):
        same(read_array(tmp_path / "a.h5"), IMAGES)
    else:
        with pytest.raises(InputError, match=r"image is a link .*b\.h5"):
            read_array(tmp_path / "a.h5")


def test_groups_train_and_test(tmp_path):
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        for name, part in (("train", slice(15)), ("test", slice(15, 20))):
            file[f"{name}/image"] = IMAGES[part]
            file[f"{name}/noisy"] = 255 - IMAGES[part]
            file[f"{name}/label"] = np.array(["cat", "dog"], object)[LABELS[part] - 4]
        file["train/image"].attrs["pixel_range"] = [0, 255]
    staged = read_array(tmp_path / "a.hdf5")
    np.testing.assert_array_equal(staged.train.values, IMAGES[:15])
    np.testing.assert_array_equal(staged.test.values, IMAGES[15:])
    np.testing.assert_array_equal(staged.test.labels, LABELS[15:] - 4)
    assert staged.test.class_names == ["cat", "dog"]
    other = read_array(tmp_path / "a.hdf5", keys=Keys(image="noisy"))
    np.testing.assert_array_equal(other.test.values, 255 - IMAGES[15:])
    assert other.train.labels is None


def test_netcdf_with_named_dimensions(tmp_path):
    content = xr.Dataset(
        {"image": (DIMENSIONS, IMAGES), "label": ("sample", LABELS, {"class_names": [*"abcdef"]})},
        {"y": np.arange(6), "height": 2.0, "time": np.datetime64("2020-01-01", "ns")},
    ).transpose("y", "x", "channel", "sample")
    content.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    staged = read_array(tmp_path / "a.nc")
    same(staged, IMAGES)
    assert staged.train.class_names == [*"abcdef"]
    assert set(staged.train.labels) == {4, 5}


def test_dimension_labels_of_hdf5(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image"] = IMAGES.transpose(1, 2, 3, 0)
        for axis, name in zip(file["image"].dims, DIMENSIONS[1:] + DIMENSIONS[:1], strict=True):
            axis.label = name
    same(read_array(tmp_path / "a.h5"), IMAGES)


@pytest.mark.parametrize("with_names", [False, True])
def test_packed_and_missing_values(tmp_path, with_names):
    values = RANDOM.integers(0, 1000, (20, 3)).astype(np.int16)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["point"] = values
        attributes = {"scale_factor": 0.5, "add_offset": 10.0, "_FillValue": np.int16(-9999)}
        file["point"].attrs.update(attributes)
        for axis, name in enumerate(("sample", "feature") if with_names else ()):
            file[name] = np.arange(values.shape[axis])
            file[name].make_scale(name)
            file["point"].dims[axis].attach_scale(file[name])
    same(read_array(tmp_path / "a.h5"), (values * 0.5 + 10).astype(np.float32))
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["point"][6, 1] = -9999
    with pytest.raises(InputError, match=r": 1 values .*; the first is sample 6"):
        read_array(tmp_path / "a.h5")


def test_classic_netcdf(tmp_path):
    with netcdf_file(tmp_path / "a.nc", "w") as file:
        for name, size in (("channel", 3), ("n", 20)):
            file.createDimension(name, size)
        point = file.createVariable("point", "f8", ("channel", "n"))
        point[:] = np.arange(60).reshape(3, 20)
        file.createVariable("label", "i4", ("n",))[:] = LABELS
    staged = read_array(tmp_path / "a.nc")
    same(staged, np.arange(60).reshape(3, 20).T.astype(np.float32))
    assert staged.train.class_names == ["4", "5"]


@pytest.mark.parametrize("chunks", [None, (5, 6, 5, 3)])
def test_an_unfinished_file(tmp_path, chunks):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        array = file.create_dataset("image", IMAGES.shape, np.uint8, chunks=chunks)
        if chunks:
            array[:15] = IMAGES[:15]
    with pytest.raises(InputError, match=r"1 of \d chunks of the array image"):
        read_array(tmp_path / "a.h5")


def test_a_truncated_file(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["image"] = IMAGES
    content = (tmp_path / "a.h5").read_bytes()
    (tmp_path / "a.h5").write_bytes(content[:-500])
    with pytest.raises(InputError, match=r"a\.h5: cannot be read"):
        read_array(tmp_path / "a.h5")


def test_an_array_stored_in_other_files(tmp_path):
    with h5py.File(tmp_path / "part.h5", "w") as file:
        file["x"] = IMAGES
    layout = h5py.VirtualLayout(IMAGES.shape, np.uint8)
    layout[:] = h5py.VirtualSource(tmp_path / "part.h5", "x", IMAGES.shape)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("image", layout)
    (tmp_path / "part.h5").unlink()
    with pytest.raises(InputError, match=r"image .*other files"):
        read_array(tmp_path / "a.h5")


def test_unsigned_bytes_of_classic_netcdf(tmp_path):
    with netcdf_file(tmp_path / "a.nc", "w") as file:
        for name, size in zip(DIMENSIONS, IMAGES.shape, strict=True):
            file.createDimension(name, size)
        image = file.createVariable("image", "i1", DIMENSIONS)
        image[:] = IMAGES.view(np.int8)
        image._Unsigned = "true"
    staged = read_array(tmp_path / "a.nc")
    assert staged.train.values.dtype == np.uint8
    same(staged, IMAGES)


def test_a_truncated_netcdf3_file(tmp_path):
    with netcdf_file(tmp_path / "a.nc", "w") as file:
        file.createDimension("n", 500)
        file.createDimension("feature", 3)
        file.createVariable("point", "f8", ("n", "feature"))[:] = np.ones((500, 3))
    (tmp_path / "a.nc").write_bytes((tmp_path / "a.nc").read_bytes()[:-4000])
    with pytest.raises(InputError, match=r"a\.nc: cannot be read"):
        read_array(tmp_path / "a.nc")
