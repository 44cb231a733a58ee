"""Read the samples of a setting to measure them; delete those that cannot be measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy.typing as npt
import torch
from torch import Tensor

from scoresweep.pipeline.data.store_manifest import manifest_path, num_held
from scoresweep.pipeline.errors import InputError, RunError
from scoresweep.pipeline.sampling.sample_store import (
    Trajectories,
    read_levels,
    read_samples,
    read_trajectories,
)
from scoresweep.pipeline.sampling.store_files import finish_replacement
from scoresweep.pipeline.study import Plan, Run, Setting
from scoresweep.pipeline.system.atomic_files import read_json
from scoresweep.pipeline.system.locks import file_lock

__all__ = ["DrawnSamples", "read_drawn"]

MAX_LISTED = 3
"""Maximum number of non-finite samples that an error lists."""


class DrawnSamples(NamedTuple):
    """The samples of a setting, and what was recorded while they were drawn."""

    samples: Tensor
    """In model space, (N, C, H, W) or (N, D)."""
    trajectories: Trajectories | None
    """None if they were not recorded."""
    levels: dict[str, npt.NDArray[Any]]
    """Diagnostics by name, (L,); none for samplers without Langevin steps."""


def read_drawn(plan: Plan, run: Run, setting: Setting) -> DrawnSamples:
    """Read the samples of a setting.

    Damaged or non-finite samples lose their manifest, so that the workflow draws them again. If
    another process replaces the store at this moment by a larger one, they are read again.

    Raises:
        InputError: if samples are missing, or there is only one.
        RunError: if they are damaged or not finite.
    """
    store = plan.paths.samples(run.id, setting.store)
    manifest, where = manifest_path(store), f"run {run.id}, setting {setting.id}"
    _check_drawn(store, setting)
    try:
        found = _read_store(store, setting)
    except (InputError, FileNotFoundError):
        with file_lock(plan.paths.samples_lock(run.id, setting.store)):
            finish_replacement(store)
            try:
                found = _read_store(store, setting)
            except (InputError, FileNotFoundError) as error:
                raise _discard(manifest, error) from error
    samples = found.samples
    try:
        _check_finite(samples, where, setting.sample.chunk)
    except RunError as error:
        raise _discard(manifest, error) from error
    if len(samples) < 2:
        raise InputError(
            f"{where}: {len(samples)} sample; metrics need at least 2. Raise sample.count."
        )
    return found


def _check_drawn(store: Path, setting: Setting) -> None:
    """Raise `InputError` if a store lacks samples of a setting."""
    manifest = manifest_path(store)
    if not manifest.exists():
        raise InputError(f"{store}: there are no samples here; draw them with `scoresweep sample`")
    held = num_held(read_json(manifest), setting.sample.count)
    if held < setting.sample.count:
        raise InputError(
            f"{store}: holds {held:,} of {setting.sample.count:,} samples; draw the others with "
            f"`scoresweep sample`"
        )


def _read_store(store: Path, setting: Setting) -> DrawnSamples:
    count, chunk = setting.sample.count, setting.sample.chunk
    samples = read_samples(store, count).model_space()
    trajectories = read_trajectories(store, count)
    levels = read_levels(store, -(-count // chunk)) if setting.sample.sampler.is_langevin else {}
    return DrawnSamples(samples, trajectories, levels)


def _discard(manifest: Path, error: Exception) -> RunError:
    """Delete the manifest of unusable samples; return the error."""
    manifest.unlink(missing_ok=True)
    return RunError(f"{error} Re-running the study also redraws them.")


def _check_finite(samples: Tensor, where: str, chunk: int) -> None:
    """Raise `RunError` with the indices of samples that are not finite."""
    bad = (~torch.isfinite(samples.flatten(1)).all(dim=1)).nonzero()[:, 0].tolist()
    if bad:
        first = ", ".join(str(index) for index in bad[:MAX_LISTED])
        first += ", …" * (len(bad) > MAX_LISTED)
        raise RunError(
            f"{where}: {len(bad)} of {len(samples)} samples are not finite (indices from 0: "
            f"{first}; the first in chunk {bad[0] // chunk}). No metric was computed. Draw the "
            f"samples again with `scoresweep sample`."
        )
