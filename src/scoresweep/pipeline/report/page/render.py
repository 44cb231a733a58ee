"""The report as one page that needs nothing beside it: no network, no server, no other file."""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Hashable, Mapping, Sequence
from html import escape
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd
import yaml

from scoresweep.pipeline.report.format import (
    format_axes,
    format_interval,
    format_number,
    format_value,
    humanize,
    missing_repeats,
)
from scoresweep.pipeline.report.page.best_setting import (
    best_configurations,
    best_setting_cards,
    interval_note,
    varied_axes,
)
from scoresweep.pipeline.report.page.chart_data import charts, explorer, to_script
from scoresweep.pipeline.report.sections import CaptionedFigure, Sheets
from scoresweep.pipeline.report.sections.provenance import (
    GAP_ROWS,
    blocked_note,
    code_lead,
    gap_rows,
    missing_summary,
    problem_rows,
    provenance_rows,
)
from scoresweep.pipeline.report.statistics.repeats import repeat_means
from scoresweep.pipeline.report.statistics.summary import RankedMetric, most_repeats, summarise
from scoresweep.pipeline.report.tables.axes import unique_values as grid_coordinate
from scoresweep.pipeline.report.tables.collect import ReportData
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.grid import swept_paths
from scoresweep.pipeline.study.schema import SampleBlock, TrainBlock

__all__ = ["Pictures", "render_page"]

TABLE_ROWS = 200
"""Most configurations of the table of all numbers."""

TABLE_METRICS = 8
"""Most measures of the table of all numbers."""

AXIS_VALUES = 20
"""Most values of a swept axis that are written out."""

COST_ROWS = 30
"""Most settings whose distance is split into what the sampler and what the network costs."""


WHOLE = re.compile(r"−?\d[\d.]*(?:e-?\d+)?(?: %)|−?\d[\d.]*e-\d+|σ = [\d.e-]*\d")
"""Numbers that would break at a hyphen or a space."""


class Pictures(NamedTuple):
    """The figures of the page, section by section."""

    overview: list[CaptionedFigure]
    maps: list[CaptionedFigure]
    costs: list[CaptionedFigure]
    score_errors: list[CaptionedFigure]
    sheets: Sheets
    samples: list[CaptionedFigure]
    curves: list[CaptionedFigure]

    def all(self) -> list[CaptionedFigure]:
        """Return every figure."""
        sheets = [picture for row in self.sheets.rows for picture in row]
        lists = (self.overview, self.maps, self.costs, self.score_errors, self.samples)
        return [*itertools.chain(*lists), *sheets, *self.curves]


def render_page(
    plan: Plan,
    data: ReportData,
    wide: pd.DataFrame,
    metrics: Sequence[RankedMetric],
    pictures: Pictures,
) -> str:
    """Return the page; `metrics` are those of `wide`, the main one first."""
    folder = files("scoresweep.pipeline.report.page")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["data_url"] = _data_url
    environment.filters["whole"] = _whole
    template = environment.from_string(folder.joinpath("template.html").read_text(encoding="utf-8"))
    table, ranked = _table(data, wide, metrics), data.ranked(wide)
    drawn = {"explorer": explorer(data, ranked, metrics), "charts": charts(data)}
    missing, gaps = bool(data.gaps or data.problems), gap_rows(data.gaps)
    return template.render(
        style=folder.joinpath("style.css").read_text(encoding="utf-8"),
        study=plan.study.study,
        lead=_lead(plan),
        contents=_contents(pictures, bool(table["rows"]), missing),
        best_setting_cards=best_setting_cards(plan, data, ranked, metrics),
        best_rows=_best_rows(data, ranked, metrics),
        other_rows=_other_rows(data, ranked, metrics),
        interval_note=interval_note(data, wide) + _exact_note(wide, ranked),
        facts=_facts(plan, data),
        **pictures._asdict(),
        cost_table=_cost_table(data, wide, metrics),
        cost_measure=_cost_measure(drawn["explorer"]),
        sheets_lead=_sheets_lead(pictures.sheets, wide),
        table=table,
        gaps=gaps[:GAP_ROWS],
        blocked_note=blocked_note(data.gaps),
        problems=problem_rows(data.problems),
        missing_summary=missing_summary(plan, data),
        code_lead=code_lead(data),
        more_gaps=max(0, len(gaps) - GAP_ROWS),
        provenance_rows=provenance_rows(plan, data),
        config=yaml.safe_dump(plan.study.model_dump(mode="json"), sort_keys=False),
        **drawn,
        **_scripts(drawn),
    )


def _scripts(drawn: dict[str, Any]) -> dict[str, str]:
    """Return what draws the charts: their numbers, Plotly, our own code; "" without any chart."""
    if not drawn["explorer"] and not any(drawn["charts"].values()):
        return {"data": "", "plotly": "", "script": ""}
    folder = files("scoresweep.pipeline.report.page")
    own = [folder.joinpath(name).read_text("utf-8") for name in ("explorer.js", "charts.js")]
    # Without importing Plotly's Python half, which takes a second.
    found = find_spec("plotly")
    assert found is not None
    assert found.origin is not None
    library = Path(found.origin).parent / "package_data" / "plotly.min.js"
    return {
        "data": to_script(drawn),
        "plotly": library.read_text("utf-8"),
        "script": "\n".join(own),
    }


