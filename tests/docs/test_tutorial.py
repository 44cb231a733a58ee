"""The commands of the tutorial run one after the other, with fewer training steps and samples."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT

PAGE = (ROOT / "docs/tutorial.md").read_text("utf-8")
SMALLER = {"steps: 2000": "steps: 20", "count: 500": "count: 40"}


@pytest.mark.slow
def test_the_tutorial_ends_with_a_table(tmp_path):
    ends = []
    for language, text in re.findall(r"```([a-z]+)\n(.*?)```", PAGE, re.DOTALL):
        ends.append(STEPS[language](tmp_path, text))
    table = ends[-1]
    assert re.search(r"^levels +\n10( +\S+ ± \S+){3}\n30( +\S+ ± \S+){3}$", table, re.MULTILINE)
    assert "40 samples, 540 real images" in table
    assert r"\bottomrule" in ends[-2]
    assert (tmp_path / "my_study.pdf").stat().st_size > 5_000


def write_study(folder: Path, text: str) -> None:
    for shown, smaller in SMALLER.items():
        text = text.replace(shown, smaller)
    (folder / "my_study.yaml").write_text(text)


def run_shell(folder: Path, text: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "SCORESWEEP": str(ROOT)}
    return run(["bash", "-ec", text], folder, environment)


def run_python(folder: Path, text: str) -> str:
    return run([sys.executable, "-c", text], folder, dict(os.environ))


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


STEPS = {
    "python": run_python,
    "sh": run_shell,
    "yaml": write_study,
}
