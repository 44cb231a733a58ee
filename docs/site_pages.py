"""Hook of MkDocs: the site has the files of the repository that its pages link to.

The README is the first page, `slurm/README.md` and others are pages as well, and studies and code
are files beside them. Links in the sources are relative to the source, so that they also work in an
editor and on GitHub; here they become relative to the pages.

A package that exports the names of its modules gets a section for each module in the API reference,
because several functions are called like their module, which would hide them.
"""

from __future__ import annotations

import ast
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "config/README.md", "slurm/README.md")
"""Pages that are not in docs/."""
PACKAGE = re.compile(r"^::: (scoresweep\.\w+)$", re.MULTILINE)
NO_RUN = re.compile(r"^(```\w+) no-run$", re.MULTILINE)
"""Code that the tests do not run; MkDocs knows no words after the language."""
LINK = re.compile(r"(\]\()([^)#:\s]+)((?:#[^)\s]*)?\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside docs/, and the files to which any page links."""
    for source in PAGES:
        files.append(_generated(config, source))
    for page in files.documentation_pages():
        source = _source_of(page.src_uri)
        for _, link, _ in LINK.findall((ROOT / source).read_text("utf-8")):
            target = _join(source, link)
            known = files.get_file_from_path(_uri_of(target))
            if known is None and not target.startswith("../") and (ROOT / target).is_file():
                files.append(_generated(config, target))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Make links relative to the page, which may be in another folder than its source.

    Code that the tests do not run becomes ordinary code, and modules get sections.
    """
    source, folder = _source_of(page.file.src_uri), posixpath.dirname(page.file.src_uri)

    def moved(match: re.Match[str]) -> str:
        target = _uri_of(_join(source, match[2]))
        return match[1] + posixpath.relpath(target, folder or ".") + match[3]

    return PACKAGE.sub(_sections, LINK.sub(moved, NO_RUN.sub(r"\1", markdown)))


def _sections(reference: re.Match[str]) -> str:
    """Return the reference to a package followed by those to the modules whose names it exports."""
    path = ROOT / "src" / reference[1].replace(".", "/") / "__init__.py"
    if not path.exists():
        return reference[0]
    lines = [f"{reference[0]}\n    options: {{members: []}}\n\nImport these from `{reference[1]}`."]
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("scoresweep."):
            names = ", ".join(alias.name for alias in node.names)
            options = f"{{members: [{names}], heading_level: 3}}"
            lines.append(f"## {names}\n\n::: {node.module}\n    options: {options}")
    return "\n\n".join(lines)


def _join(source: str, link: str) -> str:
    """Return the file, relative to the repository, to which a link in `source` leads."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _uri_of(target: str) -> str:
    """Return where a file of the repository is in the site."""
    return "index.md" if target == "README.md" else target.removeprefix("docs/")


def _source_of(uri: str) -> str:
    """Return the file of the repository that a page is made from."""
    if uri == "index.md":
        return "README.md"
    return uri if uri in PAGES else f"docs/{uri}"


def _generated(config: MkDocsConfig, source: str) -> File:
    return File.generated(config, _uri_of(source), abs_src_path=str(ROOT / source))