def _cost_measure(drawn: dict[str, Any] | None) -> int | None:
    """Return the number of the first measure that is the network's cost."""
    titles = [measure["title"] for measure in drawn["measures"]] if drawn else []
    return next((i for i, title in enumerate(titles) if title.endswith("network cost")), None)


def _whole(text: str) -> str:
    """Return HTML with each number in one line: "2e-5" would break at its hyphen."""
    return WHOLE.sub(r'<span class="whole">\g<0></span>', escape(text))


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _contents(pictures: Pictures, table: bool, gaps: bool) -> list[tuple[str, str]]:
    """Return the sections that the page has: anchor and title."""
    sections = [
        ("best", "Best setting", True),
        ("study", "The study", True),
        ("maps", "Every setting", bool(pictures.maps)),
        ("costs", "Sampler or network", bool(pictures.costs)),
        ("score-error", "Score error", bool(pictures.score_errors)),
        ("samples", "Samples", bool(pictures.sheets.rows or pictures.samples)),
        ("training", "Training", bool(pictures.curves)),
        ("table", "All numbers", table),
        ("gaps", "Missing or failed", gaps),
        ("provenance", "Where this comes from", True),
    ]
    return [(anchor, title) for anchor, title, there in sections if there]


def _lead(plan: Plan) -> str:
    names = ", ".join(dataset.id for dataset in plan.study.dataset)
    trained = sum(run.train.network.is_trained for run in plan.runs)
    counted = [
        f"{count:,} {what}{'s' * (count != 1)}"
        for count, what in ((trained, "trained network"), (len(plan.runs) - trained, "exact score"))
        if count
    ]
    settings = len(plan.settings)
    setting = f"{settings:,} sampler setting{'s' * (settings != 1)}"
    return f"{' and '.join(counted)} × {setting} on {names}."


def _facts(plan: Plan, data: ReportData) -> list[tuple[str, str]]:
    """Return what the study is: the swept axes with their values, then what is the same in all."""
    swept: dict[str, list[Any]] = {axis: [] for axis in data.axes}
    points = [
        point.axes for group in (plan.runs, plan.settings, plan.evaluations) for point in group
    ]
    for point in points:
        for axis, value in point.items():
            swept[axis].append(value)
    axes = {
        f"swept: {humanize(axis)}": _values(
            [format_value(v) for v in grid_coordinate(values).tolist()]
        )
        for axis, values in swept.items()
    }
    train, sample = _marked(plan.study.train), _marked(plan.study.sample)
    fixed = {
        "network": _options(train["network"]),
        "objective": _options(train["objective"]),
        "noise ladder": _options(train["noise"]),
        "optimizer": _options(train["optimizer"]),
        "training": f"{train['steps']} steps of {train['batch_size']} samples, averaged weights "
        f"{train['ema']}, mixed precision {train['precision']}",
        "sampler": _options(sample["sampler"]),
        "samples": f"{sample['count']} for each setting",
    }
    return [*axes.items(), *fixed.items()]


def _values(values: Sequence[str]) -> str:
    """Write the values of an axis; of many, how many they are and the ends."""
    if len(values) <= AXIS_VALUES:
        return ", ".join(values)
    return f"{len(values):,} values: {values[0]}, {values[1]}, …, {values[-1]}"


def _marked(block: TrainBlock | SampleBlock) -> dict[str, Any]:
    """Return a block with "swept" in place of the base value of every swept path."""
    content = block.model_dump(mode="json")
    for path in swept_paths(block):
        *parents, last = path.split(".")
        part: Any = content
        for parent in parents:
            part = part[parent] if isinstance(part, dict) else None
        if isinstance(part, dict):
            part[last] = "swept"
    return content


def _options(block: dict[str, Any] | str) -> str:
    """Write a block: "geometric (sigma max 8, sigma min 0.05, levels 10)"."""
    if isinstance(block, str):
        return block
    rest = format_axes({key: value for key, value in block.items() if key != "name"})
    if "name" not in block:
        return rest
    return f"{block['name']} ({rest})" if rest else str(block["name"])


# ── the best ────────────────────────────────────────────────────────────────────────────────────


