"""Data that cannot be staged, found before anything runs."""

from __future__ import annotations

from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.results.result import Results
from scoresweep.pipeline.study import Plan

__all__ = ["check_sources"]


def check_sources(plan: Plan, results: Results) -> None:
    """Raise `InputError` naming the datasets that are to be staged and cannot be.

    The files of a dataset whose staged store is complete and up to date are not needed.
    """
    due = [dataset for dataset in plan.study.dataset if results["stage", dataset.id].is_due]
    if not due:
        return
    from scoresweep.pipeline.data.source_files import check_source  # imports numpy

    problems = []
    for dataset in due:
        try:
            check_source(dataset)
        except InputError as error:
            problems.append(str(error))
    if problems:
        raise InputError("\n".join(problems))
