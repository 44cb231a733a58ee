"""The file of real features that all studies of a dataset share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from tiny_study import give_data

from scoresweep.data.store import read_split
from scoresweep.errors import InputError
from scoresweep.metrics import Features
from scoresweep.metrics.extractors.pixels import Pixels
from scoresweep.pipeline.reference import extract, read_reference, reference, uniform_noise
from scoresweep.study import Plan, parse_study, plan_study

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
        "evaluate": {"extractors": ["pixels"]} | evaluate,
    }
    return plan_study(parse_study(study, "study.yaml"), root)


@pytest.fixture(scope="module")
def root(staged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with references of all digits and of some of them."""
    folder = tmp_path_factory.mktemp("reference")
    give_data(folder, staged)
    reference(plan_of(folder), "digits", "pixels")
    reference(plan_of(folder, real_count=REAL_COUNT), "digits", "pixels")
    return folder


def test_moments_of_the_training_samples_are_known(root: Path) -> None:
    plan = plan_of(root)
    sets = read_reference(plan, plan.runs[0], "pixels")
    train = read_split(root / "data" / "digits.zarr", "train").model_space().flatten(1)
    assert torch.equal(sets["train"].values, train)
    assert sets["train"].moments is not None
    mean, factor = sets["train"].moments
    torch.testing.assert_close(mean, train.double().mean(dim=0))
    torch.testing.assert_close(factor.T @ factor, torch.cov(train.double().T))
    assert sets["train"].mean is mean
    assert sets["train"].covariance_factor is factor
    assert sets["train"][torch.arange(9)].moments is None


def test_noise_is_uniform_and_the_same_in_all_references(root: Path) -> None:
    train = read_split(root / "data" / "digits.zarr", "train")
    noise = uniform_noise(train, 1000)
    plan = plan_of(root)
    sets = read_reference(plan, plan.runs[0], "pixels")
    assert torch.equal(sets["noise"].values, noise.flatten(1))
    assert noise.shape == (1000, 1, 8, 8)
    assert 0 <= float(noise.amin()) < 0.01 < 0.99 < float(noise.amax()) <= 1
    assert float(noise.var()) == pytest.approx(1 / 12, rel=0.02)


def test_real_count_draws_some_once(root: Path) -> None:
    plan = plan_of(root, real_count=REAL_COUNT)
    path = plan.reference("digits", "pixels")
    assert path.name == "digits.pixels.70.nc"
    with xr.open_dataset(path, engine="h5netcdf") as file:
        some = file.load()
    path.unlink()
    reference(plan, "digits", "pixels")
    with xr.open_dataset(path, engine="h5netcdf") as again:
        xr.testing.assert_identical(some, again.load())
    for split in ("train", "test"):
        whole = read_split(root / "data" / "digits.zarr", split).model_space().flatten(1).numpy()
        rows = {row.tobytes() for row in whole}
        drawn = [row.tobytes() for row in some[f"{split}_features"].values]
        assert len(drawn) == len(set(drawn)) == REAL_COUNT
        assert rows.issuperset(drawn)
        assert drawn != [row.tobytes() for row in whole[:REAL_COUNT]]
    np.testing.assert_allclose(some["train_mean"], some["train_features"].mean("train_sample"))


def test_real_count_is_no_axis(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="real_count: outside grid, zip, include and exclude"):
        plan_of(tmp_path, grid={"real_count": [10, 20]})


def test_a_reference_of_an_older_version_is_to_be_made_again(root: Path, tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    made = plan.reference("digits", "pixels")
    made.parent.mkdir()
    with xr.open_dataset(plan_of(root).reference("digits", "pixels"), engine="h5netcdf") as file:
        file.load().drop_vars("train_mean").to_netcdf(made, engine="h5netcdf")
    with pytest.raises(InputError, match=r"train_mean.*`scoresweep reference STUDY` makes it"):
        read_reference(plan, plan.runs[0], "pixels")


def test_features_do_not_depend_on_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = torch.rand(10, 1, 3, 3)
    monkeypatch.setattr(Pixels, "batch_size", 4)
    found = extract(Pixels((1, 3, 3), 0), samples, "pixels")
    assert torch.equal(found.values, samples.flatten(1))
    assert found.probabilities is None


def test_features_are_joined_with_their_probabilities() -> None:
    parts = [Features(torch.rand(n, 3), torch.rand(n, 2)) for n in (2, 3)]
    joined = Features.join(parts)
    assert torch.equal(joined[torch.tensor([2, 3, 4])].values, parts[1].values)
    assert joined.probabilities is not None
    assert torch.equal(joined.probabilities[:2], parts[0].probabilities)
