"""Cached values of the real samples do not change results."""

from __future__ import annotations

import importlib

import pytest
import torch

from scoresweep.metrics import (
    Features,
    Metric,
    Options,
    energy,
    frechet,
    mmd,
    prdc,
    sliced_wasserstein,
)


@pytest.mark.parametrize("metric", [energy, frechet, mmd, prdc, sliced_wasserstein])
def test_cached_real_samples_give_the_same_result(
    metric: Metric, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vary samples, their number, neighbours and seeds in turn."""
    for name in ("energy", "mmd", "sliced_wasserstein"):
        monkeypatch.setattr(
            importlib.import_module(f"scoresweep.metrics.{name}"), "MAX_SAMPLES", 40
        )
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(100, 3, generator=draw)
    used, found = Features(values), set()
    for count, options in (
        (30, Options()),
        (20, Options()),
        (30, Options(neighbours=3)),
        (30, Options(seed=1)),
    ):
        generated = Features(1.2 * torch.randn(count, 3, generator=draw))
        again, fresh = (metric(real, generated, options) for real in (used, Features(values)))
        assert again == fresh
        found.add(str(again))
    assert len(found) == 4
