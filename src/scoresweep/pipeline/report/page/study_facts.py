"""The study: its size, its swept axes and its fixed options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scoresweep.pipeline.report.format import format_axes, format_value, humanize
from scoresweep.pipeline.report.tables.axes import unique_values
from scoresweep.pipeline.report.tables.halving_coordinates import COUNT
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.config import MethodConfig, label_of
from scoresweep.pipeline.study.grid import swept_paths
from scoresweep.pipeline.study.labels import block_labels
from scoresweep.pipeline.study.models import SampleBlock, TrainBlock
from scoresweep.pipeline.system.console import counted

__all__ = ["study_facts", "study_size"]

MAX_VALUES = 20
"""Maximum number of values of a swept axis that are listed."""


LABELLED = {
    "network": "train.network",
    "objective": "train.objective",
    "noise ladder": "train.noise",
    "sampler": "sample.sampler",
}
"""Paths of the blocks that may have a label."""


def study_size(plan: Plan) -> str:
    """Count networks, settings and datasets."""
    names = ", ".join(label_of(dataset) or dataset.id for dataset in plan.study.dataset)
    trained = sum(run.train.network.is_trained for run in plan.runs)
    networks = [
        counted(count, what)
        for count, what in ((trained, "trained network"), (len(plan.runs) - trained, "exact score"))
        if count
    ]
    settings = counted(len(plan.settings), "sampler setting")
    return f"{' and '.join(networks)} × {settings} on {names}."


def study_facts(plan: Plan, data: ReportData) -> list[tuple[str, str]]:
    """Return names and values of the swept axes, then of the fixed options."""
    swept: dict[str, list[Any]] = {axis: [] for axis in data.axes}
    points = [
        point.axes for group in (plan.runs, plan.settings, plan.evaluations) for point in group
    ]
    if plan.halving:
        swept[COUNT] = list(plan.counts)
    for point in points:
        for axis, value in point.items():
            swept[axis].append(value)
    axes = {
        f"swept: {humanize(axis)}": _listed(
            [
                _with_label(format_value(v), plan.labels.get(axis, {}).get(v))
                for v in unique_values(values).tolist()
            ]
        )
        for axis, values in swept.items()
    }
    train, sample = _with_swept(plan.study.train), _with_swept(plan.study.sample)
    fixed = {
        "network": _format_block(train["network"]),
        "objective": _format_block(train["objective"]),
        "noise ladder": _format_block(train["noise"]),
        "optimizer": _format_block(train["optimizer"]),
        "training": f"{train['steps']} steps of {train['batch_size']} samples, averaged weights "
        f"{train['ema']}, mixed precision {train['precision']}",
        "sampler": _format_block(sample["sampler"]),
        "samples": _counts(plan, sample["count"]),
    }
    labels = dict(block_labels(plan.study))
    for name, path in LABELLED.items():
        if fixed[name] != "swept":
            fixed[name] = _with_label(fixed[name], labels.get(path))
    return [*axes.items(), *fixed.items()]


def _with_label(text: str, label: str | None) -> str:
    return text if label is None else f"{label}: {text}"


def _counts(plan: Plan, count: Any) -> str:
    """Return how many samples of each setting are drawn."""
    if plan.halving is None:
        return "swept" if count == "swept" else f"{count} for each setting"
    first, *rest = (f"{count:,}" for count in plan.counts)
    return (
        f"{first} for each setting; {' and '.join(rest)} for those that go on, the best "
        f"{plan.halving.keep:.0%} by {plan.halving.measure}"
    )


def _listed(values: Sequence[str]) -> str:
    """List the values of an axis; if there are many, their number and the ends."""
    if len(values) <= MAX_VALUES:
        return ", ".join(values)
    return f"{len(values):,} values: {values[0]}, {values[1]}, …, {values[-1]}"


def _with_swept(block: TrainBlock | SampleBlock) -> dict[str, Any]:
    """Return a block with "swept" in place of every swept value, without unused options."""
    content = block.model_dump(mode="json")
    for path in swept_paths(block):
        *parents, last = path.split(".")
        part: Any = content
        for parent in parents:
            part = part[parent] if isinstance(part, dict) else None
        if isinstance(part, dict):
            part[last] = "swept"
    for key in type(block).model_fields:
        method = getattr(block, key)
        for option in method.unused if isinstance(method, MethodConfig) else ():
            other, _ = method.used_only_with[option]
            if isinstance(content[key], dict) and content[key][other] != "swept":
                del content[key][option]
    return content


def _format_block(block: dict[str, Any] | str) -> str:
    """Format a block: "geometric (sigma max 8, sigma min 0.05, levels 10)"."""
    if isinstance(block, str):
        return block
    rest = format_axes({key: value for key, value in block.items() if key != "name"})
    if "name" not in block:
        return rest
    return f"{block['name']} ({rest})" if rest else str(block["name"])
