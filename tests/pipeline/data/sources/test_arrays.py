from __future__ import annotations

import json
import pickle
import zipfile

import numpy as np
import pytest
import zarr

from scoresweep.pipeline.data.dataset_store import write_store
from scoresweep.pipeline.data.sources.arrays import read_array, read_zarr
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import InputError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (20, 5, 4), np.uint8)
POINTS = RANDOM.normal(size=(20, 3))


def rows(*splits):
    return sorted(row.tobytes() for split in splits for row in split.values)


@pytest.mark.parametrize("name", ["x", "image", "anything"])
def test_a_single_array_needs_no_name(tmp_path, name):
    np.savez_compressed(tmp_path / "a.npz", **{name: IMAGES})
    staged = read_array(tmp_path / "a.npz", test_fraction=0.25)
    assert (len(staged.train.values), len(staged.test.values)) == (15, 5)
    assert staged.train.shape == (1, 5, 4)
    assert rows(staged.train, staged.test) == sorted(image.tobytes() for image in IMAGES)


def test_points_become_float32(tmp_path):
    np.save(tmp_path / "a.npy", POINTS)
    staged = read_array(tmp_path / "a.npy")
    assert staged.train.shape == (3,)
    assert staged.train.pixel_range is None
    expected = sorted(point.tobytes() for point in POINTS.astype(np.float32))
    assert rows(staged.train, staged.test) == expected


@pytest.mark.parametrize(
    "names",
    [("train", "train_label", "test", "test_label"), ("x_train", "y_train", "x_test", "y_test")],
)
def test_named_splits_keep_their_order(tmp_path, names):
    labels = np.arange(20) % 3
    arrays = (IMAGES[:15], labels[:15, None].astype(np.uint8), IMAGES[15:], labels[15:])
    np.savez(tmp_path / "a.npz", **dict(zip(names, arrays, strict=True)))
    staged = read_array(tmp_path / "a.npz")
    np.testing.assert_array_equal(staged.train.values[..., 0], IMAGES[:15])
    np.testing.assert_array_equal(staged.test.values[..., 0], IMAGES[15:])
    np.testing.assert_array_equal(staged.train.labels, labels[:15])
    np.testing.assert_array_equal(staged.test.labels, labels[15:])
    assert staged.train.class_names == ["0", "1", "2"]


def test_labels_stay_with_their_samples(tmp_path):
    labels = np.arange(20) % 4
    np.savez(tmp_path / "a.npz", x=IMAGES, y=labels)
    staged = read_array(tmp_path / "a.npz", test_fraction=0.2)
    known = {image.tobytes(): label for image, label in zip(IMAGES, labels, strict=True)}
    for split in (staged.train, staged.test):
        assert [known[image.tobytes()] for image in split.values] == split.labels.tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nonfinite_values_are_counted(tmp_path, bad):
    points = POINTS.copy()
    points[7, 1] = points[7, 2] = points[12, 0] = bad
    np.save(tmp_path / "a.npy", points)
    message = r"a\.npy: 3 values are NaN or infinite, in 2 of 20 samples; the first is sample 7"
    with pytest.raises(InputError, match=message):
        read_array(tmp_path / "a.npy")


class Evil:
    def __reduce__(self):
        return (print, ("unpickled",))


def test_nothing_is_unpickled(tmp_path, capsys):
    np.save(tmp_path / "a.npy", np.array([Evil(), Evil()], object), allow_pickle=True)
    (tmp_path / "b.npy").write_bytes(pickle.dumps(Evil()))
    np.savez(tmp_path / "c.npz", x=np.array([Evil(), Evil()], object))
    for name in ("a.npy", "b.npy", "c.npz"):
        with pytest.raises(InputError, match=rf"{name}: .*never unpickled"):
            read_array(tmp_path / name)
    assert "unpickled" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_a_truncated_file(tmp_path, name):
    path = tmp_path / name
    (np.save if name == "a.npy" else np.savez)(path, IMAGES)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match=f"{name}: cannot be read"):
        read_array(path)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (IMAGES.astype(np.float32), "uint8"),
        (IMAGES.transpose(0, 2, 1).astype(np.int64), "uint8"),
        (RANDOM.integers(0, 256, (9, 3, 8, 8), np.uint8), "channels"),
        (POINTS[:1], "only one sample"),
        (POINTS[0], "expected images"),
    ],
)
def test_other_shapes_and_types(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match=message):
        read_array(tmp_path / "a.npy")


