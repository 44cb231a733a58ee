from __future__ import annotations

import pytest

from scoresweep.metric_names import metric_name, metric_title

STD = "standard deviation of the Inception Score over splits, antialiased resize"


@pytest.mark.parametrize(
    ("measure", "extractor", "name", "title"),
    [
        ("frechet", "inception", "fid", "FID"),
        ("frechet", "inception_half_pixel", "fid_half_pixel", "FID, half-pixel resize"),
        ("frechet", "inception_antialias", "fid_antialias", "FID, antialiased resize"),
        ("kid", "inception", "kid", "KID"),
        ("kid", "inception_antialias", "kid_antialias", "KID, antialiased resize"),
        ("inception_score", "inception", "inception_score", "Inception Score"),
        ("inception_score_std", "inception_antialias", "inception_score_std_antialias", STD),
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
    assert (metric_name(measure, extractor), metric_title(measure, extractor, "plain")) == (
        name,
        title,
    )


def test_extrapolated_fid_has_its_own_name() -> None:
    assert metric_name("frechet_infinity", "inception") == "fid_infinity"
    assert metric_name("frechet_infinity", "inception_half_pixel") == "fid_infinity_half_pixel"
    assert "extrapolated" in metric_title("frechet_infinity", "inception", "plain")
