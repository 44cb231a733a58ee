"""The file of real features, which all studies of a dataset share."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from tiny_study import give_data

from scoresweep.metrics import Features
from scoresweep.metrics.extractors import classifier
from scoresweep.metrics.extractors.extractor import Extractor
from scoresweep.metrics.extractors.pixels import Pixels
from scoresweep.pipeline.data.dataset_store import read_split, write_store
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.evaluation.extractor_loading import load_extractor
from scoresweep.pipeline.evaluation.real_features import (
    extract_features,
    read_reference,
    uniform_noise,
)
from scoresweep.pipeline.rules.reference import reference
from scoresweep.pipeline.study import Plan, parse_study, plan_study
from scoresweep.pipeline.system.locks import file_lock

REAL_COUNT = 70


def plan_of(root: Path, **evaluate: object) -> Plan:
    study = {
        "study": "referred",
        "dataset": {"name": "digits"},
        "train": {
            "network": {"name": "ncsnv2", "channels": 4},
            "noise": {"name": "explicit", "sigmas": [1.0, 0.1]},
            "steps": 1,
        },
        "sample": {"sampler": {"name": "annealed_langevin", "step_size": 1e-3}},
        "evaluate": {"extractors": ["pixels", "classifier"]} | evaluate,
    }
    return plan_study(parse_study(study, "study.yaml"), root)


@pytest.fixture(scope="module")
def root(staged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with features of all digits and of a subset."""
    folder = tmp_path_factory.mktemp("reference")
    give_data(folder, staged)
    reference(plan_of(folder), "digits", "pixels")
    reference(plan_of(folder, real_count=REAL_COUNT), "digits", "pixels")
    return folder


def test_the_file_holds_the_moments_of_the_training_features(root: Path) -> None:
    plan = plan_of(root)
    sets = read_reference(plan, "digits", "pixels")
    train = read_split(root / "data" / "digits.zarr", "train").model_space().flatten(1)
    assert torch.equal(sets["train"].values, train)
    assert sets["train"].moments is not None
    moments = sets["train"].moments
    mean, factor = moments.mean, moments.covariance_factor
    torch.testing.assert_close(mean, train.double().mean(dim=0))
    torch.testing.assert_close(factor.T @ factor, torch.cov(train.double().T))
    assert sets["train"].mean is mean
    assert sets["train"].covariance_factor is factor
    assert sets["train"][torch.arange(9)].moments is None


def test_noise_is_uniform_and_the_same_in_all_files(root: Path) -> None:
    train = read_split(root / "data" / "digits.zarr", "train")
    noise = uniform_noise(train, 1000)
    plan = plan_of(root)
    sets = read_reference(plan, "digits", "pixels")
    assert torch.equal(sets["noise"].values, noise.flatten(1))
    assert noise.shape == (1000, 1, 8, 8)
    assert 0 <= float(noise.amin()) < 0.01 < 0.99 < float(noise.amax()) <= 1
    assert float(noise.var()) == pytest.approx(1 / 12, rel=0.02)


def test_real_count_takes_a_fixed_random_subset(root: Path) -> None:
    plan = plan_of(root, real_count=REAL_COUNT)
    path = plan.reference("digits", "pixels")
    assert path.name == "digits.pixels.70.nc"
    with xr.open_dataset(path, engine="h5netcdf") as file:
        some = file.load()
    path.unlink()
    reference(plan, "digits", "pixels")
    with xr.open_dataset(path, engine="h5netcdf") as again:
        again.load()
    for found in (some, again):
        assert (found.attrs.pop("device"), found.attrs.pop("devices")) == ("cpu", 1)
        assert found.attrs.pop("seconds") > 0
    xr.testing.assert_identical(some, again)
    for split in ("train", "test"):
        whole = read_split(root / "data" / "digits.zarr", split).model_space().flatten(1).numpy()
        rows = {row.tobytes() for row in whole}
        subset = [row.tobytes() for row in some[f"{split}_features"].values]
        assert len(subset) == len(set(subset)) == REAL_COUNT
        assert rows.issuperset(subset)
        assert subset != [row.tobytes() for row in whole[:REAL_COUNT]]
    np.testing.assert_allclose(some["train_mean"], some["train_features"].mean("train_sample"))


def test_real_count_cannot_be_swept(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"evaluate: .*real_count"):
        plan_of(tmp_path, grid={"real_count": [10, 20]})


