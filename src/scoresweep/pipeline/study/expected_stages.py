"""How many settings go on to each count of successive halving, before they are chosen."""

from __future__ import annotations

import math

from scoresweep.pipeline.study.axis_names import is_repeat
from scoresweep.pipeline.study.plan import Plan

__all__ = ["expected_stages", "number_kept"]


def expected_stages(plan: Plan) -> list[tuple[int, int]]:
    """Return each count of successive halving and about how many settings of a run go on to it.

    Settings that differ in a seed only go on together.
    """
    if not plan.halving:
        return []
    points = {str({a: v for a, v in s.axes.items() if not is_repeat(a)}) for s in plan.settings}
    stages, number, repeats = [], len(points), len(plan.settings) / len(points)
    for count in plan.counts:
        stages.append((count, round(number * repeats)))
        number = number_kept(number, plan.halving.keep)
    return stages


def number_kept(number: int, keep: float) -> int:
    """Return how many of `number` go on in successive halving: the share `keep`, rounded up."""
    return max(1, math.ceil(round(keep * number, 9)))  # 0.1 · 30 is 3, not 4
