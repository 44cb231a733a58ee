"""Draw samples of the tiny study, and look at what was drawn."""

from __future__ import annotations

from typing import Any

import pytest
import xarray as xr
from torch import Tensor

from scoresweep.pipeline.rules.sample import sample
from scoresweep.pipeline.sampling import chunks as chunk_module
from scoresweep.pipeline.sampling.sampling_job import Devices, SamplingJob
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.job_state import JobState

__all__ = ["assert_same_samples", "draw", "note_chunks", "state_of"]


def draw(plan: Plan, run: int = 0, **devices: int) -> xr.Dataset:
    """Draw the samples of the first setting of a run; return the content of the store."""
    run_id, setting = plan.runs[run].id, plan.settings[0]
    sample(plan, run_id, setting.id, Devices(**devices))
    store = plan.paths.samples(run_id, setting.store)
    return xr.load_dataset(store, engine="zarr", consolidated=False)


def state_of(plan: Plan) -> JobState | None:
    """Return the state of drawing the first setting of the first run."""
    return JobState.read(plan.paths.samples_progress(plan.runs[0].id, plan.settings[0].store))


def assert_same_samples(ours: xr.Dataset, theirs: xr.Dataset) -> None:
    """Compare two stores, apart from the time that they took."""
    xr.testing.assert_identical(ours.assign_attrs(seconds=0), theirs.assign_attrs(seconds=0))


def note_chunks(monkeypatch: pytest.MonkeyPatch, stop_before: int | None = None) -> list[int]:
    """List the chunks that are drawn; raise `KeyboardInterrupt` before one of them."""
    chunks, draw_chunk = list[int](), chunk_module._draw_chunk

    def record(job: SamplingJob, chunk: int, *inputs: Any) -> dict[str, Tensor]:
        if chunk == stop_before:
            raise KeyboardInterrupt
        chunks.append(chunk)
        return draw_chunk(job, chunk, *inputs)

    monkeypatch.setattr(chunk_module, "_draw_chunk", record)
    return chunks
