import time
from pathlib import Path

import numpy as np
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from scoresweep.pipeline.training.tensorboard import GREY, Tracker, image_grid


def read(folder):
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    return events


def test_samples_are_in_rows_and_unused_cells_are_black():
    samples = torch.arange(1, 6).reshape(5, 1, 1, 1).expand(5, 1, 64, 32) / 255
    sheet = image_grid(samples)
    assert sheet.shape == (1, 2 * 65 - 1, 3 * 33 - 1)
    assert sheet.dtype == np.uint8
    corners = sheet[0, ::65, ::33]
    assert corners.tolist() == [[1, 2, 3], [4, 5, 0]]
    assert (sheet[0, :64, 33:65] == 2).all()
    assert (sheet[0, 64] == GREY).all()
    assert (sheet[0, :, 32] == GREY).all()


def test_small_samples_are_enlarged_by_repeating_pixels():
    sample = torch.rand(1, 3, 5, 7)
    sheet = image_grid(sample)
    assert sheet.shape == (3, 50, 70)  # 10 times: the longer side is 64 or more
    grey = (255 * sample[0]).round().numpy()
    np.testing.assert_array_equal(sheet[:, ::10, ::10], grey)
    np.testing.assert_array_equal(sheet[:, 9::10, 9::10], grey)


def test_values_outside_the_range_are_clamped_and_large_samples_not_enlarged():
    sheet = image_grid(torch.tensor([-2.0, 3.0]).reshape(1, 1, 1, 2).expand(1, 1, 65, 2))
    assert sheet.shape == (1, 65, 2)
    assert sheet[0, 0].tolist() == [0, 255]


def test_points_are_written_under_their_names(tmp_path):
    tracker = Tracker(tmp_path, 0)
    scalars = {"loss": 2.5, "gradient_norm": 3.0, "images_per_second": 100.0}
    tracker.point(10, scalars, [1.0, float("nan"), 4.0])
    tracker.image(10, torch.zeros(1, 1, 8, 8))
    tracker.close()
    events = read(tmp_path)
    found = {
        tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }
    assert found == {
        "loss/all_levels": [(10, 2.5)],
        "optimiser/gradient_norm": [(10, 3.0)],
        "speed/images_per_second": [(10, 100.0)],
        "loss_of_level/0001": [(10, 1.0)],
        "loss_of_level/0003": [(10, 4.0)],
    }
    assert [e.step for e in events.Images("samples/averaged_weights")] == [10]


def test_events_after_the_checkpoint_are_hidden(tmp_path):
    first = Tracker(tmp_path, 0)
    for step in (10, 20, 30):
        first.point(step, {"loss": 1.0}, [])
    first.close()
    second = Tracker(tmp_path, 20)
    for step in (30, 40):
        second.point(step, {"loss": 2.0}, [])
    second.close()
    found = [(e.step, e.value) for e in read(tmp_path).Scalars("loss/all_levels")]
    assert found == [(10, 1.0), (20, 1.0), (30, 2.0), (40, 2.0)]


def test_starts_are_read_in_order_despite_clocks_and_process_ids(tmp_path):
    """On one node whose clock is an hour ahead, then two starts within a second elsewhere."""
    for start in range(4):
        tracker = Tracker(tmp_path, 10 * start)
        for step in (10 * start + 10, 10 * start + 20):
            tracker.point(step, {"loss": float(start)}, [])
        file = Path(tracker.writer.file_writer.event_writer._file_name)
        tracker.close()
        ahead = 3600 if start == 1 else 0
        # Later starts have smaller process ids, so names alone would reverse the order.
        file.rename(tmp_path / f"events.out.tfevents.{int(time.time()) + ahead}.node.{9 - start}.0")
    found = [(e.step, e.value) for e in read(tmp_path).Scalars("loss/all_levels")]
    assert found == [(10, 0.0), (20, 1.0), (30, 2.0), (40, 3.0), (50, 3.0)]
