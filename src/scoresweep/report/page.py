"""The report as one page that needs nothing beside it: no network, no server, no other file."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import jinja2
import pandas as pd
import yaml

from scoresweep.report.grid import coordinate as grid_coordinate
from scoresweep.report.pictures import Picture, is_apart, shown_settings
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
from scoresweep.report.tables import Gap, Tables
from scoresweep.study import Plan
from scoresweep.study.grid import swept_paths
from scoresweep.study.schema import SampleBlock, TrainBlock

__all__ = ["Pictures", "render_page"]

TABLE_ROWS = 200
"""Most configurations of the table of all numbers."""

TABLE_METRICS = 8
"""Most measures of the table of all numbers."""

COST_ROWS = 30
"""Most settings whose distance is split into what the sampler and what the network costs."""

GAP_ROWS = 100
"""Most missing parts that are listed."""


class Pictures(NamedTuple):
    """The figures of the page, section by section."""

    overview: list[Picture]
    maps: list[Picture]
    costs: list[Picture]
    score_errors: list[Picture]
    sheets: list[Picture]
    curves: list[Picture]


def render_page(
    plan: Plan, tables: Tables, wide: pd.DataFrame, metrics: Sequence[Metric], pictures: Pictures
) -> str:
    """Return the page; `metrics` are those of `wide`, the main one first."""
    folder = files("scoresweep.report")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["data_url"] = _data_url
    template = environment.from_string(folder.joinpath("page.html").read_text(encoding="utf-8"))
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    gaps = [_gap_row(gap) for gap in tables.gaps[:GAP_ROWS]]
    table, ranked = _table(tables, wide, metrics), tables.ranked(wide)
    return template.render(
        style=style,
        study=plan.study.study,
        lead=_lead(plan),
        contents=_contents(pictures, bool(table["rows"]), bool(gaps)),
        headlines=_headlines(tables, ranked, metrics),
        best_rows=_best_rows(tables, ranked, metrics),
        other_rows=_other_rows(tables, ranked, metrics),
        interval_note=_interval_note(tables, wide) + _exact_note(wide, ranked),
        facts=_facts(plan, tables),
        **pictures._asdict(),
        cost_table=_cost_table(tables, wide, metrics),
        sheets_lead=_sheets_lead(pictures.sheets, len(wide)),
        table=table,
        gaps=gaps,
        gaps_lead=_gaps_lead(plan, tables.gaps),
        more_gaps=max(0, len(tables.gaps) - GAP_ROWS),
        origins=_origins(plan, tables),
        config=yaml.safe_dump(plan.study.model_dump(mode="json"), sort_keys=False),
    )


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
        ("samples", "Samples", bool(pictures.sheets)),
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


def _facts(plan: Plan, tables: Tables) -> list[tuple[str, str]]:
    """Return what the study is: the swept axes with their values, then what is the same in all."""
    swept: dict[str, list[Any]] = {axis: [] for axis in tables.axes}
    points = [
        point.axes for group in (plan.runs, plan.settings, plan.evaluations) for point in group
    ]
    for point in points:
        for axis, value in point.items():
            swept[axis].append(value)
    axes = {
        f"swept: {words(axis)}": ", ".join(coordinate(v) for v in grid_coordinate(values).tolist())
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
    rest = describe({key: value for key, value in block.items() if key != "name"})
    if "name" not in block:
        return rest
    return f"{block['name']} ({rest})" if rest else str(block["name"])


# ── the best ────────────────────────────────────────────────────────────────────────────────────


def _apart(tables: Tables) -> list[str]:
    return [axis for axis in tables.axes if is_apart(tables, axis)]


def _varied(tables: Tables) -> list[str]:
    """Return the axes whose values make a configuration: all but repeats."""
    return [axis for axis in tables.axes if not is_repeat(axis)]


def _tops(
    tables: Tables, wide: pd.DataFrame, metric: Metric
) -> Iterator[tuple[pd.Series[Any], str]]:
    """Yield the best row of each dataset and point of the evaluation grid, and which it is."""
    measured, axes = wide[wide[metric.name].notna()], _varied(tables)
    for key, part in configurations(measured, _apart(tables)):
        summary = summarise(part, metric, axes)
        if summary.empty:
            continue
        top = best(summary, metric)
        if len(summary) > 1 and summary["mean"].nunique() == 1:
            same = describe(dict(zip(_apart(tables), key, strict=True)))
            yield top, ", ".join(part for part in (same, "all settings alike") if part)
        else:
            yield top, describe({axis: top[axis] for axis in axes})


def _headlines(
    tables: Tables, wide: pd.DataFrame, metrics: Sequence[Metric]
) -> list[dict[str, str]]:
    """Return the best by the main metric, written out."""
    if not metrics:
        return []
    main = metrics[0]
    lines = []
    for top, where in _tops(tables, wide, main):
        repeats = f"mean of {top['n']:.0f} seeds" if top["n"] > 1 else "one measurement"
        detail = [
            f"95 % interval {interval(top)}" if interval(top) else "",
            f"{repeats}, {main.count()}" if main.count() else repeats,
            *main.references(top),
        ]
        lines.append(
            {
                "value": number(top["mean"]),
                "metric": main.title,
                "where": where[:1].upper() + where[1:],
                "detail": "; ".join(part for part in detail if part),
            }
        )
    return lines


def _best_rows(
    tables: Tables, wide: pd.DataFrame, metrics: Sequence[Metric]
) -> list[dict[str, str]]:
    """Return the best of each measure that ranks settings, and by the main one in any case."""
    return [
        _row(metric, top, where, str(metric.about.get("note", "")))
        for metric in metrics
        if metric is metrics[0] or not metric.caveat
        for top, where in _tops(tables, wide, metric)
    ]


def _other_rows(
    tables: Tables, wide: pd.DataFrame, metrics: Sequence[Metric]
) -> list[dict[str, str]]:
    """Return what the best by the main metric has on the measures that rank nothing themselves."""
    axes, rows = _varied(tables), []
    for metric in metrics[1:]:
        if metric.caveat:
            points = summarise(wide, metric, axes)
            by_key = dict(zip(_keys(points, axes), points.to_dict("records"), strict=True))
            for top, where in _tops(tables, wide, metrics[0]):
                row = by_key.get(tuple(top[axes].tolist()))
                if row is not None:
                    rows.append(_row(metric, row, where, metric.caveat))
    return rows


def _row(
    metric: Metric, row: Mapping[Any, Any] | pd.Series[Any], where: str, note: str
) -> dict[str, str]:
    """Return a row of the tables of measures."""
    return {
        "metric": metric.title,
        "note": note,
        "better": metric.better,
        "where": where,
        "mean": number(row["mean"]),
        "n": metric.count(),
        "interval": interval(row) or "–",
        "real": number(row["real"]),
        "n_real": metric.count("real"),
        "noise": number(row["noise"]),
        "n_noise": metric.count("noise"),
    }


def _interval_note(tables: Tables, wide: pd.DataFrame) -> str:
    repeats = [a for a in tables.axes if is_repeat(a) and len(wide) and wide[a].nunique() > 1]
    if not repeats:
        return "One measurement each; the interval is that of resampling its samples."
    counts = " × ".join(str(wide[axis].nunique()) for axis in repeats)
    return (
        f"Mean and Student's 95 % interval over {counts} seeds; with few seeds it is wide. That of "
        f"a measure that is positive without an upper limit is taken on a logarithmic scale, that "
        f"of a share is cut off at 0 and 1."
    )


def _exact_note(wide: pd.DataFrame, ranked: pd.DataFrame) -> str:
    left_out = len(ranked) < len(wide)
    return " The exact score is left out: networks are compared with it." if left_out else ""


# ── sampler or network ──────────────────────────────────────────────────────────────────────────


def _cost_table(
    tables: Tables, wide: pd.DataFrame, metrics: Sequence[Metric]
) -> dict[str, Any] | None:
    """Return the main metric of trained networks split into real samples, sampler and network."""
    split = [metric for metric in metrics if f"{metric.name}_network_cost" in wide]
    if not split:
        return None
    name, axes = split[0].name, _varied(tables)
    trained = wide[~wide["run"].isin(tables.exact_runs)]
    columns = [f"{name}_real", f"{name}_sampler_cost", f"{name}_network_cost", name]
    means = trained.dropna(subset=columns).groupby(axes or (lambda _: 0))[columns].mean()
    ordered = means.sort_values(name).reset_index()
    rows = [
        {
            "axes": [coordinate(row[axis]) for axis in axes],
            "cells": [number(row[column]) for column in columns],
        }
        for row in ordered.head(COST_ROWS).to_dict("records")
    ]
    best_of = f"the best {COST_ROWS} of {len(ordered):,}" if len(ordered) > COST_ROWS else "all"
    lead = f"{split[0].title} of {best_of} settings of trained networks, means over repeats."
    return {"rows": rows, "axes": [words(axis) for axis in axes], "lead": lead}


# ── all numbers ─────────────────────────────────────────────────────────────────────────────────


def _table(tables: Tables, wide: pd.DataFrame, metrics: Sequence[Metric]) -> dict[str, Any]:
    """Return the table of all configurations, the best of them where there are many."""
    shown, axes = metrics[:TABLE_METRICS], _varied(tables)
    if not shown:
        return {"rows": [], "axes": [], "metrics": [], "lead": ""}
    summaries = [summarise(wide, metric, axes) for metric in shown]
    main = summaries[0]
    ordered = main.sort_values("mean", ascending=shown[0].better == "lower")
    keys = _keys(ordered, axes)[:TABLE_ROWS]
    cells = [dict(zip(_keys(s, axes), s.to_dict("records"), strict=True)) for s in summaries]
    rows = [
        {
            "axes": [coordinate(value) for value in key],
            "cells": [_cell(by_key.get(key)) for by_key in cells],
        }
        for key in keys
    ]
    lead = f"Means, with their 95 % intervals, sorted by {shown[0].title}."
    if len(main) > TABLE_ROWS:
        lead += f" The best {TABLE_ROWS} of {len(main):,}; metrics.csv has all."
    if len(metrics) > TABLE_METRICS:
        lead += f" {len(metrics) - TABLE_METRICS} more measures are in metrics.csv."
    titles = [metric.title for metric in shown]
    return {"rows": rows, "axes": [words(a) for a in axes], "metrics": titles, "lead": lead}


def _keys(summary: pd.DataFrame, axes: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return the point of each row: the values of `axes`."""
    return [tuple(key) for key in summary[list(axes)].to_numpy(dtype=object).tolist()]


