"""Masks for in-painting."""

from __future__ import annotations

import pytest

from scoresweep.samplers import inpainting_mask


@pytest.mark.parametrize(
    ("hidden", "rows"),
    [
        ("right_half", ["##..", "##..", "##..", "##.."]),
        ("lower_half", ["####", "####", "....", "...."]),
        ("centre", ["####", "#..#", "#..#", "####"]),
    ],
)
def test_the_hidden_part_of_an_image(hidden, rows):
    mask = inpainting_mask(hidden, (3, 4, 4))
    expected = [[place == "#" for place in row] for row in rows]
    assert mask.tolist() == [expected] * 3


def test_the_hidden_part_of_a_point():
    assert inpainting_mask("right_half", (5,)).tolist() == [True, True, False, False, False]
    with pytest.raises(ValueError, match=r"'centre' .* 'right_half'"):
        inpainting_mask("centre", (4,))
