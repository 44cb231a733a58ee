"""What a study answers: the best setting, how far the next is, what is to blame for the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from scoresweep.pipeline.report.format import (
    format_axes,
    format_interval,
    format_number,
    format_repeats,
    format_value,
    humanize,
    is_repeat,
    missing_repeats,
)
from scoresweep.pipeline.report.sections import is_incomparable_axis
from scoresweep.pipeline.report.statistics.leads import ranking_with_gaps
from scoresweep.pipeline.report.statistics.repeats import (
    NETWORK,
    SAMPLING,
    by_repeat,
    over_repeats,
    repeat_means,
    student_half_width,
)
from scoresweep.pipeline.report.statistics.summary import (
    RankedMetric,
    best,
    group_by_axes,
    most_repeats,
    summarise,
)
from scoresweep.pipeline.report.tables.collect import ReportData
from scoresweep.pipeline.study import Plan

__all__ = [
    "BestConfiguration",
    "best_configurations",
    "best_setting_cards",
    "grid_edge_warning",
    "incomparable_axes",
    "interval_note",
    "varied_axes",
]

ANSWERS = 6
"""Most answers written out, one for each dataset and point of the evaluation grid."""


class BestConfiguration(NamedTuple):
    """The best configuration of a dataset and point of the evaluation grid."""

    row: pd.Series[Any]
    """Its row of `best`."""
    where: str
    """Which it is, in words."""
    part: pd.DataFrame
    """The measured rows that it was found among."""
    most: tuple[int, int]
    """Most networks, and most samplings, that the value of a configuration has."""
    of: int
    """Number of configurations that it was chosen from."""


def incomparable_axes(data: ReportData) -> list[str]:
    """Return the axes whose values cannot be compared: each has a best setting of its own."""
    return [axis for axis in data.axes if is_incomparable_axis(data, axis)]


def varied_axes(data: ReportData) -> list[str]:
    """Return the axes whose values make a configuration: all but repeats."""
    return [axis for axis in data.axes if not is_repeat(axis)]


def best_configurations(
    data: ReportData, wide: pd.DataFrame, metric: RankedMetric
) -> Iterator[BestConfiguration]:
    """Yield the best configuration of each dataset and point of the evaluation grid."""
    measured, axes = wide[wide[metric.name].notna()], varied_axes(data)
    for key, part in group_by_axes(measured, incomparable_axes(data)):
        summary = summarise(part, metric, axes)
        if summary.empty:
            continue
        top = best(summary, metric)
        if len(summary) > 1 and summary["mean"].nunique() == 1:
            same = format_axes(dict(zip(incomparable_axes(data), key, strict=True)))
            where = ", ".join(part for part in (same, "all settings alike") if part)
        else:
            told = [a for a in axes if a in incomparable_axes(data) or measured[a].nunique() > 1]
            where = format_axes({axis: top[axis] for axis in told}) or "the only setting"
            alike = int((summary["mean"] == top["mean"]).sum()) - 1
            where += f" (and {alike:,} more alike)" if alike else ""
        yield BestConfiguration(top, where, part, most_repeats(summary), len(summary))


def best_setting_cards(
    plan: Plan, data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> list[dict[str, Any]]:
    """Return the best by the main metric, written out: what it is, how sure, what is to blame."""
    if not metrics:
        return []
    main, found = metrics[0], list[dict[str, Any]]()
    for top in best_configurations(data, wide, main):
        if len(found) == ANSWERS:
            break
        detail = [
            _chosen_interval(top),
            ", ".join(part for part in (_repeats(data, top), main.count()) if part),
            *main.references(top.row),
        ]
        verdict, next_best = _next(data, top, main)
        found.append(
            {
                "value": format_number(top.row["mean"]),
                "metric": main.title,
                "better": f"{main.better} is better",
                "where": top.where[:1].upper() + top.where[1:],
                "detail": "; ".join(part for part in detail if part),
                "warning": _no_better_than_noise(top.row, main),
                "verdict": verdict,
                "next": next_best,
                "edge": grid_edge_warning(top.part, top.row, varied_axes(data)),
                "blame": _attribution(plan, data, top, main),
            }
        )
    return found


def _chosen_interval(top: BestConfiguration) -> str:
    """Write the interval of the best, which allows for its choice."""
    if not format_interval(top.row):
        return ""
    note = f" (corrected for choosing the best of {top.of:,})" if top.of > 1 else ""
    return f"95 % interval {format_interval(top.row)}{note}"


def _repeats(data: ReportData, top: BestConfiguration) -> str:
    """Say how many networks and samplings the best value is of, and what that leaves open."""
    if _is_exact(data, top):
        samplings = int(top.row["samplings"])
        return f"exact score, {samplings} sampling{'s' * (samplings != 1)}"
    few = missing_repeats(top.row, top.most)
    counts = format_repeats(top.row["networks"], top.row["samplings"]) + (
        f" ({few})" if few else ""
    )
    if top.row["networks"] > 1:
        return f"mean of {counts}"
    return f"{counts} (another training may give other values)"


def _no_better_than_noise(row: pd.Series[Any], metric: RankedMetric) -> str:
    """Warn of a best setting that uniform noise reaches; "" where it does not."""
    sign = 1 if metric.better == "lower" else -1
    if not sign * row["noise"] <= sign * row["mean"]:
        return ""
    return (
        f"Uniform noise scores {format_number(row['noise'])}, as good or better: the samples "
        "are bad, or this measure cannot tell them from noise. Check other measures too."
    )


def grid_edge_warning(part: pd.DataFrame, row: pd.Series[Any], axes: Sequence[str]) -> str:
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
                said.append(f"{humanize(axis)} {format_value(end)} is the {word}")
    if not said:
        return ""
    text = ", ".join(said)
    return f"{text[:1].upper()}{text[1:]} that was tried: what lies beyond may be better."


# ── how far the next one is ─────────────────────────────────────────────────────────────────────


def _next(
    data: ReportData, top: BestConfiguration, metric: RankedMetric
) -> tuple[tuple[str, str] | None, str]:
    """Return the verdict (class and words) and what is said of the second best setting."""
    ranking = ranking_with_gaps(top.part, metric, varied_axes(data))
    if len(ranking) < 2 or ranking["mean"].nunique() == 1:
        return None, ""
    second, others, is_exact = ranking.iloc[1], ranking.iloc[1:], _is_exact(data, top)
    here = {a: second[a] for a in varied_axes(data) if ranking[a].nunique() > 1}
    # On the networks that both have, the second can be the better one.
    unit = "higher" if (metric.better == "lower") == (second["gap"] >= 0) else "lower"
    apart = f"{format_number(abs(second['gap']))} {unit}"
    apart = apart if second["mean"] != top.row["mean"] else "the same"
    text = f"{format_number(second['mean'])}, {apart}: {format_axes(here)}."
    if not np.isfinite(second["gap_low"]):
        text += (
            " Whether the difference is noise is not known: to test it, train both settings with "
            "two or more of the same training seeds, or compute intervals by resampling."
        )
        return ("open", "lead not tested"), text
    if second["mean"] != top.row["mean"]:
        text += f" {_tested(second, 'the exact score' if is_exact else 'one network')}"
    beyond = "" if is_exact else _beyond(others, top.part["run"].nunique() == 1)
    if second["ahead"]:
        return ("sure", f"ahead {beyond[0] if beyond else 'by more than noise'}"), (
            f"{text} It excludes 0: more than noise.{beyond[1] if beyond else ''}"
        )
    untested = int(others["gap_low"].isna().sum())
    close = len(others) - untested - int(others["behind"].sum())
    if second["gap_low"] > 0 and untested and not (others["gap_low"] <= 0).any():
        text += (
            f" It excludes 0. {untested:,} of {len(others):,} other settings could not be tested."
        )
        return ("open", "not tested against all"), text
    includes = " It includes 0: the difference may be noise." if second["gap_low"] <= 0 else ""
    if second["mean"] != top.row["mean"]:
        text += includes
    if len(others) > 1:
        text += (
            f" {close:,} of {len(others):,} other settings cannot be told from the best, after "
            f"correction for all comparisons."
        )
    verdict = "too close to call" if second["gap_low"] <= 0 else "not ahead of all"
    return ("unsure", verdict), text + (beyond[1] if beyond else "")


def _is_exact(data: ReportData, top: BestConfiguration) -> bool:
    return set(top.part["run"]) <= data.exact_runs


def _beyond(others: pd.DataFrame, is_one: bool) -> tuple[str, str] | str:
    """Say of which networks alone comparisons hold; "" if they hold for networks in general."""
    if others["gap_level"].isin(["networks", ""]).all():
        return ""
    which = "this network" if is_one else "these networks"
    return f"on {which} alone", (
        f" This comparison is of {which} alone: other trainings may rank the settings differently. "
        f"To find out, use two or more training seeds."
    )


def _tested(second: pd.Series[Any], one: str) -> str:
    """Write the interval of the difference to the second best, and what it comes from.

    `one` is what has several samplings: "one network" or "the exact score".
    """
    span = f"{format_number(second['gap_low'])} to {format_number(second['gap_high'])}"
    sources = {
        "networks": f"over {second['pairs']:.0f} networks",
        "samplings": f"over {second['sampling_pairs']:.0f} samplings of {one}",
        "samples": "from resampling the samples",
    }
    text = f"95 % interval of the difference, {sources[second['gap_level']]}: {span}."
    few = second["gap_level"] == "networks" and second["pairs"] == 2
    return text + (" More than two networks would narrow it." if few else "")


# ── sampler or network ──────────────────────────────────────────────────────────────────────────


def _attribution(plan: Plan, data: ReportData, top: BestConfiguration, metric: RankedMetric) -> str:
    """Say how much of the best value the sampler costs and how much the network."""
    axes, name = varied_axes(data), metric.name
    rows = top.part[(top.part[axes] == top.row[axes]).all(axis="columns")] if axes else top.part
    if set(rows["run"]) <= data.exact_runs:
        return "All of it is the sampler's: the score is exact."
    columns = [f"{name}_real", f"{name}_sampler_cost", f"{name}_network_cost"]
    if not set(columns) <= set(rows) or rows[columns].isna().all().any():
        return (
            "Not split: that takes the exact score sampled with the same settings, a network named "
            f"“oracle” in the study's grid. {_score_error(data, rows)}"
        )
    measured = rows.dropna(subset=[name, *columns])
    apart = measured.assign(_apart=measured[columns[2]] - measured[columns[1]])
    means = repeat_means(apart, [name, *columns], []).iloc[0]
    value, real, sampler, network = means.tolist()
    text = (
        f"Of {format_number(value)}, real samples have {format_number(real)}, the sampler adds "
        f"{format_number(sampler)} and the network {format_number(network)}: "
        f"{_mostly(sampler, network)}{_unsure_which(apart)}."
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


def _unsure_which(measured: pd.DataFrame) -> str:
    """Say that repeats do not agree which costs more; `_apart` is by how much the network does."""
    found = over_repeats(by_repeat(measured, "_apart", [])[1][0])
    if not abs(found.mean) <= student_half_width(found.error, found.freedom):
        return ""
    over = format_repeats(int(found.networks), int(found.samplings))
    return f", but over {over} it is not certain which costs more"


def _score_error(data: ReportData, rows: pd.DataFrame) -> str:
    """Say what is known of the network from its score error at the largest and smallest level."""
    errors, name = data.tree["score_error"].to_dataset(), "score_error_relative"
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
        f"{100 * row[name]:.2g} % at σ = {format_number(row['sigma'])}"
        for _, row in levels.iterrows()
    ]
    ends = said[0] if len(said) == 1 else f"{said[0]} and {said[-1]}"
    return (
        f"The network's score is off by {ends} "
        f"(E‖s − s*‖² / E‖s*‖² on training points, the whole ladder under “Score error”)."
    )


def _is_mixture(plan: Plan, run: str) -> bool:
    """Tell whether the exact score is that of the distribution, not of the training set."""
    path = plan.paths.dataset_manifest(plan.run(run).dataset.id)
    if not path.exists():
        return True
    about = json.loads(path.read_text(encoding="utf-8")).get("attributes", {})
    return about.get("mixture") is not None


def interval_note(data: ReportData, wide: pd.DataFrame) -> str:
    """Say what the values and intervals of the page's tables are."""
    trained = wide[~wide["run"].isin(data.exact_runs)]
    axes, rows = varied_axes(data), trained if len(trained) else wide
    networks = _most(rows, axes, NETWORK)
    samplings = _most(rows, [*axes, NETWORK], SAMPLING)
    resampled = any(f"{column}_low" in wide for column in wide)
    kind = "one network" if len(trained) else "the exact score"
    if networks > 1:
        each = f" × {samplings} samplings each" if samplings > 1 else ""
        text = (
            f"Each value is the mean of {networks} networks (training seeds){each}, with Student's "
            f"95 % interval of the network means, which is wide for few networks."
        )
    elif samplings > 1:
        text = (
            f"Each value is the mean of {samplings} samplings of {kind}, with Student's 95 % "
            f"interval."
        )
    else:
        text = f"Each value is one sampling of {kind}"
        text += ", with the 95 % interval from resampling its samples." if resampled else "."
    if networks <= 1 and len(trained):
        text += " It holds for this network only: another training may give other values."
    if max(networks, samplings) > 1:
        text += SCALE
        text += FEWER if networks > 1 and resampled else ""
    return text + (BEST_OF if resampled or max(networks, samplings) > 1 else "")


def _most(rows: pd.DataFrame, axes: Sequence[str], column: str) -> int:
    """Return the most values of a column that a point of `axes` has."""
    found = rows.groupby(list(axes))[column].nunique() if axes else rows[[column]].nunique()
    return int(found.max()) if len(rows) else 0


SCALE = (
    " Intervals of positive measures without an upper limit are computed on a logarithmic scale; "
    "those of shares are cut off at 0 and 1."
)

FEWER = (
    " A value of a single network has the interval of its samplings or, with one sampling, that "
    "from resampling its samples."
)

BEST_OF = (
    " The best of several settings is partly the luckiest, so its interval is longer on the worse "
    "side (Bonferroni)."
)