def test_a_wrong_number_of_labels(tmp_path):
    np.savez(tmp_path / "a.npz", x=IMAGES, y=np.arange(19))
    with pytest.raises(InputError, match=r"labels y \(19,\).* 20 labels"):
        read_array(tmp_path / "a.npz")


def test_unknown_names_are_listed(tmp_path):
    np.savez(tmp_path / "a.npz", foo=IMAGES, bar=IMAGES)
    with pytest.raises(InputError, match=r"foo .*bar .*dataset\.keys"):
        read_array(tmp_path / "a.npz")


def test_splits_of_different_shape(tmp_path):
    np.savez(tmp_path / "a.npz", train=IMAGES, test=IMAGES[:, 1:])
    with pytest.raises(InputError, match=r"shape \(1, 5, 4\).*\(1, 4, 4\)"):
        read_array(tmp_path / "a.npz")


def test_a_missing_file(tmp_path):
    for read in (read_array, read_zarr):
        with pytest.raises(InputError, match="nowhere"):
            read(tmp_path / "nowhere")


@pytest.mark.parametrize("version", [2, 3])
def test_a_zarr_array(tmp_path, version):
    zarr.save_array(tmp_path / "a.zarr", IMAGES, zarr_format=version)
    staged = read_zarr(tmp_path / "a.zarr")
    assert rows(staged.train, staged.test) == sorted(image.tobytes() for image in IMAGES)


def test_a_staged_store_can_be_user_data(tmp_path):
    train = Split(IMAGES[:15, ..., None] % 17, np.arange(15) % 2, (0.0, 16.0), ["even", "odd"])
    test = Split(IMAGES[15:, ..., None] % 17, np.zeros(5, np.int64), (0.0, 16.0), ["even", "odd"])
    write_store(tmp_path / "a.zarr", {"train": train, "test": test}, {})
    staged = read_zarr(tmp_path / "a.zarr")
    for found, expected in ((staged.train, train), (staged.test, test)):
        np.testing.assert_array_equal(found.values, expected.values)
        np.testing.assert_array_equal(found.labels, expected.labels)
        assert found.pixel_range == (0.0, 16.0)
        assert found.class_names == ["even", "odd"]


@pytest.mark.parametrize("place", ["filters", "compressor"])
@pytest.mark.parametrize("name", ["", "image"])
def test_a_zarr_array_with_a_pickle_codec(tmp_path, capsys, place, name):
    store = tmp_path / "a.zarr"
    path = store / name
    if name:
        zarr.create_group(store, zarr_format=2)
    zarr.create_array(path, data=IMAGES, chunks=IMAGES.shape, zarr_format=2, compressors=None)
    described = json.loads((path / ".zarray").read_text())
    codec = {"id": "pickle", "protocol": 5}
    described[place] = [codec] if place == "filters" else codec
    (path / ".zarray").write_text(json.dumps(described))
    (path / "0.0.0").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(InputError, match="pickle"):
        read_zarr(store)
    assert "unpickled" not in capsys.readouterr().out


def test_several_arrays_in_one_npy_file(tmp_path):
    with (tmp_path / "a.npy").open("wb") as file:
        np.save(file, IMAGES)
        np.save(file, IMAGES)
    with pytest.raises(InputError, match=r"a\.npy: has more data after"):
        read_array(tmp_path / "a.npy")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_duplicate_array(tmp_path):
    np.savez(tmp_path / "a.npz", x=IMAGES)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive, archive.open("x.npy", "w") as file:
        np.save(file, IMAGES)
    with pytest.raises(InputError, match=r"x\.npy twice"):
        read_array(tmp_path / "a.npz")


def test_a_range_for_points_is_refused(tmp_path):
    np.save(tmp_path / "a.npy", POINTS)
    with pytest.raises(InputError, match=r"dataset\.range"):
        read_array(tmp_path / "a.npy", range=(-1.0, 1.0))


@pytest.mark.parametrize(
    ("shape", "named"), [((5, 8, 8, 4), "4 channels"), ((5, 8, 8, 8), "slice")]
)
def test_four_channels_and_volumes_are_named(tmp_path, shape, named):
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    with pytest.raises(InputError, match=named):
        read_array(tmp_path / "a.npy")


def test_the_suggested_range_contains_all_values(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(0, 1.7, (9, 8, 8)))
    with pytest.raises(InputError, match=r"dataset\.range: ") as refused:
        read_array(tmp_path / "a.npy")
    proposed = tuple(json.loads(str(refused.value).rpartition("dataset.range: ")[2]))
    assert read_array(tmp_path / "a.npy", range=proposed).train.pixel_range == (0, 1)
