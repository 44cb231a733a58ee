"""Shared fixtures: a staged dataset, small studies, the command line."""

import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings
from PIL import Image
from tiny_study import give_data, tiny_plan

from scoresweep.pipeline.study import Plan

os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(1)
# Background processes of scripts ignore Ctrl-C, and so would everything started here.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Tests must not fail because the machine is busy.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests that share a fixture of their module in one process, so that it is made once."""
    for item in items:
        assert isinstance(item, pytest.Function)
        fixtures = item._fixtureinfo.name2fixturedefs.values()
        shares = any(each.scope == "module" for found in fixtures for each in found)
        if shares and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose data/ holds the digits."""
    from scoresweep.pipeline.rules.stage import stage

    root = tmp_path_factory.mktemp("staged")
    stage(tiny_plan(root), "digits")
    return root


@pytest.fixture
def make_plan(staged: Path, tmp_path: Path) -> Callable[..., Plan]:
    """Make a plan of the tiny study in a folder of its own; keywords replace parts of `train`."""

    def make(folder: str = "work", **train: object) -> Plan:
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        if not (root / "data").exists():
            give_data(root, staged)
        return tiny_plan(root, **train)

    return make


@pytest.fixture
def fresh_process() -> Iterator[None]:
    """Undo side effects of training: Accelerate's precision and the signal handlers."""
    from accelerate.state import AcceleratorState

    from scoresweep.pipeline.training.stop_requests import SIGNALS

    AcceleratorState._reset_state(reset_partial_state=True)
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def scoresweep() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a process of its own."""

    def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from scoresweep.pipeline.cli import main; main()"]
        return subprocess.run(
            [*command, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write blank figures, which halves the time of tests of a report's numbers and text."""
    buffer = io.BytesIO()
    Image.new("L", (60, 60)).save(buffer, "PNG")
    module = "scoresweep.pipeline.report.plots.second_process"
    monkeypatch.setattr(f"{module}.usable_cores", lambda: 1)
    for name, content in (("png", buffer.getvalue()), ("pdf", b"")):
        monkeypatch.setattr(f"{module}.{name}", lambda figure, c=content: c)


@pytest.fixture
def read_only() -> Iterator[Callable[..., Path]]:
    """Return a copy of a folder in which nobody can write, not even root.

    Further paths that are given cannot be read either.
    """
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "copy"

        def make(folder: Path, *closed: str) -> Path:
            shutil.copytree(folder, copy)
            for path in (Path(name), copy, *copy.rglob("*")):
                path.chmod(0o555 if path.is_dir() else 0o444)
            for each in closed:
                (copy / each).chmod(0)
            if user == 0:
                os.seteuid(65534)
            return copy

        yield make
        os.seteuid(user)
        for path in (Path(name), *Path(name).rglob("*")):
            path.chmod(0o755)
