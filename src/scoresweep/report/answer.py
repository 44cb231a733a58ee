"""What a study answers: the best setting, how far the next is, what is to blame for the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from scoresweep.report.intervals import half_width
from scoresweep.report.pictures import is_apart
from scoresweep.report.summary import (
    Metric,
    best,
    configurations,
    coordinate,
    describe,
    interval,
    is_repeat,
    number,
    summarise,
    words,
)
from scoresweep.report.tables import Tables
from scoresweep.study import Plan

__all__ = [
    "Top",
    "answers",
    "apart_axes",
    "edge",
    "interval_note",
    "rivals",
    "some_repeats",
    "tops",
    "varied_axes",
]

ANSWERS = 6
"""Most answers written out, one for each dataset and point of the evaluation grid."""


class Top(NamedTuple):
    """The best configuration of a dataset and point of the evaluation grid."""

    row: pd.Series[Any]
    """Its row of `summarise`."""
    where: str
    """Which it is, in words."""
    part: pd.DataFrame
    """The measured rows that it was found among."""
    most: int
    """Of how many repeats the value of a configuration is at most."""


def apart_axes(tables: Tables) -> list[str]:
    """Return the axes whose values cannot be compared: each has a best setting of its own."""
    return [axis for axis in tables.axes if is_apart(tables, axis)]


def varied_axes(tables: Tables) -> list[str]:
    """Return the axes whose values make a configuration: all but repeats."""
    return [axis for axis in tables.axes if not is_repeat(axis)]


def tops(tables: Tables, wide: pd.DataFrame, metric: Metric) -> Iterator[Top]:
    """Yield the best configuration of each dataset and point of the evaluation grid."""
    measured, axes = wide[wide[metric.name].notna()], varied_axes(tables)
    for key, part in configurations(measured, apart_axes(tables)):
        summary = summarise(part, metric, axes)
        if summary.empty:
            continue
        top = best(summary, metric)
        if len(summary) > 1 and summary["mean"].nunique() == 1:
            same = describe(dict(zip(apart_axes(tables), key, strict=True)))
            where = ", ".join(part for part in (same, "all settings alike") if part)
        else:
            told = [a for a in axes if a in apart_axes(tables) or measured[a].nunique() > 1]
            where = describe({axis: top[axis] for axis in told}) or "the only setting"
            alike = int((summary["mean"] == top["mean"]).sum()) - 1
            where += f" (and {alike:,} more alike)" if alike else ""
        yield Top(top, where, part, int(summary["n"].max()))


def some_repeats(n: float, most: int) -> str:
    """Return "1 of 2 seeds" where a value is of fewer than others are; "" else."""
    return f"{n:.0f} of {most} seeds" if n < most else ""


def rivals(part: pd.DataFrame, metric: Metric, axes: Sequence[str]) -> pd.DataFrame:
    """Return all configurations, the best first, and how much worse than it each of them is.

    Beside the columns of `summarise` there are `gap`, the difference to the best, `gap_low` and
    `gap_high`, its 95 % interval, and `pairs`, from how many seeds it is. Of two seeds or more that
    both have, the differences seed by seed have Student's interval. Else the errors of the two
    single measurements are taken as independent: their intervals' half widths add as squares.
    """
    part = part[part[metric.name].notna()]
    summary = summarise(part, metric, axes)
    sign = 1 if metric.better == "lower" else -1
    top = int((sign * summary["mean"]).argmin())
    half = _half(summary, metric)
    table = summary.assign(gap=sign * (summary["mean"] - summary["mean"].iloc[top]), pairs=1)
    single = (table["n"] == 1) & (table["n"][top] == 1)
    half = np.where(single, np.hypot(half, half[top]), np.nan)
    repeats = [axis for axis in part if is_repeat(str(axis))]
    if repeats and axes:
        by_repeat = part.assign(_repeat=part.groupby(repeats).ngroup())
        values = by_repeat.groupby([*axes, "_repeat"])[metric.name].mean().unstack("_repeat")
        # Both have the configurations in rising order.
        apart = sign * (values.to_numpy() - values.to_numpy()[top])
        pairs = np.isfinite(apart).sum(axis=1)
        several = pairs > 1
        found = pd.DataFrame(apart)
        table["pairs"] = np.where(several, pairs, 1)
        table["gap"] = np.where(several, found.mean(axis=1), table["gap"])
        half = np.where(several, half_width(found.std(axis=1), pairs), half)
    table["gap_low"], table["gap_high"] = table["gap"] - half, table["gap"] + half
    order = (sign * table["mean"]).sort_values(kind="stable").index
    return table.loc[order].reset_index(drop=True)


def _half(summary: pd.DataFrame, metric: Metric) -> np.ndarray[Any, Any]:
    """Return the half widths that `bounded_interval` has made the intervals of."""
    low, high = summary["low"].to_numpy(dtype=float), summary["high"].to_numpy(dtype=float)
    mean = summary["mean"].to_numpy(dtype=float)
    plain = np.asarray(np.maximum(mean - low, high - mean))  # one end may be cut off at a limit
    if metric.about.get("valid_min") != 0 or "valid_max" in metric.about:
        return plain
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(low > 0, mean * np.log(mean / low), plain))


def answers(
    plan: Plan, tables: Tables, wide: pd.DataFrame, metrics: Sequence[Metric]
) -> list[dict[str, Any]]:
    """Return the best by the main metric, written out: what it is, how sure, what is to blame."""
    if not metrics:
        return []
    main, found = metrics[0], list[dict[str, Any]]()
    for top in tops(tables, wide, main):
        if len(found) == ANSWERS:
            break
        detail = [
            f"95 % interval {interval(top.row)}" if interval(top.row) else "",
            ", ".join(part for part in (_repeats(top), main.count()) if part),
            *main.references(top.row),
        ]
        verdict, next_best = _next(tables, top, main)
        found.append(
            {
                "value": number(top.row["mean"]),
                "metric": main.title,
                "better": f"{main.better} is better",
                "where": top.where[:1].upper() + top.where[1:],
                "detail": "; ".join(part for part in detail if part),
                "warning": _no_better_than_noise(top.row, main),
                "verdict": verdict,
                "next": next_best,
                "edge": edge(top.part, top.row, varied_axes(tables)),
                "blame": _blame(plan, tables, top, main),
            }
        )
    return found


def _repeats(top: Top) -> str:
    n = top.row["n"]
    if top.most == 1:
        return "one measurement"
    return f"mean of {some_repeats(n, top.most) or f'{n:.0f} seeds'}" if n > 1 else "one seed alone"


def _no_better_than_noise(row: pd.Series[Any], metric: Metric) -> str:
    """Warn of a best setting that uniform noise reaches; "" where it does not."""
    sign = 1 if metric.better == "lower" else -1
    if not sign * row["noise"] <= sign * row["mean"]:
        return ""
    return (
        f"Uniform noise scores {number(row['noise'])}, as good or better: the samples are bad, or "
        "this measure cannot tell them from noise. Look at them and at the other measures."
    )


def edge(part: pd.DataFrame, row: pd.Series[Any], axes: Sequence[str]) -> str:
    """Say of which axes the best has the least or the greatest of three or more numbers; "" else.

    What lies beyond was not tried, and may be better.
    """
    said = []
    for axis in axes:
        values = part[axis].dropna().unique()
        if len(values) < 3 or not pd.api.types.is_numeric_dtype(values):
            continue
        for end, word in ((values.min(), "least"), (values.max(), "greatest")):
            if row[axis] == end:
                said.append(f"{words(axis)} {coordinate(end)} is the {word}")
    if not said:
        return ""
    text = ", ".join(said)
    return f"{text[:1].upper()}{text[1:]} that was tried: what lies beyond may be better."


# ── how far the next one is ─────────────────────────────────────────────────────────────────────


def _next(tables: Tables, top: Top, metric: Metric) -> tuple[tuple[str, str] | None, str]:
    """Return the verdict (class and words) and what is said of the second best setting."""
    ranking = rivals(top.part, metric, varied_axes(tables))
    if len(ranking) < 2 or ranking["mean"].nunique() == 1:
        return None, ""
    second = ranking.iloc[1]
    here = {a: second[a] for a in varied_axes(tables) if ranking[a].nunique() > 1}
    # Over the seeds that both have, the second can be the better one.
    unit = "higher" if (metric.better == "lower") == (second["gap"] >= 0) else "lower"
    apart = f"{number(abs(second['gap']))} {unit}"
    apart = apart if second["mean"] != top.row["mean"] else "the same"
    text = f"{number(second['mean'])}, {apart}: {describe(here)}."
    if not np.isfinite(second["gap_low"]):
        text += (
            " Whether that is noise is not known: it takes two seeds that both settings have, or "
            "an interval of each from resampling its samples."
        )
        return ("open", "lead not tested"), text
    if second["mean"] != top.row["mean"]:
        text += f" {_tested(second)}"
    close = int((ranking["gap_low"][1:] <= 0).sum())
    others = f"{close:,} of {len(ranking) - 1:,} other settings cannot be told from the best."
    if second["gap_low"] > 0:
        if close:
            return ("unsure", "not ahead of all"), f"{text} But {others}"
        untested = int(ranking["gap_low"][1:].isna().sum())
        if untested:  # a seed or more of them is missing
            text += f" {untested:,} of {len(ranking) - 1:,} other settings could not be tested."
            return ("open", "not tested against all"), text
        return ("sure", "ahead by more than noise"), text
    return ("unsure", "too close to call"), f"{text} {others}" if close > 1 else text


def _tested(second: pd.Series[Any]) -> str:
    """Say whether the second best setting is worse by more than noise."""
    span = f"{number(second['gap_low'])} to {number(second['gap_high'])}"
    over = (
        f"over {second['pairs']:.0f} seeds"
        if second["pairs"] > 1
        else "from resampling the samples of these networks, not from training others"
    )
    text = f"95 % interval of the difference, {over}: {span}. "
    if second["gap_low"] > 0:
        return text + "It excludes 0: more than noise."
    text += "It includes 0: the difference may be noise."
    return text + (" Two seeds tell little; more would narrow it." if second["pairs"] == 2 else "")


# ── sampler or network ──────────────────────────────────────────────────────────────────────────


def _blame(plan: Plan, tables: Tables, top: Top, metric: Metric) -> str:
    """Say how much of the best value the sampler costs and how much the network."""
    axes, name = varied_axes(tables), metric.name
    rows = top.part[(top.part[axes] == top.row[axes]).all(axis="columns")] if axes else top.part
    if set(rows["run"]) <= tables.exact_runs:
        return "All of it is the sampler's: the score is exact."
    columns = [f"{name}_real", f"{name}_sampler_cost", f"{name}_network_cost"]
    if not set(columns) <= set(rows) or rows[columns].isna().all().any():
        return (
            "Not split: that takes the exact score sampled with the same settings, a network named "
            f"“oracle” in the study's grid. {_score_error(tables, rows)}"
        )
    real, sampler, network = rows[columns].mean()
    text = (
        f"Of {number(top.row['mean'])}, real samples have {number(real)}, the sampler adds "
        f"{number(sampler)} and the network {number(network)}: {_mostly(sampler, network)}"
        f"{_unsure_which(rows[columns[2]] - rows[columns[1]])}."
    )
    if not _is_mixture(plan, str(rows["run"].iloc[0])):
        text += (
            " The exact score is that of the training set and draws its samples again, so that the "
            "network's share holds the price of new samples, too."
        )
    return text


def _mostly(sampler: float, network: float) -> str:
    least, most = sorted((sampler, network))
    if most <= 0:
        return "neither costs anything"
    if least > most / 2:
        return "both matter"
    return f"what is left to gain is mostly the {'network' if network > sampler else 'sampler'}'s"


def _unsure_which(apart: pd.Series[Any]) -> str:
    """Say that repeats do not agree which of the two costs more, by how much it is in each."""
    n = int(apart.count())
    if n < 2 or abs(apart.mean()) > half_width(apart.std(), n):
        return ""
    return f", but over {n} seeds it is not certain which costs more"


def _score_error(tables: Tables, rows: pd.DataFrame) -> str:
    """Say what is known of the network from its score error at the largest and smallest level."""
    errors, name = tables.tree["score_error"].to_dataset(), "score_error_relative"
    if name not in errors:
        return "The score error was not measured."
    places = np.argwhere(np.isin(errors["run"].values.astype(str), rows["run"].unique()))
    points = [dict(zip(errors["run"].dims, place, strict=True)) for place in places.tolist()]
    found = [errors[[name, "sigma"]].isel(point).sel(split="train") for point in points]
    frames = [one.to_dataframe().reset_index().dropna() for one in found]
    levels = pd.concat(frames).groupby("level")[["sigma", name]].mean() if frames else None
    if levels is None or levels.empty:
        return "The score error was not measured."
    said = [
        f"{100 * row[name]:.2g} % at σ = {number(row['sigma'])}" for _, row in levels.iterrows()
    ]
    ends = said[0] if len(said) == 1 else f"{said[0]} and {said[-1]}"
    return (
        f"The network's score is off by {ends} "
        f"(E‖s − s*‖² / E‖s*‖² on training points, the whole ladder under “Score error”)."
    )


def _is_mixture(plan: Plan, run: str) -> bool:
    """Tell whether the exact score is that of the distribution, not of the training set."""
    path = plan.layout.dataset_manifest(plan.run(run).dataset.id)
    if not path.exists():
        return True
    about = json.loads(path.read_text(encoding="utf-8")).get("attributes", {})
    return about.get("mixture") is not None


def interval_note(tables: Tables, wide: pd.DataFrame) -> str:
    """Say what the intervals of the page's tables are."""
    resampled = [str(c) for c in wide if f"{c}_low" in wide]
    repeats = [a for a in tables.axes if is_repeat(a) and len(wide) and wide[a].nunique() > 1]
    if not repeats:
        of_what = "; the interval is that of resampling its samples" if resampled else ""
        return f"One measurement each{of_what}."
    axes = varied_axes(tables)
    single = (wide.groupby(axes)[resampled].count() == 1).any(axis=None) if axes else False
    counts = " × ".join(f"{wide[axis].nunique()} {words(axis)}s" for axis in repeats)
    return (
        f"Mean and Student's 95 % interval over {counts}; with few seeds it is wide. That of "
        f"a measure that is positive without an upper limit is taken on a logarithmic scale, that "
        f"of a share is cut off at 0 and 1."
    ) + (" A value of one seed alone has that of resampling its samples." if single else "")
