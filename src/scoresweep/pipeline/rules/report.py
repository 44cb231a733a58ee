"""Rule `report`: collect finished results into a labelled file, a table and a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import xarray as xr

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.report.hparams import write_final_metrics
from scoresweep.pipeline.report.page.render import Figures, render_page
from scoresweep.pipeline.report.plots.second_process import draw_in_second_process
from scoresweep.pipeline.report.published_values import published_dataset, published_values
from scoresweep.pipeline.report.sections import (
    cost_maps,
    density_animations,
    errors_by_density,
    metric_maps,
    neighbours,
    overview,
    recovered_densities,
    sample_grids,
    score_errors,
    shares,
    signals_to_noise,
    training_curves,
    trajectory_figures,
    vector_fields,
)
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.summarise import with_summary
from scoresweep.pipeline.report.tables.axes import axis_options
from scoresweep.pipeline.report.tables.collect import collect
from scoresweep.pipeline.report.tables.frames import long_table, metric_names, wide_table
from scoresweep.pipeline.report.tables.labels import with_labels
from scoresweep.pipeline.report.tables.ranking import ranking_metrics
from scoresweep.pipeline.report.tables.report_data import MissingResult, ReportData
from scoresweep.pipeline.report.tables.summary_group import summary_frame, summary_group
from scoresweep.pipeline.report.warnings.find_warnings import warnings_attribute, with_warnings
from scoresweep.pipeline.results import examine_results, outdated_measurements
from scoresweep.pipeline.results.code_summary import report_other_code
from scoresweep.pipeline.results.halving_choice import write_choice
from scoresweep.pipeline.results.input_hashes import made_from_attribute
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.study.labels import labels_hash
from scoresweep.pipeline.study.published import published_hash
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.pipeline.system.console import counted, say

__all__ = ["report"]

MAX_NAMED = 5
"""Maximum number of missing results named on the terminal."""


def report(plan: Plan) -> None:
    """Write the report of the existing results: its page, its figures, and its numbers.

    The numbers are in `report.nc`, `metrics.csv` and `summary.csv`.

    Missing and failed results are NaN in the numbers and listed on the page. Raises `InputError` if
    there is nothing to report: no result and no failure.
    """
    with draw_in_second_process(len(plan.runs) * len(plan.settings)):
        _write_report(plan)


def _write_report(plan: Plan) -> None:
    paths = plan.paths
    results = examine_results(plan)
    outdated = outdated_measurements(plan, results)
    for choice in results.choices.values():
        write_choice(plan, choice)
    data = collect(plan, collect_jobs(plan, results), outdated, results)
    data.tree.attrs |= made_from_attribute(
        {
            "results": results.content_sha256(),
            "published": published_hash(plan.study.published),
            "labels": labels_hash(plan.study, plan.labels),
        }
    )
    is_empty = all(not metric_names(group.to_dataset()) for group in data.tree.children.values())
    if is_empty and all(result.state != "failed" for result in data.missing):
        raise InputError(
            f"{paths.results}: no result of the study {plan.study.study}. Run the study first: "
            f"snakemake --cores all --configfile STUDY"
        )
    wide = wide_table(data)
    metrics = ranking_metrics(data.tree["sampling"].to_dataset(), wide)
    data = with_summary(data, wide, metrics)
    published = published_values(plan, data, data.finalists(data.ranked(wide)), metrics)
    if published:
        data.tree["published"] = xr.DataTree(published_dataset(published))
    summary = summary_group(data.summary, wide, axis_options(plan.study), plan.labels)
    data.tree["summary"] = xr.DataTree(summary)
    shown = _shown(plan, data, wide, metrics)
    data.tree.attrs |= warnings_attribute(shown.warnings)
    figures = _figures(plan, shown, wide_table(shown), metrics)
    with atomic_write(paths.report) as temporary:
        data.tree.to_netcdf(temporary, engine="h5netcdf")
    with atomic_write(paths.metrics_table) as temporary:
        long_table(data).to_csv(temporary, index=False)
    with atomic_write(paths.summary_table) as temporary:
        summary_frame(data.summary, plan.labels).to_csv(temporary, index=False)
    with atomic_write(paths.figures) as folder:
        folder.mkdir()
        for figure in figures.all():
            (folder / f"{figure.name}.png").write_bytes(figure.png)
            (folder / f"{figure.name}.pdf").write_bytes(figure.pdf)
    with atomic_write(paths.report_page) as temporary:
        temporary.write_text(_page(plan, shown, metrics, figures), encoding="utf-8")
    write_final_metrics(plan, data, wide, metrics)
    _print_summary(plan, data.missing, len(wide))
    for warning in shown.warnings:
        say(f"  {warning.setting}: {warning.finding.text}")
    report_other_code(data.codes)


def _shown(
    plan: Plan, data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> ReportData:
    """Return `data` as it is shown: with labels in place of values, and with warnings."""
    if plan.labels:
        data = replace(data, tree=with_labels(data.tree, plan.labels))
        wide = wide_table(data)
        data = with_summary(data, wide, metrics)
    finalists = data.finalists(data.ranked(wide))
    return with_warnings(plan, data, finalists, data.metrics_of_finalists(finalists, metrics))


def _page(plan: Plan, shown: ReportData, metrics: Sequence[RankedMetric], figures: Figures) -> str:
    wide = wide_table(shown)
    published = published_values(plan, shown, shown.finalists(shown.ranked(wide)), metrics)
    return render_page(plan, shown, wide, metrics, figures, published)


def _print_summary(plan: Plan, missing: Sequence[MissingResult], settings: int) -> None:
    """Print the path of the page and the first missing results."""
    counts = counted(settings, "setting")
    if not missing:
        say(f"{plan.paths.report_page}: {counts}; no result is missing")
        return
    count = "1 result is missing" if len(missing) == 1 else f"{len(missing):,} results are missing"
    say(f"{plan.paths.report_page}: {counts}; {count}:")
    for result in missing[:MAX_NAMED]:
        say(f"  {result.part} of {result.name}: {result.reason}")
    if len(missing) > MAX_NAMED:
        say(f"  and {len(missing) - MAX_NAMED:,} more; see the page")


def _figures(
    plan: Plan, data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> Figures:
    ranked, main = data.ranked(wide), metrics[0] if metrics else None
    finalists = data.finalists(ranked)
    labels = plan.labels.get("dataset", {})
    datasets = [labels.get(dataset.id, dataset.id) for dataset in plan.study.dataset]
    networks = (
        score_errors,
        errors_by_density,
        recovered_densities,
        density_animations,
        vector_fields,
    )
    return Figures(
        overview=list(overview(plan, data, finalists, main, datasets)),
        maps=[*metric_maps(data, ranked, metrics), *signals_to_noise(data)],
        costs=list(cost_maps(data, ranked, metrics)),
        score_errors=[figure for section in networks for figure in section(data)],
        sample_grids=sample_grids(plan, data, wide, main, datasets),
        samples=[
            *neighbours(plan, data, finalists, main, datasets),
            *trajectory_figures(plan, data, finalists, main),
            *(shares(data, finalists, main) if main else ()),
        ],
        curves=list(training_curves(data)),
    )
