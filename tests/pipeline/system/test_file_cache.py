"""Values loaded from files are kept for a batch of settings."""

from __future__ import annotations

import os
from pathlib import Path

from scoresweep.pipeline.system.file_cache import keep_loaded, load_once


def test_a_file_is_loaded_again_only_if_it_changes(tmp_path: Path) -> None:
    file, loads = tmp_path / "file", []

    def load() -> list[str]:
        loads.append(file.read_text())
        return [loads[-1]]

    file.write_text("one")
    load_once("text", (file,), load)
    load_once("text", (file,), load)
    assert loads == ["one", "one"], "nothing is kept by default"
    with keep_loaded():
        first = load_once("text", (file,), load)
        assert load_once("text", (file,), load) is first
        copied = load_once("text", (file,), load, copies=True)
        copied.append("changed")
        assert load_once("text", (file,), load) == ["one"]
        assert len(loads) == 3
        file.write_text("two")
        os.utime(file, ns=(1, 1))
        assert load_once("text", (file,), load) == ["two"]
        assert load_once("other", (file,), lambda: 1) == 1
        assert load_once("text", (tmp_path / "file",), load) == ["two"]
        assert len(loads) == 4
    load_once("text", (file,), load)
    assert len(loads) == 5, "nothing is kept afterwards"
