"""Compiled networks give the same numbers; others are trained uncompiled."""

import functools

import pytest
import torch
import xarray as xr
from faults.in_process import train_run
from safetensors.torch import load_file

pytestmark = [
    pytest.mark.usefixtures("fresh_process"),
    # PyTorch's compiler uses deprecated functions of PyTorch.
    pytest.mark.filterwarnings("ignore:.torch.jit.script_method:DeprecationWarning"),
]

SHORT = {"steps": 10, "grid": {}, "log": {"scalars": 1, "images": 100}}


def weights(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.slow
def test_a_compiled_run_trains_like_an_uncompiled_one(make_plan, capsys):
    """With the real compiler and bf16, for which Accelerate also wraps the forward pass."""
    options = SHORT | {"precision": "bf16"}
    plain = train_run(make_plan("plain", **options))
    compiled = train_run(make_plan("compiled", **options, compile=True))
    assert "cannot be used" not in capsys.readouterr().err
    losses = [xr.load_dataset(folder / "training.nc")["loss"] for folder in (plain, compiled)]
    assert abs(losses[1] / losses[0] - 1).max() < 0.02


def test_a_network_that_cannot_be_compiled_is_trained_without(make_plan, capsys, monkeypatch):
    """Sliced score matching differentiates the score, which AOTAutograd cannot do twice.

    No machine code is made, which would take long: that comes after AOTAutograd.
    """
    without_code = functools.partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", without_code)
    options = SHORT | {"objective": {"name": "ssm"}}
    plain = train_run(make_plan("plain", **options))
    told = train_run(make_plan("told", **options, compile=True))
    lines = [line for line in capsys.readouterr().err.splitlines() if "compile" in line]
    assert len(lines) == 1
    assert "continuing without it: torch.compile with aot_autograd does not" in lines[0]
    for name, expected in weights(plain).items():
        assert torch.equal(weights(told)[name], expected), name
