import numpy as np
import pytest
import torch

from scoresweep.noise import levels_by_technique_2
from scoresweep.pipeline.data.dataset_store import read_split, write_store
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.study.methods.noise import Explicit, Geometric, Karras
from scoresweep.pipeline.training import noise_levels
from scoresweep.pipeline.training.noise_levels import resolve_noise_levels, training_points

SQUARE = torch.tensor([[[[0.0, 0.0]]], [[[3.0, 0.0]]], [[[0.0, 4.0]]]])
"""Three images of two pixels, at most 5 apart."""


def unread():
    raise AssertionError("the data need not be read")


def test_given_numbers_are_not_changed():
    found = resolve_noise_levels(Explicit(name="explicit", sigmas=[4.0, 2.0, 0.5]), unread)
    assert found.dtype == torch.float64
    assert found.tolist() == [4.0, 2.0, 0.5]


@pytest.mark.parametrize(("rule", "largest"), [("max_distance", 5.0), ("max_rms", 5 / 2**0.5)])
def test_the_largest_level_is_measured_between_flattened_samples(rule, largest):
    component = Karras(name="karras", sigma_max=rule, sigma_min=0.5, levels=3)
    found = resolve_noise_levels(component, lambda: SQUARE)
    assert found[0] == pytest.approx(largest)
    assert found[-1] == 0.5


def test_the_number_of_levels_follows_from_the_dimension_of_a_sample():
    component = Geometric(name="geometric", sigma_max=8.0, sigma_min=0.1, levels="auto")
    points = torch.zeros(4, 3, 8, 8)
    assert len(resolve_noise_levels(component, lambda: points)) == levels_by_technique_2(
        8.0, 0.1, 192
    )


@pytest.mark.parametrize(
    ("component", "points", "reason"),
    [
        (
            Karras(name="karras", sigma_max="max_rms", sigma_min=9.0, levels=3),
            SQUARE,
            "sigma_min 9",
        ),
        (
            Geometric(name="geometric", sigma_max=8.0, sigma_min=0.1, levels="auto"),
            SQUARE,
            "'auto' needs data of 5 dimensions or more, found 2",
        ),
    ],
)
def test_a_ladder_that_does_not_fit_the_data_is_named(component, points, reason):
    with pytest.raises(InputError, match=r"noise: .*does not fit this dataset: .*" + reason):
        resolve_noise_levels(component, lambda: points)


def test_training_samples_are_read_once_each_in_model_space(staged):
    store = staged / "data" / "digits.zarr"
    found = training_points(store)
    wanted = read_split(store, "train").model_space()
    assert found.shape == wanted.shape == (1437, 1, 8, 8)
    order = [np.lexsort(x.flatten(1).numpy().T) for x in (found, wanted)]
    assert torch.equal(found[order[0]], wanted[order[1]])


def test_only_a_part_of_a_very_large_dataset_is_read(tmp_path, monkeypatch):
    points = np.arange(40, dtype=np.float32).reshape(20, 2)
    write_store(tmp_path / "many.zarr", {"train": Split(points)}, {})
    monkeypatch.setattr(noise_levels, "MAX_POINTS", 6)
    found = training_points(tmp_path / "many.zarr")
    assert found.shape == (6, 2)
    assert len(set(found[:, 0].tolist())) == 6
    assert set(found[:, 0].tolist()) <= set(points[:, 0].tolist())
