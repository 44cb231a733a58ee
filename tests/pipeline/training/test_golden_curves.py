"""Recorded losses of tiny networks: if they change, so do the results of every training."""

import pytest
import xarray as xr
from faults.in_process import train_run

NETWORKS = {
    "mlp": {"width": 16, "blocks": 1},
    "ncsn": {"channels": 4},
    "ncsnv2": {"channels": 4},
    "unet": {"channels": 8, "multipliers": [1, 2], "blocks": 1, "attention": [8]},
}
# Mean loss of every ten steps of the tiny study's first seed, with batches of 16 digits.
GOLDEN = {
    "mlp": [15.0693558, 12.0064189, 12.6319536, 11.6236553, 10.6369308],
    "ncsn": [170.432389, 66.4522570],
    "ncsnv2": [32.5208745, 28.4025681],
    "unet": [12.4152548, 9.56416183],
}

pytestmark = pytest.mark.usefixtures("fresh_process")


@pytest.mark.parametrize("name", NETWORKS)
def test_training_gives_the_recorded_losses(make_plan, name):
    plan = make_plan(
        network={"name": name, **NETWORKS[name]},
        steps=10 * len(GOLDEN[name]),
        batch_size=16,
        log={"scalars": 10, "image_count": 0},
        grid={},
    )
    train_run(plan)
    with xr.open_dataset(plan.paths.training_curves(plan.runs[0].id)) as curves:
        losses = curves["loss"].values.tolist()
    # Two threads, or convolutions of another library, changed these by a relative 5e-5 at most.
    assert losses == pytest.approx(GOLDEN[name], rel=2e-4)
