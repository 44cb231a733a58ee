import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tiny_study import tiny_plan

from scoresweep.pipeline.training.hparams_file import run_hparams, write_hparams
from scoresweep.pipeline.training.tensorboard import Tracker


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def sessions(folder):
    """Return the options of every session that TensorBoard's HParams tab would show."""
    found = []
    for path in sorted(folder.glob("*.hparams")):
        for tag, data in read(path).summary_metadata.items():
            if tag == "_hparams_/session_start_info":
                content = HParamsPluginData.FromString(data.plugin_data.content)
                found.append(content.session_start_info.hparams)
    return found


def test_writing_the_options_again_replaces_them(tmp_path):
    tracker = Tracker(tmp_path, 0)
    tracker.point(10, {"loss": 1.0}, [])
    tracker.close()
    write_hparams(tmp_path, {"seed": 0, "clip": None}, {"result/loss": 3.0})
    write_hparams(tmp_path, {"seed": 1, "flip": True, "noise": "cosine"}, {"result/loss": 2.0})
    (options,) = sessions(tmp_path)
    assert set(options) == {"seed", "flip", "noise"}
    assert options["seed"].number_value == 1
    assert options["flip"].number_value == 1  # as TensorBoard writes booleans
    assert options["noise"].string_value == "cosine"
    assert [e.value for e in read(tmp_path).Scalars("result/loss")] == [2.0]
    assert [e.value for e in read(tmp_path).Scalars("loss/all_levels")] == [1.0]


def test_options_that_are_not_plain_values_are_written_as_text(tmp_path):
    write_hparams(tmp_path, {"clip": None, "sigmas": [2.0, 1.0]}, {"result/loss": 3.0})
    (options,) = sessions(tmp_path)
    assert options["clip"].string_value == "None"
    assert options["sigmas"].string_value == "[2.0, 1.0]"
    assert [e.value for e in read(tmp_path).Scalars("result/loss")] == [pytest.approx(3.0)]


def test_a_run_is_described_by_swept_options_and_then_by_its_main_options(tmp_path):
    (run, *_) = tiny_plan(tmp_path).runs
    assert run_hparams(run) == {"seed": 0, "dataset": "digits", "network": "mlp"}
    grid = {"noise.levels": [5, 6], "steps": [1, 2], "ema": [0.9, 0.99], "batch_size": [32, 64]}
    (run, *_) = tiny_plan(tmp_path, grid=grid).runs
    assert list(run_hparams(run)) == ["levels", "steps", "ema", "batch_size"]
