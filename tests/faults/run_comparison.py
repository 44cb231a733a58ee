"""After every fault, the result must equal that of an undisturbed run, bit by bit.

Import it as `from faults.run_comparison import assert_same_run`.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
import xarray as xr
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

__all__ = ["assert_same_run", "curves", "history"]


def curves(folder: Path) -> xr.Dataset:
    """Return the curves of the run in `folder`, except its speed."""
    return xr.load_dataset(folder / "training.nc").drop_vars("images_per_second")


def history(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return what TensorBoard shows of the run in `folder`: (step, value) of each scalar."""
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})
    events.Reload()
    tags = [tag for tag in events.Tags()["scalars"] if not tag.startswith("speed/")]
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in tags}


def assert_same_run(folder: Path, undisturbed: Path) -> None:
    """Assert that two runs ended with the same weights and curves, bit by bit.

    TensorBoard has to show every point once, as it does of the undisturbed run, and nothing half
    written may be left.
    """
    ours, theirs = (load_file(f / "model.safetensors") for f in (folder, undisturbed))
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name
    xr.testing.assert_identical(curves(folder).drop_attrs(), curves(undisturbed).drop_attrs())
    shown, expected = history(folder), history(undisturbed)
    assert shown == expected
    points = curves(undisturbed)
    assert [step for step, _ in shown["loss/all_levels"]] == points.step.values.tolist()
    for (_, value), loss in zip(shown["loss/all_levels"], points.loss.values, strict=True):
        assert math.isclose(value, loss, rel_tol=1e-6)
    assert list(folder.rglob(".*.part")) == []
