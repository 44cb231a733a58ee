"""Shared fixtures of the pipeline's tests."""

from __future__ import annotations

import io

import pytest
from PIL import Image


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write blank figures, which halves the time of tests of the page's text."""
    buffer = io.BytesIO()
    Image.new("L", (60, 60)).save(buffer, "PNG")
    for name, content in (("png", buffer.getvalue()), ("pdf", b"")):
        monkeypatch.setattr(
            f"scoresweep.pipeline.report.sections.captioned_figure.{name}",
            lambda figure, c=content: c,
        )