def test_a_missing_file_is_named_with_the_command_that_makes_it(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    with pytest.raises(InputError) as raised:
        read_reference(plan, "digits", "pixels")
    said = str(raised.value)
    assert str(plan.reference("digits", "pixels")) in said
    assert "scoresweep reference" in said
    assert "rrno" not in said


def test_a_file_of_an_older_version_must_be_computed_again(root: Path, tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    made = plan.reference("digits", "pixels")
    made.parent.mkdir()
    with xr.open_dataset(plan_of(root).reference("digits", "pixels"), engine="h5netcdf") as file:
        file.load().drop_vars("train_mean").to_netcdf(made, engine="h5netcdf")
    with pytest.raises(InputError, match=r"train_mean.*`scoresweep reference STUDY`"):
        read_reference(plan, "digits", "pixels")


def test_features_do_not_depend_on_the_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = torch.rand(10, 1, 3, 3)
    monkeypatch.setattr(Pixels, "batch_size", 4)
    found = extract_features(Pixels((1, 3, 3), 0), samples, "pixels")
    assert torch.equal(found.values, samples.flatten(1))
    assert found.probabilities is None


def test_features_are_joined_with_their_probabilities() -> None:
    parts = [Features(torch.rand(n, 3), torch.rand(n, 2)) for n in (2, 3)]
    joined = Features.join(parts)
    assert torch.equal(joined[torch.tensor([2, 3, 4])].values, parts[1].values)
    assert joined.probabilities is not None
    assert torch.equal(joined.probabilities[:2], parts[0].probabilities)


# ── Fitted weights ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def fitted(staged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the features of a briefly trained classifier."""
    monkeypatch.setattr(classifier, "STEPS", 20)
    give_data(tmp_path, staged)
    reference(plan_of(tmp_path), "digits", "classifier")
    return tmp_path


def use(plan: Plan) -> Extractor:
    """Load features and extractor as `evaluate` does."""
    read_reference(plan, "digits", "classifier")
    train = read_split(plan.paths.dataset_store("digits"), "train")
    return load_extractor(plan, "digits", "classifier", train)


def test_files_of_all_counts_share_the_extractor(
    fitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every, some = plan_of(fitted), plan_of(fitted, real_count=REAL_COUNT)
    weights = every.paths.extractor_weights("digits", "classifier")
    before = weights.read_bytes()
    # On another host, training might give other weights.
    monkeypatch.setattr(classifier, "derive_seed", lambda *_: 1)
    reference(some, "digits", "classifier")
    assert weights.read_bytes() == before
    use(some)
    test = read_split(every.paths.dataset_store("digits"), "test").model_space()
    expected = read_reference(every, "digits", "classifier")["test"].values
    torch.testing.assert_close(extract_features(use(every), test, "test").values, expected)


def test_two_processes_at_once_fit_one_extractor(
    fitted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(fitted)
    weights = plan.paths.extractor_weights("digits", "classifier")
    first = weights.read_bytes()
    weights.unlink()
    monkeypatch.setattr(classifier, "derive_seed", lambda *_: 1)
    second = threading.Thread(target=reference, args=(plan, "digits", "classifier"))
    with file_lock(weights.with_name(f".{weights.name}.lock")):
        second.start()
        while "another process does this already" not in capsys.readouterr().err:
            assert second.is_alive()
            time.sleep(0.05)
        weights.write_bytes(first)
    second.join(60)
    assert weights.read_bytes() == first
    use(plan)


def test_fitting_does_not_depend_on_the_number_of_threads(fitted: Path) -> None:
    plan = plan_of(fitted)
    weights = plan.paths.extractor_weights("digits", "classifier")
    before = weights.read_bytes()
    weights.unlink()
    torch.set_num_threads(2)
    try:
        reference(plan, "digits", "classifier")
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
    assert weights.read_bytes() == before


@pytest.mark.parametrize("number", ["LEARNING_RATE", "PROCEDURE"])
def test_a_changed_recipe_refits_the_extractor(
    fitted: Path, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    plan = plan_of(fitted)
    weights = plan.paths.extractor_weights("digits", "classifier")
    first = weights.read_bytes()
    monkeypatch.setattr(classifier, number, getattr(classifier, number) / 2)
    with pytest.raises(InputError, match=r"another recipe .*`scoresweep reference STUDY"):
        use(plan)
    reference(plan, "digits", "classifier")
    assert weights.read_bytes() != first
    use(plan)


def test_a_changed_dataset_refits_the_extractor(fitted: Path) -> None:
    every, some = plan_of(fitted), plan_of(fitted, real_count=REAL_COUNT)
    reference(some, "digits", "classifier")
    store = every.paths.dataset_store("digits")
    splits = {name: read_split(store, name) for name in ("train", "test")}
    values = splits["train"].values[::-1].copy()
    write_store(store, splits | {"train": replace(splits["train"], values=values)}, {})
    reference(every, "digits", "classifier")
    use(every)
    with pytest.raises(InputError, match=r"digits\.classifier\.70\.nc: .*SHA-256"):
        use(some)
    reference(some, "digits", "classifier")
    use(some)


@pytest.mark.parametrize("damage", ["altered", "cut short"])
def test_damaged_weights_are_refitted(fitted: Path, damage: str) -> None:
    plan = plan_of(fitted)
    weights = plan.paths.extractor_weights("digits", "classifier")
    before = weights.read_bytes()
    content = bytearray(before)
    content[-1000] ^= 1
    weights.write_bytes(content if damage == "altered" else content[:-1000])
    with pytest.raises(InputError, match=r"safetensors: .*`scoresweep reference STUDY`"):
        use(plan)
    reference(plan, "digits", "classifier")
    use(plan)
    assert weights.read_bytes() == before


@pytest.mark.parametrize("name", ["dataset", "extractor"])
def test_features_of_another_dataset_or_extractor_are_refused(
    root: Path, tmp_path: Path, name: str
) -> None:
    plan = plan_of(tmp_path)
    made = plan.reference("digits", "pixels")
    made.parent.mkdir()
    with xr.open_dataset(plan_of(root).reference("digits", "pixels"), engine="h5netcdf") as file:
        file.load().assign_attrs({name: "other"}).to_netcdf(made, engine="h5netcdf")
    with pytest.raises(InputError, match=f"its {name} is other, expected"):
        read_reference(plan, "digits", "pixels")
