"""Whether samples have more pixels at the ends of the range than real images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from scoresweep.intervals import NORMAL_95
from scoresweep.pipeline.data.dataset_store import read_split
from scoresweep.pipeline.data.split import Split
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.report.tables.halving_coordinates import COUNT
from scoresweep.pipeline.report.tables.report_data import Finding
from scoresweep.pipeline.sampling.sample_store import read_samples
from scoresweep.pipeline.study import Plan

__all__ = ["clipped_pixels", "shares_at_ends"]

IMAGES = 1000
"""Maximum number of images that are counted."""

LEAST = 0.05
"""Additional share of pixels at the ends that counts as clipped."""


def shares_at_ends(images: Split) -> np.ndarray[Any, Any]:
    """Return the share of black or white values in each of the first images, (N,).

    The ends are those of 256 grey values, at which samples are stored: values outside were cut off.
    """
    assert images.pixel_range is not None
    low, high = images.pixel_range
    grey = np.rint((images.first(IMAGES).values.astype(np.float32) - low) * (255 / (high - low)))
    at_end = (grey <= 0) | (grey >= 255)
    return np.asarray(at_end.reshape(len(grey), -1).mean(axis=1))


def clipped_pixels(plan: Plan, row: pd.Series[Any]) -> Finding | None:
    """Warn if the share of values at the ends is 5 percentage points above that of test images.

    It is so at the lower end of the 95 % interval of the difference. Where real images are black,
    noise is cut off at only half of the values, so that there are fewer black ones and no warning.

    `row` is a measured setting. None if its samples or the test images are not there.
    """
    run, setting = plan.run(str(row["run"])), plan.setting(str(row["setting"]))
    count = int(row.get(COUNT, setting.sample.count))
    try:
        drawn = read_samples(plan.paths.samples(run.id, setting.store), count)
        real = read_split(plan.paths.dataset_store(run.dataset.id), "test")
    except InputError:
        return None
    if drawn.pixel_range is None or real.pixel_range is None:
        return None
    shares = [shares_at_ends(split) for split in (drawn, real)]
    if min(map(len, shares)) < 2:
        return None
    drawn_share, real_share = (float(share.mean()) for share in shares)
    half = NORMAL_95 * float(np.hypot(*(s.std(ddof=1) / np.sqrt(len(s)) for s in shares)))
    if drawn_share - real_share - half < LEAST:
        return None
    text = (
        f"Clipped: {100 * drawn_share:.3g} % of the pixels are black or white, but only "
        f"{100 * real_share:.3g} % of those of test images. Samples probably left the range of the "
        f"data and were cut off. Try a smaller step size, or `denoise: true`."
    )
    return Finding("clipped_pixels", text, {"drawn": drawn_share, "real": real_share})
