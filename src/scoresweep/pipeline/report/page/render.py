"""The report as one self-contained page: no network, no server, no other file."""

from __future__ import annotations

import base64
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import pandas as pd
import yaml

from scoresweep.pipeline.report.page.best_setting import best_setting_cards
from scoresweep.pipeline.report.page.best_step_rows import MAX_ROWS, best_step_rows
from scoresweep.pipeline.report.page.explorer import explorer
from scoresweep.pipeline.report.page.halving_table import doubt_note, halving_rows
from scoresweep.pipeline.report.page.likelihood_table import likelihood_table
from scoresweep.pipeline.report.page.number_tables import (
    best_rows,
    cost_table,
    interval_note,
    number_table,
    other_rows,
)
from scoresweep.pipeline.report.page.published_table import published_table
from scoresweep.pipeline.report.page.study_facts import study_facts, study_size
from scoresweep.pipeline.report.plots import LineChart, chart_constants
from scoresweep.pipeline.report.published_values import PublishedValue
from scoresweep.pipeline.report.sections import CaptionedFigure, SampleGrids
from scoresweep.pipeline.report.sections.missing import (
    MAX_MISSING_ROWS,
    blocked_note,
    failure_rows,
    missing_rows,
    missing_summary,
)
from scoresweep.pipeline.report.sections.provenance_table import mixed_code_warning, provenance_rows
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.tables.report_data import ReportData
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.grid import content_with_defaults

__all__ = ["Figures", "render_page", "to_script"]

UNBREAKABLE = re.compile(r"−?\d[\d.]*(?:e-?\d+)?(?: %)|−?\d[\d.]*e-\d+|σ = [\d.e-]*\d")
"""Numbers that a browser would break at a hyphen or a space."""


class Figures(NamedTuple):
    """The figures of the page, section by section."""

    overview: list[CaptionedFigure]
    maps: list[CaptionedFigure]
    costs: list[CaptionedFigure]
    score_errors: list[CaptionedFigure]
    sample_grids: SampleGrids
    samples: list[CaptionedFigure]
    curves: list[CaptionedFigure]

    def all(self) -> list[CaptionedFigure]:
        """Return every figure."""
        sample_grids = [figure for row in self.sample_grids.rows for figure in row]
        lists = (self.overview, self.maps, self.costs, self.score_errors, self.samples)
        return [*itertools.chain(*lists), *sample_grids, *self.curves]


def render_page(
    plan: Plan,
    data: ReportData,
    wide: pd.DataFrame,
    metrics: Sequence[RankedMetric],
    figures: Figures,
    published: Sequence[PublishedValue] = (),
) -> str:
    """Return the page; `metrics` are those of `wide`, the main one first."""
    finalists = data.finalists(data.ranked(wide))
    final_metrics = data.metrics_of_finalists(finalists, metrics)
    panels = _panels(figures)
    explored = explorer(data, data.ranked(wide), metrics, plan.labels)
    content = figures._asdict() | _tables(plan, data, wide, metrics, published)
    return _template().render(
        style=_read_text("style.css"),
        page_script=_read_text("page.js"),
        study=plan.study.study,
        lead=study_size(plan),
        contents=_contents(content),
        best_setting_cards=best_setting_cards(plan, data, finalists, final_metrics),
        no_best=_no_best(data),
        best_rows=best_rows(data, finalists, final_metrics),
        other_rows=other_rows(data, finalists, final_metrics),
        interval_note=interval_note(data, wide),
        facts=study_facts(plan, data),
        cost_metric=_cost_metric(explored),
        sample_grids_lead=_sample_grids_lead(figures.sample_grids, wide),
        code_warning=mixed_code_warning(data),
        provenance_rows=provenance_rows(plan, data),
        config=yaml.safe_dump(content_with_defaults(plan.study), sort_keys=False),
        panels=list(panels),
        explorer=explored,
        **content,
        **_scripts({"explorer": explored, "panels": list(panels.values())}),
    )


def _no_best(data: ReportData) -> str:
    """Say why there is no best setting: none is measured yet, or no metric ranks them."""
    if any(result.part == "sampling" for result in data.missing):
        return "No setting has been measured yet."
    return "No metric of this study ranks settings, so none is the best."


