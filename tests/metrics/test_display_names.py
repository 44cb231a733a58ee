from __future__ import annotations

import pytest

from scoresweep.metrics.display_names import name_of, title_of


@pytest.mark.parametrize(
    ("measure", "extractor", "name", "title"),
    [
        ("frechet", "inception", "fid", "FID"),
        ("frechet", "inception_half_pixel", "fid_half_pixel", "FID, half-pixel resize"),
        ("frechet", "inception_antialias", "fid_antialias", "FID, antialiased resize"),
        ("kid", "inception", "kid", "KID"),
        ("kid", "inception_antialias", "kid_antialias", "KID, antialiased resize"),
        ("frechet", "efficientnet_lite0", "frechet_efficientnet_lite0", "plain"),
        ("frechet", "pixels", "frechet_pixels", "plain"),
        ("frechet_infinity", "classifier", "frechet_infinity_classifier", "plain"),
        ("kid", "classifier", "kid_classifier", "plain"),
        ("precision", "inception", "precision_inception", "plain"),
    ],
)
def test_only_inception_features_give_an_fid(
    measure: str, extractor: str, name: str, title: str
) -> None:
    assert (name_of(measure, extractor), title_of(measure, extractor, "plain")) == (name, title)


def test_the_extrapolated_one_says_so() -> None:
    assert name_of("frechet_infinity", "inception") == "fid_infinity"
    assert name_of("frechet_infinity", "inception_half_pixel") == "fid_infinity_half_pixel"
    assert "extrapolated" in title_of("frechet_infinity", "inception", "plain")
