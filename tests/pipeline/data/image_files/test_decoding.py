"""Decoding of orientation, palettes, transparency, frames and damaged files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from scoresweep.pipeline.data.sources.folder import read_folder
from scoresweep.pipeline.errors import InputError

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)


def both(folder, image, name, **options):
    for index in range(2):
        image.save(folder / f"{index}.{name}", **options)


def exif(exif_orientation):
    """An EXIF block with one entry."""
    return (
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0%c\0\0\0\0\0\0\0" % exif_orientation
    )


@pytest.mark.parametrize("name", ["png", "gif", "bmp"])
def test_grey_palettes_are_grey(tmp_path, name):
    both(tmp_path, Image.fromarray(GREY).convert("P"), name)
    staged = read_folder(tmp_path)
    np.testing.assert_array_equal(staged.train.values[0, ..., 0], GREY)
    assert staged.train.shape == (1, 8, 8)


def test_unused_palette_colours_are_ignored(tmp_path):
    image = Image.fromarray(GREY, "L").convert("P")
    palette = image.getpalette()
    palette[3 * 200 : 3 * 200 + 3] = [255, 0, 0]
    image.putpalette(palette)
    both(tmp_path, image, "png")
    assert read_folder(tmp_path).train.shape == (1, 8, 8)
    image.putpixel((0, 0), 200)
    image.save(tmp_path / "1.png")
    assert read_folder(tmp_path).train.shape == (3, 8, 8)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_several_frames_need_an_option(tmp_path, kind):
    frames = [Image.fromarray(np.full((8, 8), 10 * i, np.uint8)) for i in range(4)]
    for index in range(2):
        options = {"lossless": True} if kind == "WEBP" else {}
        frames[0].save(
            tmp_path / f"{index}.{kind}", kind, save_all=True, append_images=frames[1:], **options
        )
    with pytest.raises(InputError, match=rf"0\.{kind}: has 4 frames .*dataset\.frames"):
        read_folder(tmp_path)
    first = read_folder(tmp_path, frames="first", test_fraction=0.5)
    assert (first.train.values == 0).all()
    every = read_folder(tmp_path, frames="all", test_fraction=0.5)
    found = np.concatenate([every.train.values, every.test.values])
    assert sorted(found[:, 0, 0, 0].tolist()) == [0, 0, 10, 10, 20, 20, 30, 30]
    assert found.shape[-1] == (3 if kind == "WEBP" else 1)


def test_frames_have_the_class_of_their_file(tmp_path):
    for name, count in (("a", 3), ("b", 1)):
        (tmp_path / name).mkdir()
        frames = [Image.fromarray(np.full((4, 4), 50 * i, np.uint8)) for i in range(count)]
        frames[0].save(tmp_path / name / "0.tif", save_all=True, append_images=frames[1:])
    staged = read_folder(tmp_path, frames="all", test_fraction=0.25)
    labels = [*staged.train.labels, *staged.test.labels]
    assert sorted(labels) == [0, 0, 0, 1]


def test_only_the_first_picture_of_an_mpo_is_read(tmp_path, capsys):
    image = Image.fromarray(GREY)
    for index in range(2):
        image.save(tmp_path / f"{index}.jpg", "MPO", save_all=True, append_images=[image])
    staged = read_folder(tmp_path)
    assert len(staged.train.values) + len(staged.test.values) == 2
    assert "2 of 2 files contain more than one picture (MPO)" in capsys.readouterr().err


def test_exif_turns_images_upright(tmp_path):
    both(tmp_path, Image.fromarray(GREY), "png", exif=exif(6))
    np.testing.assert_array_equal(read_folder(tmp_path).train.values[0, ..., 0], np.rot90(GREY, -1))


@pytest.mark.parametrize("keep", [0, 8, 14, 15, 20, 26])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_damaged_exif_data_is_ignored(tmp_path, capsys, keep, suffix):
    block = exif(1)[:keep] + b"\xff" * 5
    image = Image.fromarray(GREY)
    both(tmp_path, image, suffix, exif=block)
    assert read_folder(tmp_path).train.shape[1:] == (8, 8)


def test_damaged_exif_data_is_reported(tmp_path, capsys):
    both(tmp_path, Image.fromarray(GREY), "jpg", exif=exif(6)[:20])
    read_folder(tmp_path)
    assert "2 of 2 files have damaged EXIF data" in capsys.readouterr().err


def test_cmyk_and_colour_profiles_are_reported(tmp_path, capsys):
    image = Image.fromarray(np.dstack([GREY] * 3))
    both(tmp_path, image.convert("CMYK"), "jpg")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    image.save(tmp_path / "2.png", icc_profile=profile)
    standard = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image.save(tmp_path / "3.png", icc_profile=standard)
    image.save(tmp_path / "4.png", icc_profile=b"nothing")
    read_folder(tmp_path)
    said = capsys.readouterr().err
    assert "2 of 5 files are in CMYK" in said
    assert said.count("colour profile (") == 2
    assert "1 of 5 files have a colour profile (damaged)" in said


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "tif", "webp", "bmp", "jp2", "avif"])
def test_damaged_files_are_named(tmp_path, suffix):
    """Any damage gives an error that names the file."""
    file = io.BytesIO()
    Image.init()
    Image.fromarray(np.dstack([GREY] * 3)).save(file, Image.EXTENSION[f".{suffix}"])
    whole, random = file.getvalue(), np.random.default_rng(0)
    (tmp_path / f"0.{suffix}").write_bytes(whole)
    refused = 0
    for _ in range(25):
        damaged = bytearray(whole)
        for place in random.integers(0, min(len(whole), 200), 4):
            damaged[place] = random.integers(256)
        (tmp_path / f"1.{suffix}").write_bytes(damaged)
        try:
            read_folder(tmp_path, size=4, frames="first")
        except InputError as error:
            assert f"1.{suffix}" in str(error)  # noqa: PT017
            refused += 1
    assert refused


def test_a_file_that_is_not_an_image_is_named(tmp_path):
    both(tmp_path, Image.fromarray(GREY), "png")
    (tmp_path / "2.png").write_text("<html>404</html>")
    with pytest.raises(InputError, match=r"2\.png: is not an image"):
        read_folder(tmp_path)
