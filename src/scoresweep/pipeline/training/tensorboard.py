"""TensorBoard: one continuous history per run, across restarts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from scoresweep.pipeline.system.atomic_files import sync_to_disk

__all__ = ["Tracker", "image_grid"]

GREY = 96
"""Grey value of the lines between samples."""


class Tracker:
    """Writes points of the curves and sample images."""

    def __init__(self, folder: Path, step: int) -> None:
        """Open the history in `folder`, hiding events after `step`."""
        _rename_future_event_files(folder)
        self.writer = SummaryWriter(str(folder), purge_step=step + 1)

    def point(self, step: int, scalars: dict[str, float], level_loss: list[float]) -> None:
        """Write a point of the curves."""
        names = {"loss": "loss/all_levels", "images_per_second": "speed/images_per_second"}
        for name, value in scalars.items():
            self.writer.add_scalar(names.get(name, f"optimiser/{name}"), float(value), step)
        for level, value in enumerate(level_loss, start=1):
            if np.isfinite(value):
                self.writer.add_scalar(f"loss_of_level/{level:04d}", float(value), step)

    def image(self, step: int, samples: Tensor) -> None:
        """Write a grid of samples, (N, C, H, W) in [0, 1]."""
        self.writer.add_image("samples/averaged_weights", image_grid(samples), step)

    def flush(self) -> None:
        """Flush all events to disk."""
        self.writer.flush()
        sync_to_disk(Path(self.writer.log_dir))

    def close(self) -> None:
        """Write buffered events and close the file."""
        self.writer.close()


def _rename_future_event_files(folder: Path) -> None:
    """Rename event files that TensorBoard would read after a new one.

    It reads files in the order of their names, which contain the second of the start and then the
    process. If two starts share a second, or the clocks of two nodes differ, the earlier file can
    come last.
    """
    latest = int(time.time())
    for file in sorted(folder.glob("events.out.tfevents.*"), reverse=True):
        *start, second, rest = file.name.split(".", 4)
        if int(second) >= latest:
            second = f"{latest - 1:010d}"
            file.rename(file.with_name(".".join([*start, second, rest])))
        latest = int(second)


def image_grid(samples: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Arrange samples (N, C, H, W) in a square grid with grey lines between them.

    Small samples are enlarged by repeating pixels, to at least 64 on the longer side.
    """
    count, channels, height, width = samples.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    scale = max(1, -(-64 // max(height, width)))
    pixels = (samples.detach().float().clamp(0, 1) * 255).round().byte().cpu().numpy()
    sheet = np.zeros((rows * columns, channels, scale * height + 1, scale * width + 1), np.uint8)
    sheet[:count, :, :-1, :-1] = pixels.repeat(scale, axis=2).repeat(scale, axis=3)
    sheet[:, :, -1], sheet[:, :, :, -1] = GREY, GREY
    sheet = sheet.reshape(rows, columns, *sheet.shape[1:]).transpose(2, 0, 3, 1, 4)
    flat = sheet.reshape(channels, sheet.shape[1] * sheet.shape[2], -1)
    return flat[:, :-1, :-1]
