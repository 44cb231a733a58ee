"""Check that published values are of something that a study has and measures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from scoresweep.pipeline.errors import did_you_mean, join_names
from scoresweep.pipeline.study.methods.method_names import explain_name
from scoresweep.pipeline.study.methods.metrics import ranking_measures
from scoresweep.pipeline.study.point import value_at
from scoresweep.pipeline.study.published import ABSENT, BLOCKS, Published, agrees, conditions
from scoresweep.pipeline.study.validation_errors import shorten

if TYPE_CHECKING:
    from scoresweep.pipeline.study.config import Config
    from scoresweep.pipeline.study.models import Evaluate
    from scoresweep.pipeline.study.plan import Plan

__all__ = ["LIKELIHOOD", "published_problems"]

LIKELIHOOD = "bits_per_dimension"

MAX_VALUES = 6
"""Number of values that an error lists."""


def published_problems(plan: Plan) -> Iterable[str]:
    """Yield what is wrong with the published values of a study."""
    if not plan.study.published:
        return
    blocks = _blocks(plan)
    dumped = {
        name: [each.model_dump(mode="json") for each in found] for name, found in blocks.items()
    }
    for index, entry in enumerate(plan.study.published):
        where = f"published[{index}]"
        problems = [
            problem
            for block, path, value in conditions(entry.at)
            for problem in _condition_problems(block, path, value, dumped)
        ]
        yield from (f"{where}.at.{problem}" for problem in problems)
        if not problems:
            yield from (f"{where}{problem}" for problem in _entry_problems(entry, plan))


def _blocks(plan: Plan) -> dict[str, Sequence[Config]]:
    """Return the points of each block of a study."""
    return {
        "dataset": plan.study.dataset,
        "train": [run.train for run in plan.runs],
        "sample": [setting.sample for setting in plan.settings],
        "evaluate": plan.evaluate_blocks,
    }


def _condition_problems(
    block: str, path: str, value: Any, dumped: dict[str, list[dict[str, Any]]]
) -> Iterable[str]:
    """Yield what is wrong with one entry of `at`."""
    name = f"{block}.{path}" if path else block
    if block not in BLOCKS:
        yield (
            f"{name}: expected a dotted path that begins with a block, one of "
            f"{', '.join(BLOCKS)}.{did_you_mean(block, BLOCKS)}"
        )
        return
    found = [value_at(content, path, ABSENT) for content in dumped[block]]
    if all(each is ABSENT for each in found):
        parent, _, last = path.rpartition(".")
        parents = [value_at(content, parent, {}) for content in dumped[block]]
        known = list(dict.fromkeys(k for each in parents if isinstance(each, dict) for k in each))
        options = f"; expected one of {', '.join(known)}" if known else ""
        yield f"{name}: the study has no such option.{did_you_mean(last, known)}{options}"
    elif not any(agrees(each, value) for each in found):
        if isinstance(value, dict):
            inner = ((f"{path}.{key}".lstrip("."), wanted) for key, wanted in value.items())
            parts = [p for at, v in inner for p in _condition_problems(block, at, v, dumped)]
            yield from parts or [f"{name}: {shorten(value)}: no part of the study has all of these"]
            return
        values = dict.fromkeys(shorten(each) for each in found if each is not ABSENT)
        text = " (text)" if isinstance(value, str) else ""
        yield (
            f"{name}: {shorten(value)}{text}: the study has no such value; expected one of "
            f"{join_names(values, MAX_VALUES)}"
        )


def _entry_problems(entry: Published, plan: Plan) -> Iterable[str]:
    """Yield what is wrong with an entry whose conditions are each met somewhere."""
    runs = [run for run in plan.runs if entry.is_of(dataset=run.dataset, train=run.train)]
    settings = [setting for setting in plan.settings if entry.is_of(sample=setting.sample)]
    evaluate = [each for each in plan.evaluate_blocks if entry.is_of(evaluate=each)]
    for found, name in ((runs, "run"), (settings, "setting"), (evaluate, "evaluation")):
        if not found:
            yield f".at: {shorten(entry.at)}: no {name} of the study has all of these options"
    measured = sorted({name for each in evaluate for name in _measures(each)})
    for name in entry.values if evaluate else ():
        if name not in measured:
            yield (
                f".{name}: expected a value that ranks settings and that the study measures, "
                f"{', '.join(measured) or 'of which there is none'}, or the keys source, protocol "
                f"and at.{explain_name(name, [*measured, *Published.model_fields])}"
            )


def _measures(evaluate: Evaluate) -> list[str]:
    """Return the names of the measures that may have a published value."""
    networks = [LIKELIHOOD] if LIKELIHOOD in evaluate.metrics else []
    return [*ranking_measures(evaluate.sample_metrics, evaluate.feature_extractors), *networks]