def _cell(row: Mapping[Hashable, Any] | None) -> dict[str, str]:
    if row is None:
        return {"mean": "–", "interval": ""}
    return {"mean": number(row["mean"]), "interval": interval(row)}


def _sheets_lead(sheets: Sequence[Picture], settings: int) -> str:
    shown = shown_settings(sheets)
    which = f"the best {shown} of {settings:,}" if shown < settings else "every setting"
    return (
        f"Real samples are framed; beside them stand the first samples of {which}, not chosen: "
        f"images enlarged without smoothing, points over real ones in grey."
    )


# ── what is missing, and where it comes from ────────────────────────────────────────────────────


def _gaps_lead(plan: Plan, gaps: Sequence[Gap]) -> str:
    parts: Counter[str] = Counter(gap.part for gap in gaps)
    totals = {"training": len(plan.runs), "score error": len(plan.runs)}
    totals["sampling"] = len(plan.runs) * len(plan.settings)
    names = {"training": "trainings", "score error": "score errors", "sampling": "settings"}
    counts = [f"{parts[part]:,} of {totals[part]:,} {names[part]}" for part in names if parts[part]]
    failed = sum(gap.state == "failed" for gap in gaps)
    text = f"Without a result: {', '.join(counts)}"
    return f"{text}. Failed: {failed:,}." if failed else f"{text}."


