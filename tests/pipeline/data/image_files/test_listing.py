"""Splits and classes of the images in a folder."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from scoresweep.pipeline.data.sources.folder import read_folder
from scoresweep.pipeline.errors import InputError


def write(root, *names, value=0):
    """Write 4×4 grey images; the value of each is its index."""
    for index, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), value + index, np.uint8)).save(root / name)


def pairs(*folders):
    return [f"{folder}/{i}.png" for folder in folders for i in range(2)]


def values(split):
    return sorted(int(image[0, 0, 0]) for image in split.values)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        *[("train", "test"), ("Training", "Testing"), ("TRAIN", "TEST"), ("trainset", "Test Data")],
        *[("train2017", "test2017"), ("train_set", "images_test"), ("train_64x64", "test_64x64")],
    ],
)
def test_splits_in_any_spelling(tmp_path, train, test):
    write(tmp_path, *pairs(f"{train}/a", f"{train}/b", f"{test}/a", f"{test}/b"))
    staged = read_folder(tmp_path)
    assert (values(staged.train), values(staged.test)) == ([0, 1, 2, 3], [4, 5, 6, 7])
    assert staged.train.class_names == ["a", "b"]
    assert staged.test.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("name", ["val", "Valid", "validation", "dev", "val_images"])
def test_a_skipped_validation_folder_is_reported(tmp_path, capsys, name):
    write(tmp_path, *pairs("train", "test", name))
    staged = read_folder(tmp_path)
    assert (values(staged.train), values(staged.test)) == ([0, 1], [2, 3])
    assert f"skipped: {name} (2 images)" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["val", "Validation", "eval"])
def test_validation_replaces_a_missing_test_split(tmp_path, capsys, name):
    write(tmp_path, *pairs("train", name))
    staged = read_folder(tmp_path)
    assert (values(staged.train), values(staged.test)) == ([0, 1], [2, 3])
    assert "validation" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("folders", "named"),
    [
        (["train", "bus"], ["train", "bus"]),
        (["train", "test", "extra"], ["extra"]),
        (["test"], ["test"]),
        (["test", "bus"], ["bus"]),
        (["train", "training", "test"], ["train, training"]),
        (["train2012", "train2014"], ["train2012, train2014"]),
    ],
)
def test_folders_that_could_be_splits_or_classes_are_refused(tmp_path, folders, named):
    write(tmp_path, *pairs(*folders))
    with pytest.raises(InputError, match=r"dataset\.splits: none") as refused:
        read_folder(tmp_path)
    assert all(name in str(refused.value) for name in named)
    staged = read_folder(tmp_path, splits="none", test_fraction=0.5)
    assert staged.train.class_names == sorted(folders)


def test_images_beside_splits_are_refused(tmp_path):
    write(tmp_path, *pairs("train", "test"), "loose.png")
    with pytest.raises(InputError, match=r"loose\.png"):
        read_folder(tmp_path)


def test_splits_named_in_the_study(tmp_path, capsys):
    write(tmp_path, *pairs("train", "val", "bus"))
    staged = read_folder(tmp_path, splits={"train": "train", "test": "val"})
    assert (values(staged.train), values(staged.test)) == ([0, 1], [2, 3])
    assert "skipped: bus (2 images)" in capsys.readouterr().err
    staged = read_folder(tmp_path, splits={"train": "bus"}, test_fraction=0.5)
    assert values(staged.train) + values(staged.test) in ([4, 5], [5, 4])
    with pytest.raises(InputError, match=r"dataset\.splits\.test: vall: .*'val'"):
        read_folder(tmp_path, splits={"train": "train", "test": "vall"})


def test_splits_in_a_class_are_refused(tmp_path):
    write(tmp_path, *pairs("cat/train", "cat/test", "dog/train", "dog/test"))
    with pytest.raises(InputError, match="cat: the splits test, train"):
        read_folder(tmp_path)
    assert read_folder(tmp_path, splits="none").train.class_names == ["cat", "dog"]


@pytest.mark.parametrize("part", ["", "train/"])
def test_classes_below_a_single_folder_are_refused(tmp_path, part):
    write(tmp_path, *pairs(f"{part}images/cat", f"{part}images/dog"))
    with pytest.raises(InputError, match=r"images.*cat, dog.*dataset\.path"):
        read_folder(tmp_path)
    write(tmp_path, *pairs(f"{part}images/cat", f"{part}other/dog"))
    staged = read_folder(tmp_path, test_fraction=0.4)
    assert staged.train.class_names == ["images", "other"]


def test_an_empty_test_folder_is_not_ignored(tmp_path):
    write(tmp_path, *pairs("train"))
    (tmp_path / "test").mkdir()
    with pytest.raises(InputError, match=r"test: found (no images|one image)"):
        read_folder(tmp_path)


def test_words_that_contain_a_split_name_are_classes(tmp_path):
    names = ["trains", "contest", "devil", "train猫"]
    write(tmp_path, *pairs(*names))
    assert read_folder(tmp_path).train.class_names == sorted(names)


@pytest.mark.parametrize(
    "name",
    ["a/.ipynb_checkpoints/0.png", "__MACOSX/a/0.png", ".git/0.png", "a/@eaDir/0.png", "a/._0.png"],
)
def test_hidden_and_tool_files_are_not_images(tmp_path, name):
    write(tmp_path, *pairs("a", "b"))
    write(tmp_path, name, value=99)
    staged = read_folder(tmp_path, test_fraction=0.5)
    assert sorted(values(staged.train) + values(staged.test)) == [0, 1, 2, 3]
    assert staged.train.class_names == ["a", "b"]


def test_linked_classes_are_read_and_recorded(tmp_path):
    write(tmp_path, *pairs("stock/a/deep", "stock/b"))
    (tmp_path / "own").mkdir()
    (tmp_path / "between").symlink_to(tmp_path / "stock" / "a")
    (tmp_path / "own" / "a").symlink_to(tmp_path / "between")
    (tmp_path / "own" / "b").symlink_to(tmp_path / "stock" / "b")
    (tmp_path / "stock" / "b" / "more").symlink_to(tmp_path / "stock" / "a" / "deep")
    staged = read_folder(tmp_path / "own", test_fraction=0.5)
    assert sorted(values(staged.train) + values(staged.test)) == [0, 0, 1, 1, 2, 3]
    assert list(staged.files) == ["own (6 files)"]


def test_an_unreadable_class_folder_is_named(tmp_path, read_only):
    write(tmp_path / "own", *pairs("a", "b"))
    with pytest.raises(InputError, match=r"copy/b: cannot be read"):
        read_folder(read_only(tmp_path / "own", "b"))


def test_an_image_without_read_permission_is_named(tmp_path, read_only):
    write(tmp_path / "own", *pairs("a", "b"))
    with pytest.raises(InputError, match=r"b/1\.png: cannot be read"):
        read_folder(read_only(tmp_path / "own", "b/1.png"))


def test_every_format_of_pillow_is_read(tmp_path):
    suffixes = ["jfif", "jpe", "JPEG", "avif", "jp2", "j2k", "webp", "bmp", "tga", "pcx", "ppm"]
    suffixes += ["qoi", "gif", "tiff"]
    image = Image.fromarray(np.full((16, 16, 3), 200, np.uint8))
    for suffix in suffixes:
        image.save(tmp_path / f"{suffix}.{suffix}")
    staged = read_folder(tmp_path)
    assert len(staged.train.values) + len(staged.test.values) == len(suffixes)
    assert abs(staged.train.values.astype(int) - 200).max() <= 3


def test_skipped_files_are_counted(tmp_path, capsys):
    write(tmp_path, *pairs("a", "b"))
    for name in ("1.txt", "a/2.TXT", "a/drawing.pdf", "README"):
        (tmp_path / name).write_text("x")
    (tmp_path / "c").mkdir()
    staged = read_folder(tmp_path, test_fraction=0.5)
    assert staged.train.class_names == ["a", "b"]
    said = capsys.readouterr().err
    assert "skipped: 2 .txt, 1" in said
    assert "1 .pdf" in said
    assert "1 without suffix" in said
    assert "folders without images: c" in said


def test_file_names_that_are_not_utf8(tmp_path):
    write(tmp_path, "0.png", "1.png", os.fsdecode(b"\xe4.png"))
    staged = read_folder(tmp_path)
    assert len(staged.train.values) + len(staged.test.values) == 3
    write(tmp_path / "classes", *pairs("a", os.fsdecode(b"\xe4")))
    with pytest.raises(InputError, match=r"udce4.*not valid UTF-8"):
        read_folder(tmp_path / "classes")
