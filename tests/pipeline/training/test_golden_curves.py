"""Recorded losses of tiny networks: a change here is a change of what training gives."""

import pytest
import xarray as xr
from faults.here import train_run

NETWORKS = {
    "mlp": {"width": 16, "blocks": 1},
    "ncsn": {"channels": 4},
    "ncsnv2": {"channels": 4},
    "unet": {"channels": 8, "multipliers": [1, 2], "blocks": 1, "attention": [8]},
}
# Mean loss of each ten of fifty steps of the tiny study's first seed, with 16 digits a step.
GOLDEN = {
    "mlp": [15.0693558, 12.0064189, 12.6319536, 11.6236553, 10.6369308],
    "ncsn": [170.432389, 66.4522570, 45.9017643, 38.2833158, 37.9396900],
    "ncsnv2": [32.5208745, 28.4025681, 24.7546890, 21.9116474, 18.4315034],
    "unet": [12.4152548, 9.56416183, 9.85649155, 9.03338620, 8.02358609],
}

pytestmark = pytest.mark.usefixtures("fresh_process")


@pytest.mark.parametrize("name", NETWORKS)
def test_fifty_steps_give_the_recorded_losses_twice(make_plan, name):
    curves = []
    for folder in ("first", "second"):
        plan = make_plan(
            folder,
            network={"name": name, **NETWORKS[name]},
            steps=50,
            batch_size=16,
            log={"scalars": 10, "image_count": 0},
            grid={},
        )
        train_run(plan)
        with xr.open_dataset(plan.paths.training_curves(plan.runs[0].id)) as found:
            curves.append(found["loss"].values.tolist())
    assert curves[0] == curves[1]
    # Two threads, or convolutions of another library, moved these by 5e-5 of themselves at most.
    assert curves[0] == pytest.approx(GOLDEN[name], rel=2e-4)
