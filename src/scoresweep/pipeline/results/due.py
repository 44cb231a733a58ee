"""Which jobs the next `snakemake` runs because something that they use is made again."""

from __future__ import annotations

import contextlib

from scoresweep.pipeline.results.made_by import Kind, other_code
from scoresweep.pipeline.results.result import Results
from scoresweep.pipeline.results.states import is_imported
from scoresweep.pipeline.study import Plan

__all__ = ["compare_code", "follow"]

KINDS: dict[str, Kind] = {
    "stage": "data",
    "reference": "features",
    "train": "networks",
    "score_error": "score_error",
    "sample": "samples",
    "evaluate": "metrics",
}
"""Which code makes the results of a rule."""


def compare_code(plan: Plan, results: Results) -> None:
    """Find the results that other code has made; imported networks cannot be made again."""
    for (rule, *ids), result in results.found.items():
        is_there = result.state == "done" and rule != "report"
        if not is_there or (rule == "train" and is_imported(plan.paths, ids[0])):
            continue
        kind = KINDS[rule]
        record = plan.paths.provenance(ids[0]) if rule == "train" else result.output
        with contextlib.suppress(FileNotFoundError):  # a network without its provenance
            result.other_code = other_code(record, kind)
        # What data staged by other code change is known once they are staged again.
        if result.other_code and rule != "stage":
            result.state, result.reason = "outdated", result.other_code


def follow(plan: Plan, results: Results) -> None:
    """Find the jobs that are due because something that they use is made again.

    Data and features that are missing are made only if a job needs them; finished results do not.
    """
    found, needed = results.found, set[str]()
    for run in plan.runs:
        data = found["stage", run.dataset.id]
        changing = data.state == "outdated", "its data changed"
        network = found["train", run.id]
        if not (changing[0] and is_imported(plan.paths, run.id)):
            network.follow(changing)
        retrained = network.is_due, "its network is trained again"
        mine = [network]
        if plan.measures_score_error:
            error = found["score_error", run.id]
            error.follow(retrained, changing)
            mine.append(error)
        for setting in plan.settings:
            samples = found["sample", run.id, setting.id]
            metrics = found["evaluate", run.id, setting.id]
            samples.follow(retrained)
            metrics.follow((samples.is_due, "its samples are drawn again"), changing)
            mine += [samples, metrics]
        if any(result.is_due for result in mine):
            needed.add(run.dataset.id)
        if any(result.is_due for result in mine if result.rule == "evaluate"):
            for extractor in plan.extractors:
                found["reference", run.dataset.id, extractor].follow(changing)
    for dataset in plan.study.dataset:
        data = found["stage", dataset.id]
        data.is_due = data.state == "outdated" or (data.state != "done" and dataset.id in needed)
        if data.other_code and not data.is_due:
            data.is_due, data.reason = True, data.other_code