def _gap_row(gap: Gap) -> dict[str, str]:
    which = f"--run {gap.run}" + (f" --setting {gap.setting}" if gap.setting else "")
    steps = {"training": ["train"], "score error": ["score-error"], "sampling": ["evaluate"]}
    commands = steps[gap.part]
    if gap.part == "sampling" and "not evaluated" not in gap.reason:
        commands = ["sample", "evaluate"]
    return {
        "part": gap.part,
        "name": gap.name,
        "state": gap.state,
        "reason": gap.reason,
        "command": " && ".join(f"scoresweep {command} STUDY {which}" for command in commands),
    }


def _origins(plan: Plan, tables: Tables) -> list[tuple[str, str]]:
    """Return program, machine and data of the report."""
    about = tables.tree.attrs
    versions: dict[str, str] = json.loads(about["versions"])
    commit = about["commit"] or "no repository"
    if about["commit"] and json.loads(about["uncommitted_changes"]):
        commit += " with uncommitted changes"
    found = {
        "written": about["created"],
        "commit": commit,
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items() if version),
        "machine": f"{about['processor']}, {about['cores']} cores, Python {about['python']}, "
        f"{about['platform']}",
    }
    return [*found.items(), *_datasets(plan)]


def _datasets(plan: Plan) -> Iterable[tuple[str, str]]:
    """Yield source and licence of every staged dataset."""
    for dataset in plan.study.dataset:
        path = plan.layout.dataset_manifest(dataset.id)
        if path.exists():
            about = json.loads(path.read_text(encoding="utf-8"))["attributes"]
            source, licence = about.get("source", "unknown"), about.get("licence", "unknown")
            yield f"data: {dataset.id}", f"{source}; licence: {licence}"
