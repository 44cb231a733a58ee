from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from measured_study import SIGMAS, make_plan, measure, real_digits
from scipy import stats
from tiny_study import give_data

from scoresweep.metrics import Features, frechet_distance
from scoresweep.metrics.extractors import classifier
from scoresweep.pipeline.data.dataset_store import read_split, write_store
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.data.store_manifest import manifest_path
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.evaluation.extractor_loading import make_extractor
from scoresweep.pipeline.evaluation.feature_sets import DatasetFacts, FeatureSets
from scoresweep.pipeline.evaluation.sample_metrics import measure_samples
from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.rules.score_error import score_error
from scoresweep.pipeline.study import Evaluate, Plan
from scoresweep.pipeline.study.methods.metrics import EXTRACTORS
from scoresweep.pipeline.training.weights import build_network, save_network


@pytest.fixture(scope="module")
def digits(staged: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with the staged digits and their features on both extractors.

    The classifier is trained for a few steps only.
    """
    root = tmp_path_factory.mktemp("evaluate")
    give_data(root, staged)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "STEPS", 60)
        for extractor in ("pixels", "classifier"):
            reference(make_plan(root, extractors=[extractor]), "digits", extractor)
        yield root


def save_zero_network(plan: Plan) -> None:
    """Save a network whose score is zero."""
    component = plan.runs[0].train.network
    network = build_network(component, (1, 8, 8), torch.tensor(SIGMAS))
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)
    path = plan.paths.weights(plan.runs[0].id)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_network(path, network, component)


def test_the_reference_holds_features_and_accuracy(digits: Path) -> None:
    layout = make_plan(digits).paths
    with xr.open_dataset(layout.reference("digits", "pixels"), engine="h5netcdf") as pixels:
        expected = real_digits(digits, "test").flatten(1).numpy()
        np.testing.assert_array_equal(pixels["test_features"], expected)
        assert pixels["train_features"].shape == (len(real_digits(digits, "train")), 64)
    assert not layout.extractor_weights("digits", "pixels").exists()
    with xr.open_dataset(layout.reference("digits", "classifier"), engine="h5netcdf") as learned:
        predicted = learned["test_probabilities"].values.argmax(1)
        labels = read_split(digits / "data" / "digits.zarr", "test").labels
        assert learned.attrs["test_accuracy"] == pytest.approx((predicted == labels).mean())
        assert learned.attrs["test_accuracy"] > 0.9


def test_metrics_of_real_digits(digits: Path) -> None:
    """Training digits as samples: copies are detected, real digits and noise are distinguished."""
    plan = make_plan(
        digits,
        metrics=["frechet", "frechet_infinity", "kid", "prdc", "nearest", "classes"],
        extractors=["pixels", "classifier"],
    )
    train, test = real_digits(digits, "train"), real_digits(digits, "test")
    found = measure(plan, train[:200])
    to_train = [
        frechet_distance(Features(train.flatten(1)), Features(x.flatten(1)))
        for x in (train[:200], test)
    ]
    # Digits have 17 grey levels; samples are stored with 256.
    assert float(found["frechet_pixels"]) == pytest.approx(to_train[0], abs=0.01)
    assert float(found["frechet_pixels_low"]) < to_train[0] < float(found["frechet_pixels_high"])
    assert float(found["frechet_infinity_pixels"]) < to_train[0]
    assert found["frechet_infinity_pixels"].attrs["note"].startswith("200 samples for 64 features")
    assert float(found["frechet_pixels_noise"]) == pytest.approx(9.9, abs=0.3)
    assert to_train[1] < float(found["frechet_pixels_real"]) < 0.3
    assert float(found["nearest_distance_pixels"]) < 0.03 < found["nearest_distance_pixels_real"]
    assert float(found["nearest_memorised_pixels"]) == 1
    assert float(found["nearest_memorised_pixels_real"]) < 0.05
    assert float(found["precision_classifier"]) > 0.8 > float(found["precision_classifier_noise"])
    assert float(found["class_share"].sum()) == pytest.approx(1)
    assert float(found["class_share"].sel({"class": "0"})) == pytest.approx(0.1, abs=0.05)
    assert float(found["class_confidence_noise"]) < 0.4 < float(found["class_confidence"])
    assert found["frechet_classifier"].attrs == {
        "long_name": "Fréchet distance",
        "units": "squared feature units",
        "better": "lower",
        "valid_min": 0.0,
        "extractor": "classifier",
        "n_real": len(train),
        "n_generated": 200,
        "resize": "none",
        "seed": 0,
    }
    assert "problems" not in found.attrs
    assert (found.attrs["device"], found.attrs["devices"]) == ("cpu", 1)
    assert found.attrs["seconds"] > 0
    assert found["precision_classifier_real"].attrs["n_real"] == 200
    assert "noise" in found["recall_pixels"].attrs["caveat"]
    assert not {"caveat", "valid_max"} & set(found["kid_pixels"].attrs)
    assert [found["coverage_pixels"].attrs[f"valid_{end}"] for end in ("min", "max")] == [0, 1]
    assert float(found["nearest_memorised_pixels_high"]) == 1
    assert found["recall_pixels_high"].attrs["long_name"] == "recall, high end of the 95 % interval"


def test_baselines_have_as_many_samples_as_were_generated(digits: Path) -> None:
    plan = make_plan(digits, metrics=["frechet"], extractors=["pixels"], resamplings=0)
    found = measure(plan, real_digits(digits, "train")[:60])
    for baseline in ("real", "noise"):
        about = found[f"frechet_pixels_{baseline}"].attrs
        assert about["n_generated"] == 60
        assert about["note"].startswith("60 samples for 64 features")
    assert float(found["frechet_pixels_real"]) == pytest.approx(
        float(found["frechet_pixels"]), rel=0.3
    )
    assert "frechet_pixels_low" not in found


def test_evaluation_grid_becomes_dimensions(digits: Path) -> None:
    plan = make_plan(
        digits,
        metrics=["prdc"],
        extractors=["pixels"],
        resamplings=0,
        grid={"neighbours": [2, 8], "seed": [0, 1]},
    )
    found = measure(plan, 0.7 * real_digits(digits, "test")[:80])
    assert found["recall_pixels"].sizes == {"neighbours": 2, "seed": 2}
    assert bool(
        (found["recall_pixels"].sel(neighbours=2) < found["recall_pixels"].sel(neighbours=8)).all()
    )


def test_score_error_of_a_zero_score(digits: Path) -> None:
    """s = 0: the error is the exact score itself, and the loss ½E|z|² = D/2."""
    plan = make_plan(digits)
    save_zero_network(plan)
    score_error(plan, plan.runs[0].id)
    path = plan.paths.score_error(plan.runs[0].id)
    with xr.open_dataset(path, engine="h5netcdf") as found:
        assert found["score_error"].sizes == {"split": 2, "level": 3}
        assert (found.attrs["device"], found.attrs["devices"]) == ("cpu", 1)
        assert found.attrs["seconds"] > 0
        np.testing.assert_allclose(found["sigma"], SIGMAS)
        np.testing.assert_allclose(found["score_error_relative"], 1, rtol=1e-6)
        np.testing.assert_allclose(found["score_cosine"], 0, atol=1e-6)
        assert (found["dsm_loss_low"] < 32).all()
        assert (found["dsm_loss_high"] > 32).all()
        small = found.sel(split="test", level=3)
        # A test digit is about one unit from the training set, so s* is about 1/σ².
        assert small["score_error_sigma2"] > 5 * found["score_error_sigma2"].sel(
            split="train", level=3
        )
        np.testing.assert_allclose(
            small["score_error_sigma2"], small["score_error"] * SIGMAS[2] ** 2, rtol=1e-6
        )


def test_score_error_must_be_among_the_metrics(digits: Path) -> None:
    plan = make_plan(digits, metrics=["frechet"])
    with pytest.raises(InputError, match=r"evaluate\.metrics .*score_error"):
        score_error(plan, plan.runs[0].id)


def test_score_error_along_trajectories(digits: Path) -> None:
    plan = make_plan(digits, metrics=["score_error"], grid={"seed": [0, 1]})
    save_zero_network(plan)
    frames = torch.rand(6, 3, 1, 8, 8)
    content = measure(plan, frames[:, -1], frames)
    assert content["level"].values.tolist() == [1, 2, 3]
    assert content["sigma"].dims == ("level",)
    np.testing.assert_allclose(content["sigma"], SIGMAS)
    found = content["path_score_error_sigma2"].sel(seed=1)
    assert found.attrs["paths"] == 6
    data = real_digits(digits, "train").flatten(1).double()
    for level, sigma in enumerate(SIGMAS):
        x = frames[:, level].flatten(1).double().requires_grad_()
        log_density = (-torch.cdist(x, data).square() / (2 * sigma**2)).logsumexp(dim=1)
        (exact,) = torch.autograd.grad(log_density.sum(), x)
        errors = (0.5 * sigma**2 * exact.square().sum(dim=1)).numpy()
        assert float(found[level]) == pytest.approx(errors.mean(), rel=1e-5)
        ends = stats.norm.interval(0.95, errors.mean(), stats.sem(errors))
        for end, expected in zip(("low", "high"), ends, strict=True):
            bound = content[f"path_score_error_sigma2_{end}"].sel(seed=0)[level]
            assert float(bound) == pytest.approx(expected, rel=1e-5)


def test_signal_to_noise_of_the_steps(digits: Path) -> None:
    content = measure(make_plan(digits, metrics=["frechet"]), torch.rand(6, 1, 8, 8))
    assert content["signal_to_noise"].dims == ("level",)
    expected = np.sqrt(np.array(SIGMAS) / 2)  # with step and score norm as in `write`
    np.testing.assert_allclose(content["signal_to_noise"], expected, rtol=1e-6)


@pytest.fixture
def points(tmp_path: Path) -> Plan:
    """A plan on two-dimensional points without labels."""
    path = tmp_path / "cloud.npy"
    path.touch()
    plan = make_plan(
        tmp_path, {"name": "array", "path": str(path)}, metrics=["frechet"], extractors=["pixels"]
    )
    draw = np.random.default_rng(0).normal
    splits = {name: Split(3 + draw(size=(80, 2)).astype(np.float32)) for name in ("train", "test")}
    write_store(plan.paths.dataset_store(plan.runs[0].dataset.id), splits, {})
    return plan


def test_points_without_labels(points: Plan) -> None:
    reference(points, points.runs[0].dataset.id, "pixels")
    found = measure(points, 3 + torch.randn(50, 2, generator=torch.Generator().manual_seed(0)))
    assert float(found["frechet_pixels"]) < 0.5
    # Noise fills the box of the points, so its mean is near theirs.
    assert 0.2 < float(found["frechet_pixels_noise"]) < 2


def test_samples_that_are_not_finite_are_named(points: Plan) -> None:
    """Their manifest is removed, so that they are drawn again."""
    samples = torch.zeros(600, 2)
    samples[[258, 259, 300, 599], 1] = torch.tensor([torch.nan, torch.inf, -torch.inf, torch.nan])
    run, setting = points.runs[0].id, points.settings[0].id
    message = rf"run {run}, setting \w+: 4 of 600 samples .*: 258, 259, 300, …; .*chunk 1"
    with pytest.raises(RunError, match=message):
        measure(points, samples)
    assert not points.paths.metrics(run, setting).exists()
    assert not manifest_path(points.paths.samples(run, points.settings[0].store)).exists()


def test_classifier_needs_images_and_labels() -> None:
    with pytest.raises(InputError, match=r"classifier on dataset points.*needs images"):
        make_extractor(EXTRACTORS["classifier"], Split(np.zeros((10, 2), np.float32)), "points")
    pictures = Split(np.zeros((10, 8, 8, 1), np.uint8), pixel_range=(0, 255))
    with pytest.raises(InputError, match="needs labels"):
        make_extractor(EXTRACTORS["classifier"], pictures, "pictures")


def test_a_metric_that_fails_is_skipped_and_named(
    digits: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Six samples are too few for 7 neighbours, and their halves for 5."""
    plan = make_plan(
        digits, metrics=["prdc", "frechet"], extractors=["pixels"], grid={"neighbours": [7, 5]}
    )
    found = measure(plan, torch.rand(6, 1, 8, 8))
    assert found["frechet_pixels"].notnull().all()
    assert found["frechet_pixels_low"].notnull().all()
    assert found["density_pixels"].isnull().values.tolist() == [False, True]
    assert {"precision_pixels_low", "density_pixels_low"} <= set(found)
    assert not {"recall_pixels_low", "coverage_pixels_low"} & set(found)
    problems = json.loads(found.attrs["problems"])
    assert list(problems) == ["prdc on pixels"]
    value, interval = problems["prdc on pixels"].split("; ")
    assert re.search(r"7 neighbours, found 6 real and 6 .*\(neighbours 7\)$", value)
    assert re.search(r"recall, coverage .*5 neighbours, found 3 .*\(neighbours 5\)$", interval)
    printed = capsys.readouterr().err
    assert f"prdc on pixels: {problems['prdc on pixels']}" in printed
    assert "sample.count" in printed


def test_a_baseline_that_fails_is_skipped(points: Plan) -> None:
    store = points.paths.dataset_store(points.runs[0].dataset.id)
    train, test = (read_split(store, split).model_space().numpy() for split in ("train", "test"))
    write_store(store, {"train": Split(train), "test": Split(test[:1])}, {})
    reference(points, points.runs[0].dataset.id, "pixels")
    found = measure(points, 3 + torch.randn(50, 2, generator=torch.Generator().manual_seed(0)))
    assert {"frechet_pixels", "frechet_pixels_low", "frechet_pixels_noise"} <= set(found.data_vars)
    assert "frechet_pixels_real" not in found
    reason = "of real test samples: a covariance needs 2 samples or more, found 80 and 1"
    assert json.loads(found.attrs["problems"]) == {"frechet on pixels": reason}


def test_non_finite_features_fail_only_their_extractor() -> None:
    draw = torch.randn(4, 40, 3, generator=torch.Generator().manual_seed(0))
    overflown = draw.clone()
    overflown[:, 5:7, 0] = torch.inf
    options = Evaluate(metrics=["frechet", "nearest"], extractors=["pixels", "classifier"])
    for place, name in enumerate(("real samples", "samples")):
        sets = {"pixels": FeatureSets(*(Features(x) for x in draw), resize="none")}
        features = [overflown[i] if i == place else draw[i] for i in range(4)]
        sets["classifier"] = FeatureSets(*(Features(x) for x in features), resize="none")
        found, problems = measure_samples(options, sets.__getitem__, DatasetFacts())
        reason = f"the features of 2 of 40 {name} are not finite"
        assert problems == {f"{metric} on classifier": reason for metric in ("frechet", "nearest")}
    assert {"frechet_pixels", "frechet_pixels_low", "nearest_memorised_pixels"} <= set(found)
    assert not [name for name in found if "classifier" in name]


def test_only_inception_features_give_fid() -> None:
    draw = torch.randn(4, 20, 3, generator=torch.Generator().manual_seed(0))
    sets = FeatureSets(*(Features(x) for x in draw), resize="tf1")
    metrics = ["frechet", "kid", "nearest"]
    options = Evaluate(metrics=metrics, extractors=["inception"], resamplings=2)
    found, _ = measure_samples(options, lambda _: sets, DatasetFacts())
    names = {"fid", "kid", "nearest_distance_inception", "nearest_memorised_inception"}
    assert names <= set(found)
    assert {"fid_low", "fid_real", "fid_noise", "kid_low", "kid_real"} <= set(found)
    assert not [name for name in found if "frechet" in str(name)]
    assert found["fid_real"].attrs["long_name"] == "FID, of real test samples"
    assert found["fid"].attrs["extractor"] == "inception"
    assert found["fid"].attrs["resize"] == "tf1"


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (1, {}, "1 sample; metrics need .* sample.count"),
        (5, {"metrics": ["prdc"]}, "prdc on pixels: .* 5 neighbours"),
        (50, {"metrics": ["classes"]}, "classes.* class probabilities"),
    ],
)
def test_nothing_is_written_if_every_metric_fails(
    digits: Path, count: int, options: dict[str, Any], message: str
) -> None:
    plan = make_plan(digits, extractors=["pixels"])
    metrics = plan.paths.metrics(plan.runs[0].id, plan.settings[0].id)
    metrics.unlink(missing_ok=True)  # another test may have measured the same setting

    def attempt() -> None:
        plan = make_plan(digits, extractors=["pixels"], **{"metrics": ["frechet"]} | options)
        measure(plan, torch.rand(count, 1, 8, 8))

    with pytest.raises(InputError, match=message):
        attempt()
    assert not metrics.exists()


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize("harm", [Path.unlink, damage])
@pytest.mark.parametrize("suffix", ["nc", "safetensors"])
def test_a_missing_or_damaged_reference_is_named(
    digits: Path, tmp_path: Path, suffix: str, harm: Callable[[Path], None]
) -> None:
    (tmp_path / "data").mkdir()
    for name in ("digits.zarr", "digits.json"):
        (tmp_path / "data" / name).symlink_to(digits / "data" / name)
    for name in ("nc", "safetensors"):
        file = Path("data") / f"digits.classifier.{name}"
        (tmp_path / file).write_bytes((digits / file).read_bytes())
    harm(tmp_path / "data" / f"digits.classifier.{suffix}")
    plan = make_plan(tmp_path, metrics=["frechet"])
    with pytest.raises(InputError, match=rf"digits\.classifier\.{suffix}: "):
        measure(plan, torch.rand(20, 1, 8, 8))
