"""The chosen training steps, as a table of the page."""

from __future__ import annotations

import pandas as pd

from scoresweep.pipeline.report.format import format_number
from scoresweep.pipeline.report.tables.best_steps import BEST_STEP, BEST_VALUE
from scoresweep.pipeline.study import Plan

__all__ = ["MAX_ROWS", "best_step_rows"]

MAX_ROWS = 100
"""Maximum number of choices that are listed."""


def best_step_rows(plan: Plan, wide: pd.DataFrame) -> list[dict[str, str]]:
    """Return a row for each chosen step: its value at the choice, and on fresh samples."""
    if BEST_STEP not in wide:
        return []
    settings, rows = plan.settings_by_id(), []
    for row in wide[wide[BEST_STEP].notna()].head(MAX_ROWS).to_dict("records"):
        sample = settings[row["setting"]].sample
        best = sample.best_step
        assert best is not None
        rows.append(
            {
                "name": f"{row['run']} / {row['setting']}",
                "step": format_number(row[BEST_STEP]),
                "measure": best.measure,
                "count": format_number(best.count),
                "chosen_by": format_number(row[BEST_VALUE]),
                "fresh_count": format_number(sample.count),
                "fresh": format_number(row[best.measure]) if best.measure in row else "–",
            }
        )
    return rows
