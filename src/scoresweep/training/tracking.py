"""TensorBoard: one history a run, whatever the number of restarts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from scoresweep.files import flush

__all__ = ["Tracker", "picture", "write_hparams"]


class Tracker:
    """Writes the points of the curves and pictures of samples."""

    def __init__(self, folder: Path, step: int) -> None:
        """Open the history in `folder`; what it holds of steps after `step` is hidden."""
        _sort_before_now(folder)
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
        """Write a sheet of samples, shape (N, C, H, W) in [0, 1]."""
        self.writer.add_image("samples/averaged_weights", picture(samples), step)

    def flush(self) -> None:
        """Make the disk hold what was written."""
        self.writer.flush()
        flush(Path(self.writer.log_dir))

    def close(self) -> None:
        """Write out what is waiting."""
        self.writer.close()


def _sort_before_now(folder: Path) -> None:
    """Rename event files that TensorBoard would read after a new one.

    It reads in the order of the names, which hold the second of the start and then the process. Of
    two starts in one second, or on nodes whose clocks differ, the earlier one can come last.
    """
    latest = int(time.time())
    for file in sorted(folder.glob("events.out.tfevents.*"), reverse=True):
        *start, second, rest = file.name.split(".", 4)
        if int(second) >= latest:
            second = f"{latest - 1:010d}"
            file.rename(file.with_name(".".join([*start, second, rest])))
        latest = int(second)


def picture(samples: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Lay out samples (N, C, H, W) in rows, each pixel enlarged to at least 64 points a side."""
    count, channels, height, width = samples.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    pixels = (samples.detach().float().clamp(0, 1) * 255).round().byte().cpu().numpy()
    sheet = np.zeros((rows * columns, channels, height, width), np.uint8)
    sheet[:count] = pixels
    sheet = sheet.reshape(rows, columns, channels, height, width).transpose(2, 0, 3, 1, 4)
    scale = max(1, -(-64 // max(height, width)))
    flat = sheet.reshape(channels, rows * height, columns * width)
    return flat.repeat(scale, axis=1).repeat(scale, axis=2)


def write_hparams(folder: Path, options: dict[str, Any], metrics: dict[str, float]) -> None:
    """Write what TensorBoard's HParams tab compares: options and final metrics of a run.

    The file is made anew each time, so that a run stays one line of the table.
    """
    for old in folder.glob("events.*.hparams"):
        old.unlink()
    plain = {
        key: value if isinstance(value, int | float | str | bool) else str(value)
        for key, value in options.items()
    }
    values = {key: float(value) for key, value in metrics.items()}
    writer = SummaryWriter(str(folder), filename_suffix=".hparams")
    for summary in hparams(plain, values):  # type: ignore[no-untyped-call]
        writer._get_file_writer().add_summary(summary)  # type: ignore[no-untyped-call]
    for key, value in values.items():
        writer.add_scalar(key, value)
    writer.close()
