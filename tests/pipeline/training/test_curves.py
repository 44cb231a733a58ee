import numpy as np
import torch
import xarray as xr

from scoresweep.pipeline.training.curves import CURVES, Curves, LossAccumulator, first_nonfinite

CPU = torch.device("cpu")
REST = {"gradient_norm": 3.0, "learning_rate": 0.1, "images_per_second": 200.0}


def filled():
    """Curves of two points: level 2 of the second was never drawn."""
    curves, sums = Curves([4.0, 2.0, 1.0]), LossAccumulator(4, 3, CPU)
    sums.add(0, torch.tensor([0, 1, 1, 2]), torch.tensor([1.0, 2.0, 4.0, 9.0]))
    curves.append(10, sums.sums, **REST)
    sums.reset()
    sums.add(0, torch.tensor([0, 2]), torch.tensor([5.0, 6.0]))
    sums.add(0, torch.tensor([2]), torch.tensor([7.0]))
    loss = curves.append(20, sums.sums, **REST)
    assert loss == 6.0
    return curves


def test_a_point_is_the_mean_over_samples_in_total_and_per_level():
    data = filled().dataset()
    assert data.step.values.tolist() == [10, 20]
    assert data.level.values.tolist() == [1, 2, 3]
    assert data.loss.values.tolist() == [4.0, 6.0]
    np.testing.assert_array_equal(data.level_loss, [[1, 3, 9], [5, np.nan, 6.5]])
    assert data.level_loss.dims == ("step", "level")
    assert data.sigma.values.tolist() == [4.0, 2.0, 1.0]
    for name, value in REST.items():
        assert data[name].values.tolist() == [value, value]


def test_every_variable_has_a_name_and_a_unit():
    data = filled().dataset()
    assert {*CURVES, "level_loss", "sigma"} == set(data.data_vars)
    for name in data.data_vars:
        assert set(data[name].attrs) == {"long_name", "units"}
    assert data.images_per_second.attrs["units"] == "samples/s"


def test_saved_curves_are_restored():
    curves = filled()
    again = Curves([4.0, 2.0, 1.0])
    again.load_state({name: value.clone() for name, value in curves.state().items()})
    xr.testing.assert_identical(again.dataset(), curves.dataset())
    again.append(30, torch.ones(2, 3), **REST)
    assert again.dataset().sizes == {"step": 3, "level": 3}


def test_curves_without_a_point_can_be_saved():
    again = Curves([4.0, 2.0])
    again.load_state(Curves([4.0, 2.0]).state())
    assert again.dataset().sizes == {"step": 0, "level": 2}


def test_losses_are_summed_in_float64_without_a_graph():
    sums = LossAccumulator(4, 1, CPU)
    losses = torch.full((1000,), 0.1, requires_grad=True)
    for _ in range(100):
        sums.add(0, torch.zeros(1000, dtype=torch.long), losses)
    assert not sums.sums.requires_grad
    np.testing.assert_allclose(sums.sums[0], 100_000 * float(np.float32(0.1)), rtol=1e-12)
    assert sums.sums[1].tolist() == [100_000]


def test_the_first_non_finite_step_and_its_levels_are_found():
    sums = LossAccumulator(4, 3, CPU)
    for step in range(4, 8):
        sums.begin(step)
        sums.add(step, torch.tensor([0, 1]), torch.tensor([1.0, 2.0]))
        sums.add(step, torch.tensor([2, 0]), torch.tensor([3.0, float("nan") if step > 5 else 4.0]))
    assert sums.steps[1].tolist() == [5.0, 2.0, 3.0]
    assert first_nonfinite(sums.steps) == (3, [1])
    sums.steps[1, 2] = float("inf")
    assert first_nonfinite(sums.steps) == (2, [3])
