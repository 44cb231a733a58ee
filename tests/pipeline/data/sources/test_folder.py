from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from scoresweep.pipeline.data.sources.folder import read_folder
from scoresweep.pipeline.errors import InputError

RANDOM = np.random.default_rng(0)


def save(path, size=(6, 4), mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    values = RANDOM.integers(0, 256, (size[1], size[0], *channels), np.uint8)
    Image.fromarray(values).save(path)
    return values


def as_set(*splits):
    return {image.tobytes() for split in splits for image in split.values}


def test_images_without_classes(tmp_path):
    saved = {save(tmp_path / f"{i:02}.png").tobytes() for i in range(20)}
    (tmp_path / "README.md").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("not an image")
    staged = read_folder(tmp_path, test_fraction=0.25)
    assert (len(staged.train.values), len(staged.test.values)) == (15, 5)
    assert as_set(staged.train, staged.test) == saved
    assert staged.train.shape == (3, 4, 6)
    assert staged.train.labels is None


def test_sub_folders_are_classes(tmp_path):
    saved = {}
    for name in ("dog", "cat"):
        for i in range(10):
            saved[save(tmp_path / name / f"{i}.PNG", mode="L").tobytes()] = name
    staged = read_folder(tmp_path, test_fraction=0.2)
    assert staged.train.class_names == ["cat", "dog"]
    assert np.bincount(staged.test.labels).tolist() == [2, 2]
    assert staged.train.shape == (1, 4, 6)
    for split in (staged.train, staged.test):
        for image, label in zip(split.values, split.labels, strict=True):
            assert saved[image.tobytes()] == split.class_names[label]


def test_folders_train_and_test_are_the_splits(tmp_path):
    train = [save(tmp_path / "train" / "a" / f"{i}.png") for i in range(3)]
    train += [save(tmp_path / "train" / "b" / f"{i}.png") for i in range(2)]
    test = [save(tmp_path / "test" / "b" / f"{i}.png") for i in range(2)]
    staged = read_folder(tmp_path)
    np.testing.assert_array_equal(staged.train.values, train)
    np.testing.assert_array_equal(staged.test.values, test)
    assert staged.train.labels.tolist() == [0, 0, 0, 1, 1]
    assert staged.test.labels.tolist() == [1, 1]


def test_size_crops_and_resizes(tmp_path):
    wide = np.zeros((8, 16, 3), np.uint8)
    wide[:, 4:12] = 200
    for i in range(4):
        Image.fromarray(wide if i % 2 else wide[:, 4:12]).save(tmp_path / f"{i}.png")
    staged = read_folder(tmp_path, size=4, test_fraction=0.5)
    assert staged.train.values.shape == (2, 4, 4, 3)
    assert (staged.train.values == 200).all()


@pytest.mark.parametrize(("width", "height"), [(178, 218), (177, 217), (179, 140)])
def test_a_crop_and_its_filter_are_those_of_torchvision(tmp_path, width, height):
    """CenterCrop(140), Resize(64): offsets rounded half to even, Pillow's bilinear filter."""
    for i in range(2):
        save(tmp_path / f"{i}.png", (width, height))
    left, top = (round((side - 140) / 2) for side in (width, height))
    staged = read_folder(tmp_path, size=64, crop=140, resample="bilinear", test_fraction=0.5)
    found = [staged.train.values[0], staged.test.values[0]]
    for i in range(2):
        image = Image.open(tmp_path / f"{i}.png").crop((left, top, left + 140, top + 140))
        expected = np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR))
        assert any(np.array_equal(each, expected) for each in found)


def test_a_crop_without_a_size_is_not_resized(tmp_path):
    for i in range(2):
        save(tmp_path / f"{i}.png", (9, 6))
    staged = read_folder(tmp_path, crop=4, test_fraction=0.5)
    original = [np.asarray(Image.open(tmp_path / f"{i}.png"))[1:5, 2:6] for i in range(2)]
    assert any(np.array_equal(staged.train.values[0], each) for each in original)
    with pytest.raises(InputError, match=r"0\.png: is 9×6 .*dataset\.crop"):
        read_folder(tmp_path, crop=7)


def test_transparency_is_composited_on_white(tmp_path):
    values = np.zeros((2, 2, 4), np.uint8)
    values[0, 0] = (10, 20, 30, 255)
    for i in range(2):
        Image.fromarray(values).save(tmp_path / f"{i}.png")
    image = read_folder(tmp_path).train.values[0]
    assert image.tolist() == [[[10, 20, 30], [255, 255, 255]], [[255, 255, 255]] * 2]


def test_the_checksum_covers_every_file(tmp_path):
    for i in range(4):
        save(tmp_path / f"{i}.png")
    before = read_folder(tmp_path).files
    save(tmp_path / "2.png")
    after = read_folder(tmp_path).files
    assert before.keys() == after.keys() == {f"{tmp_path.name} (4 files)"}
    assert before != after


def test_unequal_sizes_name_the_file(tmp_path):
    for i in range(5):
        save(tmp_path / f"{i}.png", (6, 4) if i != 3 else (4, 6))
    with pytest.raises(
        InputError, match=r"3\.png: is 4×6 pixels, but .*0\.png is 6×4.*dataset\.size"
    ):
        read_folder(tmp_path)


@pytest.mark.parametrize("keep", [0, 30, -100])
def test_an_unreadable_image_is_named(tmp_path, keep):
    for i in range(5):
        save(tmp_path / f"{i}.png", (40, 40))
    broken = tmp_path / "3.png"
    broken.write_bytes(broken.read_bytes()[:keep])
    with pytest.raises(InputError, match=r"3\.png: .* image"):
        read_folder(tmp_path)


def test_16_bit_grey_images_are_refused(tmp_path):
    for i in range(2):
        Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / f"{i}.png")
    with pytest.raises(InputError, match=r"0\.png: has more than 8 bits"):
        read_folder(tmp_path)


def test_a_missing_folder(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        read_folder(tmp_path / "nowhere")


def test_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match=r"found (no images|one image)"):
        read_folder(tmp_path)


def test_images_beside_classes_are_ambiguous(tmp_path):
    save(tmp_path / "a" / "0.png")
    save(tmp_path / "loose.png")
    with pytest.raises(InputError, match=r"loose\.png"):
        read_folder(tmp_path)
