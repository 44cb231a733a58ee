"""Zip archives of images, and the `dataset.json` of StyleGAN and EDM."""

from __future__ import annotations

import io
import json
import stat
import zipfile

import numpy as np
import pytest
from PIL import Image

from scoresweep.pipeline.data.image_files import file_tree
from scoresweep.pipeline.data.sources.folder import read_folder
from scoresweep.pipeline.errors import InputError


def image(value):
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


NAMES = [f"{i // 4:05}/img{i:08}.png" for i in range(8)]
IMAGES = {name: image(10 * i) for i, name in enumerate(NAMES)}


def pack(path, members, **labels):
    """Write an archive like `dataset_tool.py`: uncompressed, labels last."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        if labels:
            archive.writestr("dataset.json", json.dumps(labels))
    return path


def classes(staged):
    """Map the value of each image to its class name."""
    return {
        int(values[0, 0, 0]): split.class_names[label]
        for split in (staged.train, staged.test)
        for values, label in zip(split.values, split.labels, strict=True)
    }


LABELS = [3, 0, 0, 3, 7, 7, 0, 3]
EXPECTED = {10 * i: str(label) for i, label in enumerate(LABELS)}


@pytest.mark.parametrize(
    "labels", [LABELS, np.eye(8)[LABELS].tolist(), np.eye(8, dtype=int)[LABELS].tolist()]
)
def test_labels_of_dataset_json(tmp_path, labels):
    path = pack(tmp_path / "d.zip", IMAGES, labels=[*zip(NAMES, labels, strict=True)])
    staged = read_folder(path, test_fraction=0.25)
    assert classes(staged) == EXPECTED
    assert staged.train.class_names == ["0", "3", "7"]
    assert list(staged.files) == ["d.zip"]
    zipfile.ZipFile(path).extractall(tmp_path / "unpacked")
    unpacked = read_folder(tmp_path / "unpacked", test_fraction=0.25)
    np.testing.assert_array_equal(unpacked.train.values, staged.train.values)
    np.testing.assert_array_equal(unpacked.train.labels, staged.train.labels)


def test_folders_are_ignored_if_dataset_json_has_no_labels(tmp_path):
    staged = read_folder(pack(tmp_path / "d.zip", IMAGES, labels=None))
    assert staged.train.labels is None
    assert len(staged.train.values) + len(staged.test.values) == 8


def test_folders_of_an_archive_are_classes(tmp_path):
    members = {f"{name}/{i}.png": image(i) for name in ("cat", "dog") for i in range(3)}
    members |= {"__MACOSX/cat/._0.png": b"", "cat/.DS_Store": b"", "cat/": b""}
    staged = read_folder(pack(tmp_path / "d.zip", members), test_fraction=0.5)
    assert staged.train.class_names == ["cat", "dog"]
    assert len(staged.train.values) + len(staged.test.values) == 6


@pytest.mark.parametrize("slash", ["/", "\\"])
def test_splits_of_an_archive_below_one_folder(tmp_path, slash):
    names = [f"birds/{s}/{c}/{i}.png" for s in ("Train", "Test") for c in "ab" for i in (0, 1)]
    members = {name.replace("/", slash): image(i) for i, name in enumerate(names)}
    staged = read_folder(pack(tmp_path / "d.zip", members))
    assert sorted(staged.train.values[:, 0, 0, 0]) == [0, 1, 2, 3]
    assert staged.test.labels.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        ([[n, 0] for n in NAMES[:6]], f"2 of 8 images.*{NAMES[6]}"),
        ([[n, [0.5, 0.5]] for n in NAMES], r"\[0.5, 0.5\]"),
        ([[n, "cat"] for n in NAMES], '"cat"'),
        ([[n, [[0]]] for n in NAMES], r"\[\[0\]\]"),
        ([[n, [0, 0]] for n in NAMES], r"\[0, 0\]"),
        ([[n] for n in NAMES], "cannot be parsed"),
        (5, "cannot be parsed"),
    ],
)
def test_invalid_labels_are_named(tmp_path, labels, named):
    with pytest.raises(InputError, match=rf"dataset\.json: .*{named}"):
        read_folder(pack(tmp_path / "d.zip", IMAGES, labels=labels))


@pytest.mark.parametrize("content", ["{", "[]", '{"other": 1}', "\xff"])
def test_a_damaged_dataset_json_is_named(tmp_path, content):
    path = pack(tmp_path / "d.zip", IMAGES | {"dataset.json": content.encode("latin-1")})
    with pytest.raises(InputError, match=r"d\.zip: dataset\.json: cannot be parsed"):
        read_folder(path)


def test_labels_of_missing_images_are_reported(tmp_path, capsys):
    pairs = [[name, 0] for name in [*NAMES, "gone.png"]]
    read_folder(pack(tmp_path / "d.zip", IMAGES, labels=pairs))
    assert "1 labels in dataset.json" in capsys.readouterr().err


def test_a_damaged_member_is_named(tmp_path):
    path = pack(tmp_path / "d.zip", IMAGES, labels=None)
    content = bytearray(path.read_bytes())
    content[content.index(IMAGES[NAMES[5]]) + 45] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"{NAMES[5]}: is damaged \(Bad CRC"):
        read_folder(path)
    path.write_bytes(content[:-30])
    with pytest.raises(InputError, match=r"d\.zip: "):
        read_folder(path)


def test_members_that_cannot_be_read_are_named(tmp_path, monkeypatch):
    link = zipfile.ZipInfo("5.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    plain = {f"{i}.png": image(i) for i in range(4)}
    path = pack(tmp_path / "d.zip", plain)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(InputError, match=r"5\.png: is a symbolic link"):
        read_folder(path)
    pack(path, plain)
    content = path.read_bytes()
    place = content.index(b"PK\x01\x02") + 8
    path.write_bytes(content[:place] + b"\x01" + content[place + 1 :])
    with pytest.raises(InputError, match=r"0\.png: is encrypted"):
        read_folder(path)
    pack(path, plain)
    monkeypatch.setattr(file_tree, "LARGEST_MEMBER", 50)
    with pytest.raises(InputError, match=r"0\.png: has \d+ bytes .*at most 50"):
        read_folder(path)


@pytest.mark.parametrize("name", ["d.tar", "d.tgz", "d.rar", "d.zip", "picture.png"])
def test_other_files_are_refused_in_one_line(tmp_path, name):
    (tmp_path / name).write_bytes(bytes(600))
    with pytest.raises(InputError, match=rf"{name}: ") as refused:
        read_folder(tmp_path / name)
    assert len(str(refused.value)) < 400


def test_other_files_of_an_archive_are_counted_by_suffix(tmp_path):
    path = pack(tmp_path / "d.zip", {f"latents/{i}.bin": b"x" for i in range(500)})
    with pytest.raises(InputError, match=r"found no images.*500 \.bin") as refused:
        read_folder(path)
    assert len(str(refused.value)) < 800
