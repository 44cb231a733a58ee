"""The documentation site, as `make docs` builds it."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys

import pytest
from checkout import ROOT

NAMES = "score noise distributions objectives networks samplers metrics plugins"
TYPES = {"KINDS", "Kind"}
"""Names without a docstring, which the reference leaves out."""


@pytest.mark.slow
def test_the_site_has_every_public_name_and_needs_no_network(tmp_path):
    """Broken links and missing pages are warnings, and warnings end the build."""
    pytest.importorskip("mkdocs", reason="make docs installs MkDocs")
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert build.returncode == 0, build.stderr
    for name in NAMES.split():
        page = (tmp_path / "api" / f"{name}.html").read_text("utf-8")
        shown = {found.split(".")[-1] for found in re.findall(r'<h\d id="(scoresweep[^"]*)"', page)}
        public = set(importlib.import_module(f"scoresweep.{name}").__all__)
        assert public - TYPES <= shown
    pages = [page for page in tmp_path.rglob("*.html") if page.name != "report.html"]
    assert len(pages) > 30
    for page in pages:
        text = page.read_text("utf-8")
        assert "```" not in text, f"{page}: a block of code without its end"
        loaded = re.findall(r"<(?:script|link|img|iframe)[^>]*https?://[^>]*>", text)
        assert not [tag for tag in loaded if 'rel="canonical"' not in tag], page
