"""Zarr stores written by xarray and zarr, versions 2 and 3."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from scoresweep.pipeline.data.sources.arrays import read_zarr
from scoresweep.pipeline.errors import InputError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (20, 6, 5, 3), np.uint8)
VERSIONS = pytest.mark.parametrize("version", [2, 3])
DIMENSIONS = ("sample", "y", "x", "channel")


def write(dataset, path, **options):
    options = {"zarr_format": 3, "consolidated": False} | options
    dataset.to_zarr(path, **options)


def images(values=IMAGES, dimensions=DIMENSIONS, **more):
    return xr.Dataset({"image": (dimensions, values), **more})


def rows(staged):
    return sorted(row.tobytes() for split in (staged.train, staged.test) for row in split.values)


def same(staged, values):
    assert rows(staged) == sorted(row.tobytes() for row in values)


@VERSIONS
@pytest.mark.parametrize("other", ["noisy", "mask", "a", "z"])
def test_the_array_with_the_known_name_is_used(tmp_path, capsys, version, other):
    for split, part in (("train", IMAGES[:15]), ("test", IMAGES[15:])):
        content = images(
            part,
            **{other: (DIMENSIONS, 255 - part)},
            label=("sample", np.arange(len(part)) % 3 + 1),
            labels=("sample", np.zeros(len(part))),
            y=("y", np.arange(6) + 0.5),
            sample=("sample", np.arange(len(part))),
        )
        write(content, tmp_path / "a.zarr", group=split, mode="a", zarr_format=version)
    staged = read_zarr(tmp_path / "a.zarr")
    np.testing.assert_array_equal(staged.train.values, IMAGES[:15])
    np.testing.assert_array_equal(staged.test.values, IMAGES[15:])
    np.testing.assert_array_equal(staged.train.labels, np.arange(15) % 3)
    assert staged.train.class_names == ["1", "2", "3"]
    err = capsys.readouterr().err
    assert f"train/{other}" in err
    assert err.count("\n") == 1


@VERSIONS
def test_a_plain_group_with_extra_arrays(tmp_path, version):
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=version)
    more = {"y": np.arange(6), "sample": np.arange(20), "labels": np.arange(20) % 2}
    for name, values in {"noisy": IMAGES // 2, "image": IMAGES, **more}.items():
        group.create_array(name, data=values)
    staged = read_zarr(tmp_path / "a.zarr")
    same(staged, IMAGES)
    assert staged.train.class_names == ["0", "1"]


@VERSIONS
@pytest.mark.parametrize(
    "dimensions",
    [
        ("y", "x", "channel", "sample"),
        ("height", "width", "band", "time"),
        ("row", "c", "col", "batch"),
        ("lat", "lon", "level", "n"),
    ],
)
def test_dimensions_by_name(tmp_path, version, dimensions):
    order = [
        {"y": 1, "height": 1, "row": 1, "lat": 1, "x": 2, "width": 2, "col": 2, "lon": 2}.get(
            name, 3 if name in ("channel", "band", "c", "level") else 0
        )
        for name in dimensions
    ]
    content = images(IMAGES.transpose(order), dimensions)
    content = content.assign_coords({dimensions[0]: np.arange(6)})
    write(content, tmp_path / "a.zarr", zarr_format=version)
    staged = read_zarr(tmp_path / "a.zarr")
    same(staged, IMAGES)
    assert staged.train.labels is None


def test_points_by_dimension(tmp_path):
    points = RANDOM.normal(size=(3, 20))
    write(xr.Dataset({"point": (("feature", "time"), points)}), tmp_path / "a.zarr")
    same(read_zarr(tmp_path / "a.zarr"), points.T.astype(np.float32))


def test_dimensions_without_samples(tmp_path):
    write(images(IMAGES, ("y", "foo", "bar", "channel")), tmp_path / "a.zarr")
    with pytest.raises(InputError, match=r"\(y, foo, bar, channel\)"):
        read_zarr(tmp_path / "a.zarr")


def test_a_layout_that_contradicts_the_names(tmp_path):
    write(images(), tmp_path / "a.zarr")
    same(read_zarr(tmp_path / "a.zarr", layout="NHWC"), IMAGES)
    with pytest.raises(InputError, match=r"dataset\.layout: HNWC.*NHWC"):
        read_zarr(tmp_path / "a.zarr", layout="HNWC")


@VERSIONS
def test_scalar_coordinates(tmp_path, version):
    content = images().assign_coords(height=2.0, time=3, y=np.arange(6))
    write(content, tmp_path / "a.zarr", zarr_format=version)
    same(read_zarr(tmp_path / "a.zarr"), IMAGES)


@VERSIONS
def test_a_fill_value_is_a_missing_value(tmp_path, version):
    points = RANDOM.normal(size=(20, 3))
    points[4, 1] = points[7, 0] = np.nan
    content = xr.Dataset({"point": (("sample", "feature"), points)})
    content.point.encoding["_FillValue"] = -9999.0
    write(content, tmp_path / "a.zarr", zarr_format=version)
    stored = zarr.open_array(tmp_path / "a.zarr/point", mode="r")[:]
    assert (stored == -9999).sum() == 2
    with pytest.raises(InputError, match=r": 2 values .*in 2 of 20 samples; the first is sample 4"):
        read_zarr(tmp_path / "a.zarr")


@VERSIONS
def test_an_unused_fill_value(tmp_path, version):
    values = np.maximum(IMAGES, 1)
    content = images(values, label=("sample", np.arange(20) % 2 + 3))
    content.image.encoding["_FillValue"] = 0
    content.label.encoding["_FillValue"] = -1
    write(content, tmp_path / "a.zarr", zarr_format=version)
    staged = read_zarr(tmp_path / "a.zarr")
    assert staged.train.values.dtype == np.uint8
    assert staged.train.pixel_range == (0.0, 255.0)
    assert staged.train.class_names == ["3", "4"]
    same(staged, values)


@pytest.mark.filterwarnings("ignore:saving variable None with floating point data as an integer")
@VERSIONS
def test_scale_and_offset(tmp_path, version):
    floats = RANDOM.integers(0, 256, IMAGES.shape) / 255 * 0.5 - 1
    content = images(floats)
    packed = {"dtype": "uint8", "scale_factor": 0.5 / 255, "add_offset": -1.0}
    content.image.encoding |= packed | {"_FillValue": None}
    write(content, tmp_path / "a.zarr", zarr_format=version)
    assert zarr.open_array(tmp_path / "a.zarr/image", mode="r").dtype == np.uint8
    with pytest.raises(InputError, match=r"dataset\.range"):
        read_zarr(tmp_path / "a.zarr")
    staged = read_zarr(tmp_path / "a.zarr", range=(-1.0, 1.0))
    found = np.concatenate([staged.train.model_space(), staged.test.model_space()])
    expected = (floats.transpose(0, 3, 1, 2) + 1) / 2
    np.testing.assert_allclose(
        np.sort(found.reshape(20, -1), 0), np.sort(expected.reshape(20, -1), 0), atol=1e-6
    )


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@VERSIONS
def test_stale_consolidated_metadata(tmp_path, version):
    write(images(), tmp_path / "a.zarr", zarr_format=version, consolidated=True)
    more = RANDOM.integers(0, 256, (10, 6, 5, 3), np.uint8)
    own = zarr.open_group(tmp_path / "a.zarr", mode="a", use_consolidated=False)
    own["image"].append(more)
    stale = zarr.open_group(tmp_path / "a.zarr", mode="r")["image"]
    assert stale.shape[0] == 20
    same(read_zarr(tmp_path / "a.zarr"), np.concatenate([IMAGES, more]))


@VERSIONS
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("array", ["image", "label"])
def test_a_missing_chunk(tmp_path, version, zipped, array):
    path = tmp_path / "a.zarr"
    content = images(label=("sample", np.arange(20) + 1))
    content.image.encoding["chunks"] = (5, 6, 5, 3)
    content.label.encoding["chunks"] = (5,)
    write(content, path, zarr_format=version)
    last = "/0/0/0" if array == "image" else ""
    key = f"c/2{last}" if version == 3 else f"2{last}".replace("/", ".")
    (path / array / key).unlink()
    if zipped:
        path = shutil.make_archive(tmp_path / "a", "zip", path)
        path = (tmp_path / "a.zip").rename(tmp_path / "a.zarr.zip")
    with pytest.raises(InputError, match=rf"1 of 4 chunks of the array {array} .* {key}\."):
        read_zarr(path)


@pytest.mark.filterwarnings("ignore:The data type .* does not have a Zarr V3 specification")
@VERSIONS
@pytest.mark.parametrize("inside", ["", "a.zarr"])
def test_a_zipped_store(tmp_path, version, inside):
    content = images(label=("sample", np.array(["cat", "dog"])[np.arange(20) % 2]))
    content = content.assign_coords(y=np.arange(6))
    content.label.encoding["dtype"] = "S3"
    write(content, tmp_path / "a.zarr", zarr_format=version, write_empty_chunks=True)
    with zipfile.ZipFile(tmp_path / "z.zarr.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted((tmp_path / "a.zarr").rglob("*")):
            archive.write(file, f"{inside}/{file.relative_to(tmp_path / 'a.zarr')}".lstrip("/"))
    staged = read_zarr(tmp_path / "z.zarr.zip")
    same(staged, IMAGES)
    assert staged.train.class_names == ["cat", "dog"]


@pytest.mark.parametrize("where", ["image", ""])
def test_attributes_are_used(tmp_path, where):
    content = images(IMAGES % 17, label=("sample", np.arange(20) % 2))
    (content[where] if where else content).attrs["pixel_range"] = [0, 16]
    (content["label"] if where else content).attrs["class_names"] = ["even", "odd", "none"]
    write(content, tmp_path / "a.zarr")
    staged = read_zarr(tmp_path / "a.zarr")
    assert staged.train.pixel_range == (0.0, 16.0)
    assert staged.test.class_names == ["even", "odd", "none"]
    assert staged.train.model_space().max() == 1


@pytest.mark.parametrize(
    "value", ["0-255", 255, [0, 1, 2], ["0", "255"], [255, 0], [0, None], {"low": 0}, [False, True]]
)
def test_a_wrong_pixel_range(tmp_path, value):
    content = images()
    content.image.attrs["pixel_range"] = value
    write(content, tmp_path / "a.zarr")
    with pytest.raises(InputError, match="pixel_range of image"):
        read_zarr(tmp_path / "a.zarr")


def test_a_range_that_contradicts_the_attribute(tmp_path):
    content = images()
    content.image.attrs["pixel_range"] = [0, 256]
    write(content, tmp_path / "a.zarr")
    assert read_zarr(tmp_path / "a.zarr", range=(0.0, 256.0)).train.pixel_range == (0.0, 256.0)
    with pytest.raises(InputError, match=r"dataset\.range is \[0\.0, 255\.0\].*\[0\.0, 256\.0\]"):
        read_zarr(tmp_path / "a.zarr", range=(0.0, 255.0))


@pytest.mark.parametrize("value", ["even, odd", 2, [1, 2], ["a", "a"], {"0": "even"}, ["even"], []])
def test_wrong_class_names(tmp_path, value):
    content = images(label=("sample", np.arange(20) % 2))
    content.label.attrs["class_names"] = value
    write(content, tmp_path / "a.zarr")
    with pytest.raises(InputError, match="class_names"):
        read_zarr(tmp_path / "a.zarr")


def test_keys_in_groups(tmp_path):
    for split, part in (("Train", IMAGES[:15]), ("TEST", IMAGES[15:])):
        content = images(part, noisy=(DIMENSIONS, 255 - part))
        write(content, tmp_path / "a.zarr", group=split, mode="a")
    from scoresweep.pipeline.study.methods.datasets import Keys

    staged = read_zarr(tmp_path / "a.zarr", keys=Keys(image="noisy"))
    np.testing.assert_array_equal(staged.train.values, 255 - IMAGES[:15])
    np.testing.assert_array_equal(staged.test.values, 255 - IMAGES[15:])


def test_a_damaged_chunk(tmp_path):
    write(images(), tmp_path / "a.zarr")
    chunk = next(file for file in (tmp_path / "a.zarr/image/c").rglob("*") if file.is_file())
    chunk.write_bytes(chunk.read_bytes()[:20])
    with pytest.raises(InputError, match="image is damaged"):
        read_zarr(tmp_path / "a.zarr")


def test_damaged_metadata(tmp_path):
    write(images(), tmp_path / "a.zarr")
    described = json.loads((tmp_path / "a.zarr/image/zarr.json").read_text())
    described["data_type"] = "nonsense"
    (tmp_path / "a.zarr/image/zarr.json").write_text(json.dumps(described))
    with pytest.raises(InputError, match=r"a\.zarr: cannot be read as Zarr"):
        read_zarr(tmp_path / "a.zarr")


def test_a_missing_shard(tmp_path):
    values = np.maximum(RANDOM.integers(0, 256, (9, 9, 9), np.uint8), 1)
    options = {"chunks": (1, 1, 9), "shards": (8, 8, 9)}
    zarr.create_array(tmp_path / "a.zarr", data=values, **options)
    same(read_zarr(tmp_path / "a.zarr", layout="NHW"), values[..., None])
    (tmp_path / "a.zarr/c/1/1/0").unlink()
    with pytest.raises(InputError, match=r"1 of 4 chunks .* c/1/1/0"):
        read_zarr(tmp_path / "a.zarr", layout="NHW")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("location", ["start", "end"])
def test_a_chunk_missing_in_a_shard(tmp_path, zipped, location):
    values = np.maximum(RANDOM.integers(0, 256, (9, 9, 9), np.uint8), 1)
    sharding = zarr.codecs.ShardingCodec(
        chunk_shape=(2, 2, 9), index_location=location, codecs=[zarr.codecs.BytesCodec()]
    )
    paths = {}
    for name, last in (("whole", values[7]), ("torn", np.zeros((9, 9), np.uint8))):
        values[6:8] = last
        options = {"chunks": (8, 8, 9), "serializer": sharding, "compressors": None}
        zarr.create_array(tmp_path / name, data=values, **options)
        paths[name] = tmp_path / name
        if zipped:
            paths[name] = Path(shutil.make_archive(tmp_path / name, "zip", tmp_path / name))
    assert read_zarr(paths["whole"], layout="NHW").train.shape == (1, 9, 9)
    with pytest.raises(InputError, match=r"5 of 25 chunks .*\(3, 0, 0\) in the shard c/0/0/0"):
        read_zarr(paths["torn"], layout="NHW")


def test_a_truncated_shard(tmp_path):
    zarr.create_array(tmp_path / "a.zarr", data=IMAGES, chunks=(1, 6, 5, 3), shards=(20, 6, 5, 3))
    shard = tmp_path / "a.zarr/c/0/0/0/0"
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(InputError, match=r"a\.zarr: the array x is damaged"):
        read_zarr(tmp_path / "a.zarr")


@VERSIONS
def test_an_array_named_as_its_dimension(tmp_path, version):
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=version)
    names = ("image", "y", "x", "channel")
    if version == 3:
        group.create_array("image", data=IMAGES, dimension_names=names)
    else:
        group.create_array("image", data=np.maximum(IMAGES, 1)).attrs["_ARRAY_DIMENSIONS"] = names
    same(read_zarr(tmp_path / "a.zarr"), IMAGES if version == 3 else np.maximum(IMAGES, 1))


@pytest.mark.parametrize("names", [("sample", "x", "x", "channel"), ("y", "x", "channel", "band")])
def test_dimensions_that_repeat(tmp_path, names):
    group = zarr.create_group(tmp_path / "a.zarr")
    group.create_array("image", data=IMAGES, dimension_names=names)
    with pytest.raises(InputError, match="dimensions"):
        read_zarr(tmp_path / "a.zarr")
