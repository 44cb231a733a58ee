"""The options and final metrics of a run, for TensorBoard's HParams tab.

Written by TensorBoard's own package, as PyTorch's `SummaryWriter` writes them: the report, which
writes one file for each run, does without PyTorch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from scoresweep.pipeline.study import Run

__all__ = ["run_hparams", "write_hparams"]

COLUMNS = 3
"""Minimum number of options in TensorBoard's HParams tab; swept options are always shown."""

Options = Mapping[str, float | str]


def run_hparams(run: Run) -> dict[str, Any]:
    """Return the options that identify a run, the swept ones first.

    There are few, so that TensorBoard's table has room for results.
    """
    train = run.train
    fixed = {"dataset": run.dataset.id, "network": train.network.name}
    fixed |= {"objective": train.objective.name}
    room = max(0, COLUMNS - len(run.axes))
    others = [name for name in fixed if name not in run.axes][:room]
    return run.axes | {name: fixed[name] for name in others}


def write_hparams(folder: Path, options: dict[str, Any], metrics: dict[str, float]) -> None:
    """Write the options and final metrics of a run for TensorBoard's HParams tab.

    The previous file is replaced, so that a run remains one row of the table.
    """
    for old in folder.glob("events.*.hparams"):
        old.unlink()
    plain = {
        key: float(value) if isinstance(value, int | float) else str(value)
        for key, value in options.items()
    }
    values = [Summary.Value(tag=key, simple_value=value) for key, value in metrics.items()]
    writer = EventFileWriter(str(folder), filename_suffix=".hparams")
    for value in (*_session(plain, list(metrics)), *values):
        writer.add_event(Event(wall_time=time.time(), summary=Summary(value=[value])))
    writer.close()


def _session(options: Options, metrics: list[str]) -> Iterator[Summary.Value]:
    """Yield the columns of the table, the options of the run, and its end."""
    infos = [
        api_pb2.HParamInfo(
            name=key,
            type=api_pb2.DATA_TYPE_STRING if isinstance(value, str) else api_pb2.DATA_TYPE_FLOAT64,
        )
        for key, value in options.items()
    ]
    names = [api_pb2.MetricInfo(name=api_pb2.MetricName(tag=name)) for name in metrics]
    columns = api_pb2.Experiment(hparam_infos=infos, metric_infos=names)
    yield _value(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=columns))
    start = SessionStartInfo()
    for key, value in options.items():
        if isinstance(value, str):
            start.hparams[key].string_value = value
        else:
            start.hparams[key].number_value = value
    yield _value(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start))
    end = SessionEndInfo(status=api_pb2.STATUS_SUCCESS)
    yield _value(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end))


def _value(tag: str, content: HParamsPluginData) -> Summary.Value:
    content.version = metadata.PLUGIN_DATA_VERSION
    data = SummaryMetadata.PluginData(
        plugin_name=metadata.PLUGIN_NAME, content=content.SerializeToString()
    )
    return Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=data))
