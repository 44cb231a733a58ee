"""The contents of TensorBoard's HParams tab for the runs of a study."""

from __future__ import annotations

from pathlib import Path

import pytest
from faked_study import CONTENT, fake_metrics, fake_plan, fake_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from scoresweep.pipeline.cluster.job_table import collect_jobs
from scoresweep.pipeline.report.hparams import write_final_metrics
from scoresweep.pipeline.report.statistics.summary import RankedMetric
from scoresweep.pipeline.report.tables.collect import collect
from scoresweep.pipeline.report.tables.frames import wide_table


def test_the_best_setting_and_the_main_metric_come_first(tmp_path: Path) -> None:
    samplers = [
        {"name": "annealed_langevin", "step_size": 2e-5},
        {"name": "probability_flow", "denoise": False},
    ]
    sample = {**CONTENT["sample"], "grid": {"sampler": samplers, "chunk": [10, 20]}}
    train = {**CONTENT["train"], "grid": {}}
    plan = fake_plan(tmp_path, train=train, sample=sample)
    (run,) = plan.runs
    fake_run(plan, run)
    for setting in plan.settings:
        fake_metrics(plan, run, setting)
    tables = collect(plan, collect_jobs(plan))
    wide = wide_table(tables)
    chosen = (wide["sampler"] == "probability_flow(denoise=false)") & (wide["chunk"] == 20)
    wide.loc[chosen, "frechet_classifier"] = 0.0625
    metrics = [
        RankedMetric(f"{name}_classifier", "", "lower", {}) for name in ("frechet", "precision")
    ]
    folder = plan.paths.tensorboard(run.id)
    folder.mkdir()
    write_final_metrics(plan, tables, wide, metrics)
    events = EventAccumulator(str(folder))
    events.Reload()
    told = {
        tag: HParamsPluginData.FromString(data.plugin_data.content)
        for tag, data in events.summary_metadata.items()
        if tag.startswith("_hparams_")
    }
    options = told["_hparams_/session_start_info"].session_start_info.hparams
    assert options["best_sampler"].string_value == "probability_flow(denoise=false)"
    assert options["dataset"].string_value == "digits"
    results = [metric.name.tag for metric in told["_hparams_/experiment"].experiment.metric_infos]
    first = ["result/frechet_classifier", "result/best_chunk", "result/training_loss"]
    assert results == [*first, "result/precision_classifier"]
    values = {tag: events.Scalars(tag)[0].value for tag in results}
    assert [values[tag] for tag in first] == pytest.approx([0.0625, 20, 40])


def test_the_best_of_each_run_is_chosen_by_means_over_samplings(tmp_path: Path) -> None:
    grid = {"sampler.step_size": [2e-5, 8e-5], "seed": [0, 1]}
    plan = fake_plan(
        tmp_path,
        train={**CONTENT["train"], "grid": {"noise.levels": [4, 6]}},
        sample={**CONTENT["sample"], "grid": grid},
    )
    for run in plan.runs:
        fake_run(plan, run)
        plan.paths.tensorboard(run.id).mkdir()
        for setting in plan.settings:
            fake_metrics(plan, run, setting)
    tables = collect(plan, collect_jobs(plan))
    wide = wide_table(tables).sort_values(["levels", "step_size", "seed"])
    # 2e-5 twice, then 8e-5, including the luckiest; then the other run
    wide["frechet_classifier"] = [3.0, 4.0, 1.0, 9.0, 6.0, 6.0, 5.0, 5.5]
    metric = RankedMetric("frechet_classifier", "", "lower", {})
    write_final_metrics(plan, tables, wide, [metric])
    for run, (frechet, step_size) in zip(plan.runs, [(3.5, 2e-5), (5.25, 8e-5)], strict=True):
        events = EventAccumulator(str(plan.paths.tensorboard(run.id)))
        events.Reload()
        values = {tag: events.Scalars(tag)[0].value for tag in events.Tags()["scalars"]}
        assert values["result/frechet_classifier"] == frechet
        assert values["result/best_step_size"] == pytest.approx(step_size)
        assert "result/best_seed" not in values
