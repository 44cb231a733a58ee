"""Ranges, layouts and precision of values."""

from __future__ import annotations

import numpy as np
import pytest

from scoresweep.pipeline.data.sources.arrays import read_array
from scoresweep.pipeline.errors import InputError

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (20, 6, 5, 3), np.uint8)


@pytest.fixture
def read(tmp_path):
    def save_and_read(values, **options):
        np.save(tmp_path / "a.npy", values)
        return read_array(tmp_path / "a.npy", **options)

    return save_and_read


def model_space(staged):
    parts = [split.model_space().numpy() for split in (staged.train, staged.test)]
    return sorted(row.tobytes() for row in np.concatenate(parts))


def expected(values):
    rows = np.ascontiguousarray(values.transpose(0, 3, 1, 2), np.float32)
    return sorted(row.tobytes() for row in rows)


@pytest.mark.parametrize(
    ("layout", "order"),
    [
        ("NHWC", (0, 1, 2, 3)),
        ("NCHW", (0, 3, 1, 2)),
        ("HWCN", (1, 2, 3, 0)),
        ("CHWN", (3, 1, 2, 0)),
    ],
)
def test_layouts_of_colour_images(read, layout, order):
    staged = read(IMAGES.transpose(order), layout=layout)
    assert model_space(staged) == model_space(read(IMAGES))


@pytest.mark.parametrize(("layout", "order"), [("NHW", (0, 1, 2)), ("HWN", (1, 2, 0))])
def test_layouts_of_grey_images(read, layout, order):
    staged = read(IMAGES[..., 0].transpose(order), layout=layout)
    assert model_space(staged) == model_space(read(IMAGES[..., :1]))


def test_layout_of_points(read):
    points = RANDOM.normal(size=(20, 3)).astype(np.float32)
    staged = read(points.T, layout="DN")
    both = np.concatenate([staged.train.values, staged.test.values])
    np.testing.assert_array_equal(np.sort(both, 0), np.sort(points, 0))


@pytest.mark.parametrize(
    "values",
    [
        IMAGES.transpose(0, 3, 1, 2),  # channels first
        IMAGES.transpose(1, 2, 3, 0),  # samples last
        np.zeros((64, 48, 3), np.uint8),  # one image
        np.zeros((64, 48, 4), np.uint8),
        np.zeros((3, 64, 48), np.uint8),
        np.zeros((28, 28, 500), np.uint8),
        np.zeros((20, 3, 5, 3), np.uint8),
    ],
)
def test_a_layout_for_an_ambiguous_shape(read, values):
    with pytest.raises(InputError, match=r"dataset\.layout: "):
        read(values)


@pytest.mark.parametrize(("layout", "axes"), [("NHW", 4), ("NHWC", 3)])
def test_a_layout_with_other_axes(read, layout, axes):
    with pytest.raises(InputError, match=rf"dataset\.layout: {layout} .*has {axes}"):
        read(IMAGES if axes == 4 else IMAGES[..., 0], layout=layout)


@pytest.mark.parametrize("channels", [2, 4])
def test_channels_other_than_grey_and_colour(read, channels):
    with pytest.raises(InputError, match=f"has {channels} channels"):
        read(np.zeros((20, 8, 8, channels), np.uint8), layout="NHWC")


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_float_images_with_a_stated_range(read, dtype):
    values = (RANDOM.random(IMAGES.shape) * 2 - 1).astype(dtype)
    staged = read(values, range=(-1.0, 1.0))
    assert model_space(staged) == expected((values.astype(np.float64) + 1) / 2)


@pytest.mark.parametrize(("dtype", "white"), [(np.uint16, 4095), (np.int32, 65535), (">u2", 1023)])
def test_high_bit_depth_of_integers_is_kept(read, dtype, white):
    values = RANDOM.integers(0, white + 1, IMAGES.shape).astype(dtype)
    staged = read(values, range=(0.0, float(white)))
    assert model_space(staged) == expected(values / white)


@pytest.mark.parametrize("dtype", [np.int64, np.float32, np.uint16])
def test_integers_from_0_to_255_are_stored_as_bytes(read, dtype):
    staged = read(IMAGES.astype(dtype), range=(0.0, 255.0))
    assert staged.train.values.dtype == np.uint8
    assert model_space(staged) == model_space(read(IMAGES))


def test_images_of_bool(read):
    staged = read(IMAGES > 99)
    assert model_space(staged) == expected(IMAGES > 99)


@pytest.mark.parametrize(
    "values",
    [
        IMAGES / 255,
        IMAGES.astype(np.int64),
        IMAGES.astype(np.uint16) * 16,
        (IMAGES > 99) * np.uint8(1),
    ],
)
def test_images_without_a_stated_range(read, values):
    with pytest.raises(InputError, match=r"dataset\.range: \["):
        read(values)


def test_values_outside_the_range(read):
    values = IMAGES / 255
    values[3, 0, 0, 0], values[5, 1, 1, 1] = 1.25, -0.5
    with pytest.raises(InputError, match=r": 2 values .*in 2 of 20 samples; the first is sample 3"):
        read(values, range=(0.0, 1.0))


@pytest.mark.parametrize("dtype", ["c8", "M8[s]", "U3", [("a", "f4"), ("b", "f4")]])
def test_types_that_are_not_numeric(read, dtype):
    with pytest.raises(InputError, match=r"a\.npy: .*plain numbers"):
        read(np.zeros((20, 5), dtype))


def test_beyond_float32(read):
    values = RANDOM.normal(size=(20, 3))
    values[7, 1] = 1e39
    with pytest.raises(InputError, match=r"feature 1 .* 1 values beyond .* sample 7"):
        read(values)


@pytest.mark.parametrize(
    "column",
    [
        1.7e9 + np.arange(40.0),  # Unix times, every second
        1e6 + RANDOM.normal(size=40),
        RANDOM.normal(size=40) * 1e-43,
    ],
)
def test_values_that_lose_precision_in_float32(read, column):
    values = np.stack([RANDOM.normal(size=40), column], 1)
    with pytest.raises(InputError, match=r"feature 1 of x .*float32"):
        read(values)
    centred = (column - column.mean()) / np.ptp(column)
    assert read(np.stack([values[:, 0], centred], 1)).train.shape == (2,)


@pytest.mark.parametrize(
    "column",
    [
        1.7e9 + np.arange(40.0) * 86_400,  # one day apart: float32 keeps four digits of the spread
        288 + RANDOM.normal(size=40),
        1.7e9 + np.arange(40.0) * 128,  # exact in float32
        np.full(40, 0.1),
        RANDOM.normal(size=40) * 1e-30,
    ],
)
def test_values_that_float32_represents(read, column):
    staged = read(np.stack([RANDOM.normal(size=40), column], 1))
    both = np.concatenate([staged.train.values[:, 1], staged.test.values[:, 1]])
    np.testing.assert_array_equal(np.sort(both), np.sort(column.astype(np.float32)))


@pytest.mark.parametrize("values", [np.arange(60).reshape(20, 3), np.zeros((20, 784), np.uint8)])
def test_points_that_are_integers(read, values):
    with pytest.raises(InputError, match="float"):
        read(values)


@pytest.mark.parametrize("shape", [(0, 5), (20, 0), (20, 0, 5), (20, 5, 5, 0), (0, 5, 5, 1)])
def test_an_empty_axis(read, shape):
    with pytest.raises(InputError, match=r"x \(.*empty"):
        read(np.zeros(shape), layout={2: "ND", 3: "NHW", 4: "NHWC"}[len(shape)])
