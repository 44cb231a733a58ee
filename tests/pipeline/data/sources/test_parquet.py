"""Parquet files with encoded images."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from scoresweep.pipeline.data.sources.arrays import read_array
from scoresweep.pipeline.data.sources.parquet import read_parquet
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.methods.datasets import Keys

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (12, 6, 5, 3), np.uint8)
LABELS = np.arange(12) % 2
CLASS_LABEL = {"info": {"features": {"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}}


def encoded(values, form="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(values.squeeze()).save(buffer, form)
    return buffer.getvalue()


def table(images=IMAGES, labels=LABELS, about=CLASS_LABEL, **more):
    structs = [{"bytes": encoded(image), "path": f"{i}.png"} for i, image in enumerate(images)]
    found = pa.table({"image": structs, "label": pa.array(labels), **more})
    return found.replace_schema_metadata({"huggingface": json.dumps(about)} if about else None)


def rows(staged):
    return sorted(row.tobytes() for part in (staged.train, staged.test) for row in part.values)


def same(staged, images=IMAGES):
    assert rows(staged) == sorted(image.tobytes() for image in images)


def check_labels(staged, names):
    known = {i.tobytes(): names[label] for i, label in zip(IMAGES, LABELS, strict=True)}
    for part in (staged.train, staged.test):
        found = [part.class_names[label] for label in part.labels]
        assert found == [known[image.tobytes()] for image in part.values]


def test_a_hugging_face_file(tmp_path, capsys):
    pq.write_table(table(id=pa.array(range(12))), tmp_path / "a.parquet")
    staged = read_parquet(tmp_path / "a.parquet", test_fraction=0.25)
    assert (len(staged.train.values), len(staged.test.values)) == (9, 3)
    same(staged)
    check_labels(staged, ["cat", "dog"])
    assert "ignoring id" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("labels", "names"),
    [(LABELS * 1000, ["0", "1000"]), (np.array(["b", "a"])[LABELS], ["b", "a"])],
)
def test_other_labels_and_plain_bytes(tmp_path, labels, names):
    content = {"img": [encoded(image) for image in IMAGES], "y": labels}
    pq.write_table(pa.table(content), tmp_path / "a.parquet")
    staged = read_parquet(tmp_path / "a.parquet")
    same(staged)
    check_labels(staged, names)


@pytest.mark.parametrize(
    "names",
    [
        ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"),
        ("default/train/0000", "default/train/0001", "default/test/0000"),
        ("data/cells-train-0", "data/cells-train-1", "data/cells-test"),
        ("train_a", "train_b", "validation"),
    ],
)
def test_a_folder_of_shards(tmp_path, names):
    for name, part in zip(names, (slice(0, 5), slice(5, 9), slice(9, 12)), strict=True):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table(IMAGES[part], LABELS[part]), tmp_path / f"{name}.parquet")
    staged = read_parquet(tmp_path)
    np.testing.assert_array_equal(staged.train.values, IMAGES[:9])
    np.testing.assert_array_equal(staged.test.values, IMAGES[9:])
    check_labels(staged, ["cat", "dog"])


@pytest.mark.parametrize(
    ("names", "named"),
    [
        (["train-00000-of-00003", "train-00002-of-00003"], "number 1"),
        (["train-0", "other"], "other"),
        (["test-0"], "training"),
        (["en/train-0", "de/train-0"], "several folders"),
    ],
)
def test_a_folder_with_missing_files(tmp_path, names, named):
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table(), tmp_path / f"{name}.parquet")
    with pytest.raises(InputError, match=named):
        read_parquet(tmp_path)


def test_keys(tmp_path):
    masks = [encoded(255 - image) for image in IMAGES]
    pq.write_table(table(mask=masks, kind=pa.array(LABELS + 5)), tmp_path / "a.parquet")
    same(read_parquet(tmp_path / "a.parquet"))
    staged = read_parquet(tmp_path / "a.parquet", keys=Keys(image="mask", label="kind"))
    same(staged, 255 - IMAGES)
    assert staged.train.class_names == ["5", "6"]
    assert read_parquet(tmp_path / "a.parquet", keys=Keys(image="mask")).train.labels is None
    for keys, key in ((Keys(image="id"), "image"), (Keys(image="image", label="lable"), "label")):
        with pytest.raises(InputError, match=rf"dataset\.keys\.{key}: .*a\.parquet"):
            read_parquet(tmp_path / "a.parquet", keys=keys)
    with pytest.raises(InputError, match=r"dataset\.keys\.point"):
        read_parquet(tmp_path / "a.parquet", keys=Keys(point="image"))


def test_several_columns_of_images(tmp_path):
    content = {name: [encoded(image) for image in IMAGES] for name in ("left", "right")}
    pq.write_table(pa.table(content), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"left, right.*dataset\.keys"):
        read_parquet(tmp_path / "a.parquet")


def test_rows_without_an_image(tmp_path):
    structs = [{"bytes": encoded(image), "path": None} for image in IMAGES]
    structs[4] = {"bytes": None, "path": "4.png"}
    pq.write_table(pa.table({"image": structs}), tmp_path / "a.parquet")
    structs[4] = {"bytes": structs[0]["bytes"][:60], "path": "4.png"}
    pq.write_table(pa.table({"image": structs}), tmp_path / "b.parquet")
    for name in ("a", "b"):
        with pytest.raises(InputError, match=rf"{name}\.parquet: image of row 4"):
            read_parquet(tmp_path / f"{name}.parquet")
    content = {"image": [encoded(image) for image in IMAGES], "label": [0, 1, None] * 4}
    pq.write_table(pa.table(content), tmp_path / "c.parquet")
    with pytest.raises(InputError, match=r"label has 4 missing values; the first is in row 2"):
        read_parquet(tmp_path / "c.parquet")


def test_a_table_of_numbers(tmp_path):
    pq.write_table(pa.table({"a": [1.0, 2.0], "b": [1.0, 2.0]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: has no column of encoded images"):
        read_parquet(tmp_path / "a.parquet")


def test_sizes(tmp_path):
    images = [IMAGES[0], IMAGES[1, :5]] * 4
    pq.write_table(table(images, LABELS[:8]), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"row 1: is 5×5 pixels.*dataset\.size"):
        read_parquet(tmp_path / "a.parquet")
    assert read_parquet(tmp_path / "a.parquet", size=4).train.shape == (3, 4, 4)


@pytest.mark.parametrize("keep", [-100, 8])
def test_a_truncated_file(tmp_path, keep):
    pq.write_table(table(), tmp_path / "a.parquet")
    (tmp_path / "a.parquet").write_bytes((tmp_path / "a.parquet").read_bytes()[:keep])
    with pytest.raises(InputError, match=r"a\.parquet: cannot be read as Parquet"):
        read_parquet(tmp_path / "a.parquet")


def test_without_pyarrow(tmp_path, monkeypatch):
    pq.write_table(table(), tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'scoresweep\[parquet\]'"):
        read_parquet(tmp_path / "a.parquet")


def test_the_right_dataset_name_is_suggested(tmp_path):
    pq.write_table(table(), tmp_path / "train.parquet")
    for path in (tmp_path, tmp_path / "train.parquet"):
        with pytest.raises(InputError, match=r"dataset\.name: parquet"):
            read_array(path)


def test_images_next_to_parquet_files(tmp_path):
    pq.write_table(table(), tmp_path / "train.parquet")
    Image.fromarray(IMAGES[0]).save(tmp_path / "logo.png")
    same(read_parquet(tmp_path))


def test_several_labels_for_an_image(tmp_path):
    several = pa.array([[0], [0, 1]] * 6)
    pq.write_table(table(labels=several, about=None), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"label .*list"):
        read_parquet(tmp_path / "a.parquet")
    assert read_parquet(tmp_path / "a.parquet", keys=Keys(image="image")).train.labels is None
