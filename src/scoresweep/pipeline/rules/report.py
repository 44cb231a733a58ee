"""Rule `report`: gather what is finished into one labelled file, one table and one page."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from scoresweep.pipeline.cluster.progress import collect_jobs
from scoresweep.pipeline.errors import InputError
from scoresweep.pipeline.report.hparams import write_final_metrics
from scoresweep.pipeline.report.page.render import Pictures, render_page
from scoresweep.pipeline.report.sections import (
    cost_maps,
    density_animations,
    errors_by_density,
    metric_maps,
    neighbours,
    overview,
    recovered_densities,
    sample_sheets,
    score_errors,
    shares,
    signals_to_noise,
    training_curves,
    trajectory_figures,
    vector_fields,
)
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.tables.collect import (
    MissingResult,
    ReportData,
    collect,
    long_table,
    metric_names,
    wide_table,
)
from scoresweep.pipeline.report.tables.ranking import ranking_metrics
from scoresweep.pipeline.results import examine_results, outdated_measurements
from scoresweep.pipeline.results.code_summary import report_other_code
from scoresweep.pipeline.results.input_hashes import made_from_attribute
from scoresweep.pipeline.study import Plan
from scoresweep.pipeline.system.atomic_files import atomic_write
from scoresweep.pipeline.system.console import say

__all__ = ["report"]

NAMED = 5
"""Most missing results that are named on the terminal."""


def report(plan: Plan) -> None:
    """Write `report.nc`, `metrics.csv`, `figures/` and `report.html` of what is there.

    What is missing or failed is NaN in the numbers and named on the page. Raises `InputError` where
    there is nothing to report at all: no result, and nothing that failed either.
    """
    paths = plan.paths
    results = examine_results(plan)
    data = collect(plan, collect_jobs(plan, results), outdated_measurements(plan, results))
    data.tree.attrs |= made_from_attribute({"results": results.content_sha256()})
    is_empty = all(not metric_names(group.to_dataset()) for group in data.tree.children.values())
    if is_empty and all(gap.state != "failed" for gap in data.gaps):
        raise InputError(
            f"{paths.results}: holds no result of the study {plan.study.study}; run it first: "
            f"snakemake --cores all --configfile STUDY"
        )
    wide = wide_table(data)
    metrics = ranking_metrics(data.tree["sampling"].to_dataset(), wide)
    pictures = _pictures(plan, data, wide, metrics)
    with atomic_write(paths.report) as temporary:
        data.tree.to_netcdf(temporary, engine="h5netcdf")
    with atomic_write(paths.metrics_table) as temporary:
        long_table(data).to_csv(temporary, index=False)
    with atomic_write(paths.figures) as folder:
        folder.mkdir()
        for picture in pictures.all():
            (folder / f"{picture.name}.png").write_bytes(picture.png)
    with atomic_write(paths.report_page) as temporary:
        temporary.write_text(render_page(plan, data, wide, metrics, pictures), encoding="utf-8")
    write_final_metrics(plan, data, wide, metrics)
    _say_what_there_is(plan, data.gaps, len(wide))
    report_other_code(data.codes)


def _say_what_there_is(plan: Plan, gaps: Sequence[MissingResult], settings: int) -> None:
    """Name the report and the first of the results that it does not have."""
    counts = f"{settings:,} setting{'s' * (settings != 1)}"
    if not gaps:
        say(f"{plan.paths.report_page}: {counts}; no result is missing")
        return
    missing = "1 result is missing" if len(gaps) == 1 else f"{len(gaps):,} results are missing"
    say(f"{plan.paths.report_page}: {counts}; {missing}:")
    for gap in gaps[:NAMED]:
        say(f"  {gap.part} of {gap.name}: {gap.reason}")
    if len(gaps) > NAMED:
        say(f"  and {len(gaps) - NAMED:,} more; the page lists them")


def _pictures(
    plan: Plan, data: ReportData, wide: pd.DataFrame, metrics: Sequence[RankedMetric]
) -> Pictures:
    ranked, main = data.ranked(wide), metrics[0] if metrics else None
    maps = [
        picture
        for metric in metrics
        for picture in metric_maps(data, ranked, metric, every_pair=metric is main)
    ]
    maps += signals_to_noise(data)
    names = [dataset.id for dataset in plan.study.dataset]
    samples = list(neighbours(plan.paths, data, ranked, main, names))
    samples += trajectory_figures(plan.paths, data, ranked, main)
    samples += shares(data, ranked, main) if main else []
    figures = (
        score_errors,
        errors_by_density,
        recovered_densities,
        density_animations,
        vector_fields,
    )
    return Pictures(
        overview=list(overview(plan.paths, data, ranked, main, names)),
        maps=maps,
        costs=list(cost_maps(data, wide, metrics)),
        score_errors=[picture for draw in figures for picture in draw(data)],
        sheets=sample_sheets(plan.paths, data, wide, main, names),
        samples=samples,
        curves=list(training_curves(data)),
    )
