"""Names of metrics and extractors in a study file, and what a wrong name may mean."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from scoresweep.metric_names import metric_name
from scoresweep.pipeline.errors import did_you_mean, join_names
from scoresweep.pipeline.study.methods.metrics import EXTRACTORS, METRICS, NETWORK_METRICS

__all__ = ["ExtractorName", "MetricName", "explain_name", "find_value", "name_of"]

SYNONYMS = {"is": "inception_score"}
"""Short names that the field uses, and the name of the value."""

UNRANKED = {"prdc": ("precision", "recall", "density"), "classes": ("class_share",)}
"""Values of metrics that do not rank settings."""


def name_of(*names: str) -> Any:
    """Return the type of a name in a list of methods; `{name: NAME}` is the same as NAME."""

    def plain(value: Any) -> Any:
        if isinstance(value, str):
            return value
        name = value.get("name") if isinstance(value, dict) else None
        if not isinstance(name, str):
            given = value.items() if isinstance(value, dict) else ()
            found = ", ".join(f"{key}: {each}" for key, each in given)
            raise ValueError(
                f"a name, or {{name: NAME, ...}} with options{found and f'; found {found}'}"
            )
        others = ", ".join(str(key) for key in value if key != "name")
        if name in names and others:
            raise ValueError(f"{name} without options; found {others}")
        if name not in names:
            raise ValueError(
                f"one of {', '.join(names)}; found {name!r}.{explain_name(name, names)}"
            )
        return name

    def check(value: str) -> str:
        if value not in names:
            raise ValueError(f"one of {', '.join(names)}.{explain_name(value, names)}")
        return value

    schema = WithJsonSchema({"enum": list(names), "type": "string"})
    return Annotated[str, BeforeValidator(plain), AfterValidator(check), schema]


def find_value(name: str) -> tuple[str, str] | None:
    """Return the metric and the extractor that give the value `name`; None if there is none.

    `fid` is `frechet` on `inception`. The extractor is "" if the metric needs none, or `name` none.
    """
    name = SYNONYMS.get(name.lower(), name.lower())
    values = [
        (metric, value)
        for metric in METRICS.values()
        for value in dict.fromkeys((metric.name, *metric.ranking, *UNRANKED.get(metric.name, ())))
    ]
    for metric, value in values:
        for extractor in () if metric.on_samples else EXTRACTORS:
            if name == metric_name(value, extractor):
                return metric.name, extractor
    return next(((metric.name, "") for metric, value in values if value == name), None)


def explain_name(name: str, names: Collection[str]) -> str:
    """Return what a name that is not one of `names` may mean, or "".

    `fid` is a value, not a metric; `frechet` is a metric, whose value on `inception` is `fid`.
    """
    called = [each for each in names if (found := find_value(each)) and found[0] == name]
    if called:
        return f" The value of {name} is called {join_names(called)}."
    if found := find_value(name):
        metric, extractor = found
        where = f" with evaluate.extractors: [{extractor}]" if extractor else ""
        return f" {name} is a value of evaluate.metrics: [{metric}]{where}."
    return did_you_mean(name, names)


MetricName = name_of(*NETWORK_METRICS, *METRICS)

ExtractorName = name_of(*EXTRACTORS)
