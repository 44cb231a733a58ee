"""Images with more than 8 bits per channel."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from written_images import png16, tiff

from scoresweep.pipeline.data.sources.folder import read_folder
from scoresweep.pipeline.errors import InputError

RANDOM = np.random.default_rng(0)


def deep(*shape, high=4096):
    return RANDOM.integers(0, high, shape).astype(np.uint16)


def saved(values, kind, **options):
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind, **options)
    return file.getvalue()


def netpbm(values):
    kind = 5 if values.ndim == 2 else 6
    return b"P%d 6 4 4095\n" % kind + values.astype(">u2").tobytes()


FILES = {
    "grey.png": (png16, (4, 6)),
    "colour.png": (png16, (4, 6, 3)),
    "grey.tif": (tiff, (4, 6)),
    "colour.tif": (tiff, (4, 6, 3)),
    "other_order.tif": (lambda values: tiff(values, ">"), (4, 6, 3)),
    "other_order_grey.tif": (lambda values: tiff(values, ">"), (4, 6)),
    "packed.tif": (lambda values: saved(values, "TIFF", compression="tiff_lzw"), (4, 6)),
    "integers.tif": (lambda values: saved(values.astype(np.int32), "TIFF"), (4, 6)),
    "floats.tif": (lambda values: saved(values.astype(np.float32), "TIFF"), (4, 6)),
}


def both(folder, encoded, name):
    for index, content in enumerate(encoded):
        (folder / f"{index}_{name}").write_bytes(content)


@pytest.mark.parametrize("name", FILES)
def test_high_bit_depth_is_kept(tmp_path, name):
    write, shape = FILES[name]
    values = deep(2, *shape)
    both(tmp_path, map(write, values), name)
    staged = read_folder(tmp_path, range=(0, 4095), test_fraction=0.5)
    expected = (values / 4095).astype(np.float32).reshape(2, 4, 6, -1)
    found = np.concatenate([staged.train.values, staged.test.values])
    assert staged.train.pixel_range == (0, 1)
    assert {image.tobytes() for image in found} == {image.tobytes() for image in expected}
    assert found.shape == expected.shape


@pytest.mark.parametrize("name", FILES)
def test_high_bit_depth_needs_a_range(tmp_path, name):
    write, shape = FILES[name]
    both(tmp_path, map(write, deep(2, *shape)), name)
    with pytest.raises(InputError, match=rf"0_{name}: .*more than 8 bits.*dataset\.range"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "encode", "shape"),
    [
        ("alpha.png", png16, (4, 6, 2)),
        ("inverted.tif", lambda values: tiff(values, photometric=0), (4, 6)),
        ("grey.pgm", netpbm, (4, 6)),
        ("colour.ppm", netpbm, (4, 6, 3)),
        ("grey.jp2", lambda values: saved(values, "JPEG2000"), (4, 6)),
        ("wide.sgi", lambda v: saved((v >> 8).astype(np.uint8), "SGI", bpc=2), (4, 6, 3)),
    ],
)
def test_bit_depths_that_pillow_truncates_are_refused(tmp_path, name, encode, shape):
    both(tmp_path, map(encode, deep(2, *shape)), name)
    with pytest.raises(InputError, match=rf"0_{name}: has more than 8 bits .*PNG or TIFF"):
        read_folder(tmp_path, range=(0, 4095))


def test_transparency_at_high_bit_depth(tmp_path):
    values = np.zeros((2, 2, 4), np.uint16)
    values[0, 0] = (4095, 0, 2048, 65535)
    both(tmp_path, [png16(values)] * 2, "a.png")
    found = read_folder(tmp_path, range=(0, 4095)).train.values[0]
    assert found[0, 0].tolist() == pytest.approx([1, 0, 2048 / 4095])
    assert (found.reshape(-1, 3)[1:] == 1).all()


def test_high_bit_depth_images_are_cropped_and_resized(tmp_path):
    # Far from black and white: 8 bits clip the overshoot of the filter after each direction.
    values = 64 + deep(2, 8, 12, 3, high=128)
    for kind, write in ((np.uint16, png16), (np.uint8, lambda image: saved(image, "PNG"))):
        (tmp_path / np.dtype(kind).name).mkdir()
        both(tmp_path / np.dtype(kind).name, map(write, values.astype(kind)), "a.png")
    exact = read_folder(tmp_path / "uint16", range=(0, 255), size=4).train.values
    rounded = read_folder(tmp_path / "uint8", size=4).train.values
    assert 0 <= exact.min() <= exact.max() <= 1
    assert np.abs(exact * 255 - rounded).max() <= 1


def test_grey_beside_colour_is_stored_in_colour(tmp_path):
    both(tmp_path, [png16(deep(4, 6)), png16(deep(4, 6, 3))], "a.png")
    staged = read_folder(tmp_path, range=(0, 4095), test_fraction=0.5)
    greys = [
        (image == image[..., :1]).all() for image in (*staged.train.values, *staged.test.values)
    ]
    assert sorted(greys) == [False, True]


@pytest.mark.parametrize("worst", [5000, np.nan, -1])
def test_values_outside_the_range_are_named(tmp_path, worst):
    values = deep(2, 4, 6).astype(np.float32)
    values[1, 0, 0] = worst
    both(tmp_path, [saved(image, "TIFF") for image in values], "a.tif")
    with pytest.raises(InputError, match=rf"1_a\.tif: .*{worst}.*\[0, 4095\]"):
        read_folder(tmp_path, range=(0, 4095))


def test_a_range_for_two_bit_depths_is_refused(tmp_path):
    both(tmp_path, [png16(deep(4, 6)), saved(np.zeros((4, 6), np.uint8), "PNG")], "a.png")
    with pytest.raises(InputError, match=r"1_a\.png.*0_a\.png"):
        read_folder(tmp_path, range=(0, 4095))


def test_a_range_scales_images_of_8_bits_too(tmp_path):
    values = RANDOM.integers(0, 16, (2, 4, 6, 3)).astype(np.uint8)
    both(tmp_path, [saved(image, "PNG") for image in values], "a.png")
    staged = read_folder(tmp_path, range=(0, 15), test_fraction=0.5)
    found = np.concatenate([staged.train.values, staged.test.values])
    assert {image.tobytes() for image in found} == {(image * 17).tobytes() for image in values}
