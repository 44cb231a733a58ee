"""Command `status`: show the state of each run and setting once, again and again, or as JSON."""

from __future__ import annotations

import sys
from pathlib import Path

from scoresweep.pipeline.commands.progress.status_table import status
from scoresweep.pipeline.commands.progress.study_status import check_is_here, read_status
from scoresweep.pipeline.study import Plan

__all__ = ["run_status"]


def run_status(
    plan: Plan, study: Path, *, watch: float | None = None, as_json: bool = False
) -> None:
    """Show the state of the study in the file `study` once, or every `watch` seconds.

    With `as_json`, print one JSON object. Raises `InputError` if the study is in another folder.
    """
    check_is_here(plan, study)
    if as_json:
        from scoresweep.pipeline.commands.json_output.status_json import status_object

        sys.stdout.write(status_object(read_status(plan)).model_dump_json(indent=1) + "\n")
    elif watch is None:
        status(plan)
    else:
        from scoresweep.pipeline.commands.progress.watch import watch_status

        watch_status(plan, watch)
