import io

import pytest
from rich.console import Console

from scoresweep.pipeline.system import console
from scoresweep.pipeline.system.console import progress, say


@pytest.fixture
def clock(monkeypatch):
    """Simulated time that the test advances."""
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_a_message_is_one_plain_line_on_standard_error(capsys):
    message = "results/[red]x[/red]/" + "long " * 60 + "'quoted' 123"
    say(message)
    captured = capsys.readouterr()
    assert captured.err == message + "\n"
    assert captured.out == ""


def test_without_a_terminal_a_line_is_printed_every_ten_seconds(capsys, clock):
    with progress("train", 100) as advance:
        clock[0] += 9.9
        advance(5)
        assert capsys.readouterr().err == ""
        clock[0] += 10.1
        advance(15)
        assert capsys.readouterr().err == "train: 20 of 100, about 80 s left\n"
        clock[0] += 9.9
        advance(10)
        assert capsys.readouterr().err == ""
        clock[0] += 0.1
        advance(0)
        assert capsys.readouterr().err == "train: 30 of 100, about 70 s left\n"


def test_units_of_an_earlier_start_do_not_count_towards_the_speed(capsys, clock):
    with progress("sample", 100, done=50) as advance:
        clock[0] += 10
        advance(10)
    assert capsys.readouterr().err == "sample: 60 of 100, about 40 s left\n"


def test_no_progress_yet_is_no_error(capsys, clock):
    with progress("sample", 4) as advance:
        clock[0] += 10
        advance(0)
    assert capsys.readouterr().err.startswith("sample: 0 of 4")


def test_on_a_terminal_a_bar_is_shown(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(console.sys.stderr, "isatty", lambda: True, raising=False)
    terminal = Console(file=screen, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(console, "console", lambda: terminal)
    with progress("draw", 10, done=4) as advance:
        advance(3)
    assert "draw" in screen.getvalue()
    assert "7/10" in screen.getvalue()
