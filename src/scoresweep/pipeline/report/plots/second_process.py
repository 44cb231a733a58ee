"""Draw charts in a second process, while this one computes what the next ones show."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from matplotlib.figure import Figure

from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.report.plots.charts import HeatMap, LineChart
from scoresweep.pipeline.report.plots.draw import draw_heat_map, draw_lines
from scoresweep.pipeline.report.plots.images import enlarged_pixels
from scoresweep.pipeline.report.plots.style import pdf, png
from scoresweep.pipeline.system.memory_errors import describe_exit
from scoresweep.pipeline.system.process import exit_with_parent
from scoresweep.pipeline.system.provenance import usable_cores

__all__ = ["Files", "draw", "draw_in_second_process"]

MANY_SETTINGS = 12
"""Number of settings from which a second process saves more than its start takes."""

Files = tuple[bytes, bytes]
"""A figure as PNG and as PDF."""

_pool: ProcessPoolExecutor | None = None
"""The second process; None: draw in this one."""


@contextlib.contextmanager
def draw_in_second_process(settings: int) -> Iterator[None]:
    """Within this block, `draw` uses a second process, if that saves time.

    `settings` is the number of settings of the study. Raises `RunError` if the process is killed.
    """
    global _pool
    if settings < MANY_SETTINGS or usable_cores() == 1:
        yield
        return
    context = multiprocessing.get_context("spawn")
    _pool = ProcessPoolExecutor(1, context, _prepare)
    _pool.submit(_do_nothing)  # it starts at once, since its imports take a second
    try:
        yield
    except BrokenProcessPool:
        raise RunError(describe_exit("report")) from None
    finally:
        pool, _pool = _pool, None
        pool.shutdown(cancel_futures=True)


def draw(content: LineChart | HeatMap | Figure | bytes) -> Future[Files]:
    """Draw a chart, in the second process if there is one; draw any other figure here.

    A PNG file of enlarged pixels stays as it is, and gets a PDF with the same pixels.
    """
    if _pool is not None and not isinstance(content, Figure):
        return _pool.submit(_draw, content)
    files = Future[Files]()
    files.set_result(_draw(content))
    return files


def _draw(content: LineChart | HeatMap | Figure | bytes) -> Files:
    if isinstance(content, bytes):
        return content, pdf(enlarged_pixels(content))
    if isinstance(content, HeatMap):
        content = draw_heat_map(content)
    elif isinstance(content, LineChart):
        content = draw_lines(content)
    return png(content), pdf(content)


def _prepare() -> None:
    """Ignore Ctrl-C, which the first process handles, and end with that process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exit_with_parent()


def _do_nothing() -> None:
    pass