def _tables(
    plan: Plan,
    data: ReportData,
    wide: pd.DataFrame,
    metrics: Sequence[RankedMetric],
    published: Sequence[PublishedValue],
) -> dict[str, Any]:
    """Return the tables of the page and what is said about them, by their names there."""
    missing = missing_rows(data.missing)
    return {
        "published": published_table(published),
        "halving_rows": halving_rows(data.choices),
        "halving_measure": plan.halving.measure if plan.halving else "",
        "doubt_note": doubt_note(data.choices),
        "best_step_rows": best_step_rows(plan, wide),
        "max_best_step_rows": MAX_ROWS,
        "cost_table": cost_table(data, wide, metrics),
        "likelihoods": likelihood_table(data),
        "number_table": number_table(data, wide, metrics),
        "missing": missing[:MAX_MISSING_ROWS],
        "more_missing": max(0, len(missing) - MAX_MISSING_ROWS),
        "blocked_note": blocked_note(data.missing),
        "missing_summary": missing_summary(plan, data),
        "failures": failure_rows(data.failures),
    }


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["data_url"] = _data_url
    environment.filters["nowrap"] = _nowrap
    return environment.from_string(_read_text("template.html"))


def _read_text(name: str) -> str:
    """Return the text of a file in this folder."""
    return files("scoresweep.pipeline.report.page").joinpath(name).read_text(encoding="utf-8")


def _panels(figures: Figures) -> dict[str, list[dict[str, Any]]]:
    """Return the line charts of each interactive panel, by its title."""
    panels: dict[str, list[dict[str, Any]]] = {}
    for figure in figures.all():
        if isinstance(figure.chart, LineChart) and figure.panel:
            chart = figure.chart.to_json() | {"title": figure.title, "caption": figure.caption}
            panels.setdefault(figure.panel, []).append(chart)
    return panels


def _scripts(interactive: dict[str, Any]) -> dict[str, str]:
    """Return numbers, Plotly and our own code; empty without any chart."""
    if not any(interactive.values()):
        return {"numbers": "", "plotly": "", "script": ""}
    # Importing Plotly's Python half takes a second.
    spec = find_spec("plotly")
    assert spec is not None
    assert spec.origin is not None
    library = Path(spec.origin).parent / "package_data" / "plotly.min.js"
    return {
        "numbers": to_script(interactive | {"constants": chart_constants()}),
        "plotly": library.read_text("utf-8"),
        "script": "\n".join(map(_read_text, ("explorer.js", "charts.js"))),
    }


def to_script(content: dict[str, Any]) -> str:
    """Return JSON that is safe inside <script>, whatever text it contains."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c")


def _cost_metric(explored: dict[str, Any] | None) -> int | None:
    """Return the index of the first metric that is a network's cost."""
    titles = [measure["title"] for measure in explored["measures"]] if explored else []
    return next((i for i, title in enumerate(titles) if title.endswith("network cost")), None)


def _nowrap(text: str) -> str:
    """Return HTML that keeps each number on one line: "2e-5" would break at its hyphen."""
    return UNBREAKABLE.sub(r'<span class="nowrap">\g<0></span>', escape(text))


def _data_url(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _contents(content: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return anchor and title of each section of a page with this content."""
    sections = [
        ("best", "Best setting", True),
        ("published", "Published values", content["published"]),
        ("study", "The study", True),
        ("halving", "Successive halving", content["halving_rows"]),
        ("best-steps", "Chosen training steps", content["best_step_rows"]),
        ("maps", "Every setting", content["maps"]),
        ("costs", "Sampler or network", content["costs"]),
        ("score-error", "Score error", content["score_errors"]),
        ("likelihood", "Bits per dimension", content["likelihoods"]),
        ("samples", "Samples", content["sample_grids"].rows or content["samples"]),
        ("training", "Training", content["curves"]),
        ("table", "All numbers", content["number_table"]["rows"]),
        ("missing", "Missing or failed", content["missing"] or content["failures"]),
        ("provenance", "Provenance", True),
    ]
    return [(anchor, title) for anchor, title, is_present in sections if is_present]


def _sample_grids_lead(sample_grids: SampleGrids, wide: pd.DataFrame) -> str:
    """Say which settings have samples on the page; `wide` may have several rows of one."""
    shown, settings = sample_grids.settings, len(wide.drop_duplicates(["run", "setting"]))
    if not shown:
        return "Real samples. There are no samples of measured settings yet."
    which = f"the best {shown} of {settings:,} settings" if shown < settings else "every setting"
    return (
        f"The first samples of {which}, not selected, and as many real ones (framed). Images are "
        f"enlarged without smoothing; points are drawn over real ones in grey."
    )
