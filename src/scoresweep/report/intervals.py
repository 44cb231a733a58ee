"""The 95 % confidence interval of a mean over repeats.

For n repeats with mean m and sample standard deviation s, Student's interval is m ± t · s / √n with
t the 97.5 % quantile of the t distribution with n − 1 degrees of freedom (Student 1908). It is
honest for few repeats: two seeds give a wide interval.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

__all__ = ["half_width"]


def half_width(deviation: npt.ArrayLike, n: npt.ArrayLike) -> np.ndarray[Any, Any]:
    """Return half of Student's 95 % interval of means of `n` values, of the shape of the arguments.

    `deviation` is their sample standard deviation (the one that divides by n − 1). Fewer than two
    values have no interval: NaN.
    """
    count = np.asarray(n, dtype=np.float64)
    freedom = np.where(count > 1, count - 1, np.nan)
    return np.asarray(stats.t.ppf(0.975, freedom) * np.asarray(deviation) / np.sqrt(count))
