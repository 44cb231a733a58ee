"""Charts drawn in a second process."""

import os
import signal
from concurrent.futures import Future

import pytest

from scoresweep.pipeline.errors import RunError
from scoresweep.pipeline.report.plots import Axis, Line, LineChart, second_process
from scoresweep.pipeline.report.plots.second_process import (
    MANY_SETTINGS,
    draw,
    draw_in_second_process,
)

CHART = LineChart(Axis("σ", log=True), Axis("loss"), [Line("a", [1.0, 2.0], [1.0, 3.0])])


def test_a_second_process_draws_the_same_files_and_is_named_if_it_is_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(second_process, "usable_cores", lambda: 2)
    here = draw(CHART).result()
    assert here[0].startswith(b"\x89PNG")
    assert here[1].startswith(b"%PDF")

    def draw_and_kill() -> None:
        with draw_in_second_process(MANY_SETTINGS):
            assert second_process._pool is not None
            process: Future[int] = second_process._pool.submit(os.getpid)
            assert process.result() != os.getpid()
            assert draw(CHART).result() == here
            os.kill(process.result(), signal.SIGKILL)
            draw(CHART).result()

    with pytest.raises(RunError, match="report:mem_mb"):
        draw_and_kill()
    assert second_process._pool is None


@pytest.mark.parametrize(("settings", "cores"), [(MANY_SETTINGS - 1, 2), (MANY_SETTINGS, 1)])
def test_few_settings_or_a_single_core_need_no_second_process(
    monkeypatch: pytest.MonkeyPatch, settings: int, cores: int
) -> None:
    monkeypatch.setattr(second_process, "usable_cores", lambda: cores)
    with draw_in_second_process(settings):
        assert second_process._pool is None
