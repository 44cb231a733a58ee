"""What TensorBoard's HParams tab is told of the runs of a study."""

from __future__ import annotations

from pathlib import Path

import pytest
from faked_study import CONTENT, fake_metrics, fake_plan, fake_run
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from scoresweep.pipeline.status import jobs
from scoresweep.report.summary import Metric
from scoresweep.report.tables import collect, wide_table
from scoresweep.report.tensorboard import write_final_metrics


def test_the_best_sampler_is_named_and_what_matters_comes_first(tmp_path: Path) -> None:
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
    tables = collect(plan, jobs(plan))
    wide = wide_table(tables)
    chosen = (wide["sampler"] == "probability_flow(denoise=false)") & (wide["chunk"] == 20)
    wide.loc[chosen, "frechet_classifier"] = 0.0625
    metrics = [Metric(f"{name}_classifier", "", "lower", {}) for name in ("frechet", "precision")]
    folder = plan.layout.tensorboard(run.id)
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
