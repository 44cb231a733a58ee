"""Distributions of synthetic datasets, and their options."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scoresweep.distributions import SmoothedData
from scoresweep.metrics.shape_masks import SHAPES, masks
from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.data.exact_score import load_exact_score
from scoresweep.pipeline.data.sources.gaussian_mixture import draw_gaussian_mixture
from scoresweep.pipeline.data.sources.manifolds import draw_moons, draw_swiss_roll
from scoresweep.pipeline.data.sources.shapes import draw_shapes
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.rules.stage import stage
from scoresweep.pipeline.study import parse_study, plan_study

DRAWN = {
    "gaussian_mixture": draw_gaussian_mixture,
    "moons": draw_moons,
    "shapes": draw_shapes,
    "swiss_roll": draw_swiss_roll,
}


def plan_of(root, **dataset):
    content = {
        "study": "drawn",
        "dataset": dataset,
        "train": {
            "network": {"name": "mlp"},
            "noise": {"name": "explicit", "sigmas": [0.5]},
            "steps": 1,
        },
        "sample": {"sampler": {"name": "annealed_langevin", "step_size": 1e-5}},
        "evaluate": {"extractors": ["pixels"]},
    }
    return plan_study(parse_study(content, "drawn.yaml"), root)


def staged(root, **dataset):
    plan = plan_of(root, **dataset)
    name = plan.study.dataset[0].id
    stage(plan, name)
    return plan.paths.dataset_store(name)


@pytest.mark.parametrize("name", DRAWN)
def test_samples_are_a_function_of_the_seed(name):
    first, again, other = (
        DRAWN[name](train_count=300, test_count=300, seed=seed) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first.train.values, again.train.values)
    np.testing.assert_array_equal(first.test.values, again.test.values)
    longer = DRAWN[name](train_count=400, test_count=300, seed=3)
    np.testing.assert_array_equal(first.test.values, longer.test.values)
    rows = {row.tobytes() for row in first.train.values}
    for split in (first.test, other.train):
        assert len(split.values) == 300
        assert not rows & {row.tobytes() for row in split.values}


def test_a_mixture_has_its_weights_means_and_stds():
    weights, means, stds = [1.0, 3.0], [[-3.0, 1.0], [2.0, 0.0]], [0.5, 2.0]
    drawn = draw_gaussian_mixture(weights, means, stds, train_count=40_000)
    points, label = drawn.train.values.astype(np.float64), drawn.train.labels
    assert np.mean(label == 0) == pytest.approx(0.25, abs=4 * math.sqrt(0.1875 / 40_000))
    for k in range(2):
        mode = points[label == k]
        error = stds[k] / math.sqrt(len(mode))
        np.testing.assert_allclose(mode.mean(0), means[k], atol=4 * error)
        expected = stds[k] ** 2 * np.eye(2)
        np.testing.assert_allclose(np.cov(mode.T), expected, atol=6 * stds[k] * error)
    assert drawn.attributes["mixture"] == {"weights": [0.25, 0.75], "means": means, "stds": stds}


def test_the_default_mixture_in_more_dimensions():
    drawn = draw_gaussian_mixture(dimension=5, stds=0.01, train_count=4000)
    rounded = drawn.train.values.round()
    corners = {(a, b, 0.0, 0.0, 0.0) for a in (-3.0, 3.0) for b in (-3.0, 3.0)}
    assert {tuple(row.tolist()) for row in rounded} == corners
    assert drawn.attributes["mixture"]["weights"] == [0.25] * 4
    assert drawn.train.class_names == ["mode 1", "mode 2", "mode 3", "mode 4"]


@pytest.mark.parametrize("subset", [None, 20])
def test_exact_score_of_a_mixture(tmp_path, subset):
    options = {"weights": [0.1, 0.9], "means": [[-3.0], [3.0]], "stds": 1.0, "train_count": 100}
    store = staged(tmp_path, name="gaussian_mixture", subset=subset, **options)
    x, sigma = torch.linspace(-5, 5, 11, dtype=torch.float64)[:, None], 0.7
    variance = 1 + sigma**2

    def log_density(x):
        parts = [w * torch.exp(-((x - m) ** 2) / 2 / variance) for w, m in ((0.1, -3), (0.9, 3))]
        return torch.log(sum(parts) / math.sqrt(2 * math.pi * variance)).sum()

    levels = torch.full((11,), sigma, dtype=torch.float64)
    oracle = load_exact_score(store)
    assert float(oracle.log_density(x, levels).sum()) == pytest.approx(float(log_density(x)))
    torch.testing.assert_close(oracle(x, levels), torch.func.grad(log_density)(x))


def test_exact_score_of_other_data_is_the_smoothed_training_set(tmp_path):
    store = staged(tmp_path, name="moons", train_count=50, test_count=10)
    train = read_split(store, "train").model_space()
    x, sigma = torch.randn(5, 2), torch.full((5,), 0.3)
    assert torch.equal(load_exact_score(store)(x, sigma), SmoothedData(train)(x, sigma))


def test_shapes_are_uniform_noise_inside_their_masks():
    drawn = draw_shapes(train_count=2000).train
    where = masks().numpy()[drawn.labels]
    images = drawn.values[..., 0]
    assert images.shape == (2000, 28, 28)
    assert images.dtype == np.uint8
    assert not images[~where].any()
    inside = images[where].astype(np.float64)
    error = math.sqrt(65535 / 12 / len(inside))
    assert inside.mean() == pytest.approx(127.5, abs=4 * error)
    assert inside.var() == pytest.approx(65535 / 12, rel=0.01)
    assert (inside.min(), inside.max()) == (0, 255)
    assert drawn.class_names == list(SHAPES)
    assert drawn.model_space().max() == 1


def test_masks_have_the_areas_of_their_shapes():
    """Areas in units of half the image side, exact if the edges lie between pixels."""
    area = dict(zip(SHAPES, (masks().double().mean((1, 2)) * 4).tolist(), strict=True))
    assert area["bar"] == pytest.approx(6 * 22 / 14**2)
    assert area["square"] == pytest.approx(16 * 16 / 14**2)
    assert area["triangle"] == pytest.approx(1.5 * 1.5 / 2, rel=0.03)
    assert area["disc"] == pytest.approx(math.pi * 0.36, rel=0.03)
    assert area["circles"] == pytest.approx(math.pi * (0.81 - 0.49 + 0.25 - 0.09), rel=0.03)
    assert torch.equal(masks(), masks().flip(2))  # all are symmetric


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        (None, [200, 200, 200, 200, 200]),
        ({"triangle": 0.065, "circles": 0.065}, [65, 290, 65, 290, 290]),
        ({"triangle": 0.435, "circles": 0.435}, [435, 44, 435, 43, 43]),
        ({"disc": 1.0}, [0, 0, 0, 1000, 0]),
    ],
)
def test_shares_of_the_shapes_are_kept_to_the_sample(shares, expected):
    drawn = draw_shapes(shares, train_count=1000)
    assert np.bincount(drawn.train.labels, minlength=5).tolist() == expected
    assert (np.diff(drawn.train.labels) < 0).any() == (shares != {"disc": 1.0})  # shuffled


def test_moons_without_noise_are_half_circles():
    drawn = draw_moons(noise=0.0, train_count=500).train
    for label, centre, side in ((0, (0, 0), 1), (1, (1, 0.5), -1)):
        moon = drawn.values[drawn.labels == label] - np.array(centre, np.float32)
        np.testing.assert_allclose(np.hypot(*moon.T), 1, rtol=1e-5)
        assert (side * moon[:, 1] > -1e-6).all()
        assert len(moon) == 250


@pytest.mark.parametrize("dimension", [2, 3])
def test_a_swiss_roll_without_noise_is_a_spiral(dimension):
    points = draw_swiss_roll(dimension, noise=0.0, train_count=500).train.values.astype(np.float64)
    assert points.shape == (500, dimension)
    t = np.hypot(points[:, 0], points[:, -1])
    assert 1.5 * math.pi <= t.min() < t.max() <= 4.5 * math.pi
    np.testing.assert_allclose(points[:, 0], t * np.cos(t), atol=1e-4)
    np.testing.assert_allclose(points[:, -1], t * np.sin(t), atol=1e-4)
    if dimension == 3:
        assert 0 <= points[:, 1].min() < 1 < 20 < points[:, 1].max() <= 21


def test_noise_widens_the_moons():
    drawn = draw_moons(noise=0.2, train_count=20_000).train
    upper = drawn.values[drawn.labels == 0]
    middle = upper[np.abs(upper[:, 0]) < 0.1]  # at the top, where the radius is the height
    assert np.std(np.hypot(*middle.T)) == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "gaussian_mixture", "means": [[1.0], [1.0, 2.0]]}, "dimensions"),
        ({"name": "gaussian_mixture", "weights": [1.0]}, "as many weights as means, 4, found 1"),
        ({"name": "gaussian_mixture", "stds": [1.0, 2.0]}, "as many stds as means, 4, found 2"),
        ({"name": "gaussian_mixture", "dimension": 1}, "dimension of 2 or more, found 1"),
        ({"name": "shapes", "shares": {"disc": 0.7, "bar": 0.4}}, r"1 or less, found 1\.1"),
        ({"name": "shapes", "shares": dict.fromkeys(SHAPES, 0.1)}, r"1, found 0\.5"),
        ({"name": "shapes", "shares": {"disk": 0.5}}, r"shares\.disk.*disc"),
        ({"name": "swiss_roll", "dimension": 4}, "dimension: 4"),
    ],
)
def test_wrong_options_are_named(tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        plan_of(tmp_path, **options)


def test_ids_hash_the_options(tmp_path):
    ids = [
        plan_of(tmp_path, name="gaussian_mixture", **options).study.dataset[0].id
        for options in ({}, {"seed": 0}, {"seed": 1}, {"means": [[0.0]]}, {"train_count": 7})
    ]
    assert ids[0] == ids[1] == "gaussian_mixture"
    assert len(set(ids)) == 4


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"name": "gaussian_mixture"}, ((2,), 12_000)),
        ({"name": "gaussian_mixture", "means": [[1.0]], "test_count": 5}, ((1,), 10_005)),
        ({"name": "gaussian_mixture", "dimension": 7}, ((7,), 12_000)),
        ({"name": "shapes", "train_count": 30}, ((1, 28, 28), 1_030)),
        ({"name": "moons"}, ((2,), 12_000)),
        ({"name": "swiss_roll", "dimension": 3}, ((3,), 12_000)),
        ({"name": "digits"}, ((1, 8, 8), 1_797)),
    ],
)
def test_the_size_is_known_before_staging(tmp_path, options, size):
    assert plan_of(tmp_path, **options).study.dataset[0].known_size == size
    store = staged(tmp_path, **options)
    splits = [read_split(store, split) for split in ("train", "test")]
    assert (splits[0].shape, sum(len(split.values) for split in splits)) == size


def test_ism_of_too_many_dimensions_fails_in_the_plan(tmp_path):
    content = {
        "study": "large",
        "dataset": {"name": "gaussian_mixture", "dimension": 5000},
        "train": {
            "network": {"name": "mlp"},
            "objective": {"name": "ism"},
            "noise": {"name": "explicit", "sigmas": [0.5]},
            "steps": 1,
        },
        "sample": {"sampler": {"name": "annealed_langevin", "step_size": 1e-5}},
        "evaluate": {"extractors": ["pixels"]},
    }
    with pytest.raises(InputError, match=r"train\.objective: ism: .*5,000.*4,096"):
        plan_study(parse_study(content, "large.yaml"), tmp_path)
    content["train"]["objective"]["allow_large"] = True
    plan_study(parse_study(content, "large.yaml"), tmp_path)