def _best_rows(
    data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> list[dict[str, str]]:
    """Return the best of each measure that ranks settings, and by the main one in any case."""
    return [
        _row(metric, top.row, top.where, str(metric.about.get("note", "")), top.most)
        for metric in metrics
        if metric is metrics[0] or not metric.caveat
        for top in best_configurations(data, wide, metric)
    ]


def _other_rows(
    data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> list[dict[str, str]]:
    """Return what the best by the main metric has on the measures that rank nothing themselves."""
    axes, rows = varied_axes(data), []
    for metric in metrics[1:]:
        if metric.caveat:
            points = summarise(wide, metric, axes)
            by_key = dict(zip(_keys(points, axes), points.to_dict("records"), strict=True))
            for top in best_configurations(data, wide, metrics[0]):
                row = by_key.get(tuple(top.row[axes].tolist()))
                if row is not None:
                    rows.append(_row(metric, row, top.where, metric.caveat, most_repeats(points)))
    return rows


def _row(
    metric: RankedMetric,
    row: Mapping[Any, Any] | pd.Series[Any],
    where: str,
    note: str,
    most: tuple[int, int],
) -> dict[str, str]:
    """Return a row of the tables of measures."""
    return {
        "metric": metric.title,
        "note": note,
        "better": metric.better,
        "where": where,
        "mean": format_number(row["mean"]),
        "n": ", ".join(t for t in (metric.count(), missing_repeats(row, most)) if t),
        "interval": format_interval(row) or "–",
        "real": format_number(row["real"]),
        "n_real": metric.count("real"),
        "noise": format_number(row["noise"]),
        "n_noise": metric.count("noise"),
    }


def _exact_note(wide: pd.DataFrame, ranked: pd.DataFrame) -> str:
    left_out = len(ranked) < len(wide)
    return " The exact score is left out: networks are compared with it." if left_out else ""


# ── sampler or network ──────────────────────────────────────────────────────────────────────────


def _cost_table(
    data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> dict[str, Any] | None:
    """Return the main metric of trained networks split into real samples, sampler and network."""
    split = [metric for metric in metrics if f"{metric.name}_network_cost" in wide]
    if not split:
        return None
    name, axes = split[0].name, varied_axes(data)
    trained = wide[~wide["run"].isin(data.exact_runs)]
    columns = [f"{name}_real", f"{name}_sampler_cost", f"{name}_network_cost", name]
    ordered = repeat_means(trained.dropna(subset=columns), columns, axes).sort_values(name)
    rows = [
        {
            "axes": [format_value(row[axis]) for axis in axes],
            "cells": [format_number(row[column]) for column in columns],
        }
        for row in ordered.head(COST_ROWS).to_dict("records")
    ]
    best_of = f"the best {COST_ROWS} of {len(ordered):,}" if len(ordered) > COST_ROWS else "all"
    lead = f"{split[0].title} of {best_of} settings of trained networks, means over all repeats."
    return {"rows": rows, "axes": [humanize(axis) for axis in axes], "lead": lead}


# ── all numbers ─────────────────────────────────────────────────────────────────────────────────


def _table(data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]) -> dict[str, Any]:
    """Return the table of all configurations, the best of them where there are many."""
    shown, axes = metrics[:TABLE_METRICS], varied_axes(data)
    if not shown:
        return {"rows": [], "axes": [], "metrics": [], "lead": ""}
    summaries = [summarise(wide, metric, axes) for metric in shown]
    main = summaries[0]
    ordered = main.sort_values("mean", ascending=shown[0].better == "lower")
    keys = _keys(ordered, axes)[:TABLE_ROWS]
    cells = [dict(zip(_keys(s, axes), s.to_dict("records"), strict=True)) for s in summaries]
    most = [most_repeats(summary) for summary in summaries]
    rows = [
        {
            "axes": [format_value(value) for value in key],
            "cells": [_cell(by.get(key), n) for by, n in zip(cells, most, strict=True)],
        }
        for key in keys
    ]
    lead = f"Means, each with its own 95 % interval, sorted by {shown[0].title}."
    if len(main) > TABLE_ROWS:
        lead += f" The best {TABLE_ROWS} of {len(main):,}; metrics.csv has all."
    if len(metrics) > TABLE_METRICS:
        lead += f" {len(metrics) - TABLE_METRICS} more measures are in metrics.csv."
    titles = [metric.title for metric in shown]
    return {"rows": rows, "axes": [humanize(a) for a in axes], "metrics": titles, "lead": lead}


def _keys(summary: pd.DataFrame, axes: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the point of each row: the values of `axes`."""
    return [tuple(key) for key in summary[list(axes)].to_numpy(dtype=object).tolist()]


def _cell(row: Mapping[Hashable, Any] | None, most: tuple[int, int]) -> dict[str, Any]:
    if row is None:
        return {"mean": "–", "notes": []}
    notes = format_interval(row), missing_repeats(row, most)
    return {"mean": format_number(row["mean"]), "notes": [note for note in notes if note]}


def _sheets_lead(sheets: Sheets, wide: pd.DataFrame) -> str:
    """Say of which settings there are samples; `wide` may have several rows of one."""
    shown, settings = sheets.settings, len(wide.drop_duplicates(["run", "setting"]))
    if not shown:
        return "Real samples. Drawn ones are shown of settings that are measured."
    which = f"the best {shown} of {settings:,}" if shown < settings else "every setting"
    return (
        f"Real samples are framed; beside them stand the first samples of {which}, not chosen: "
        f"images enlarged without smoothing, points over real ones in grey."
    )
