"""Configuration of the documentation site; build it with `scripts/docs`.

The source directory is the repository, so that links from README.md to docs/ work here and on a Git forge.
"""

from __future__ import annotations

import re
from importlib.metadata import version as installed_version

from sphinx.application import Sphinx

project = "sweep"
copyright = "the sweep authors"
release = version = installed_version("sweep-hpo")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**"]
exclude_patterns = [".*", "build", "dist", "runs", "sweep", "tests"]  # not searched for pages

myst_heading_anchors = 4  # links to headings, with the anchors of GitHub

autodoc_mock_imports = ["lightning", "pytorch_lightning", "transformers"]  # optional, and slow to import
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_use_ivar = True
default_role = "literal"

html_theme = "furo"
html_title = f"sweep {release}"
html_extra_path = ["_site"]  # an index.html at the top, which leads to docs/index.html


def _read_markdown(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Turn the Markdown code in a docstring, `name` and fences, into reStructuredText."""
    converted: list[str] = []
    fence: str | None = None
    for line in lines:
        if marker := re.fullmatch(r"(\s*)```(\w*)", line):
            converted += [f"{marker[1]}.. code-block:: {marker[2]}", ""] if fence is None else [""]
            fence = marker[1] if fence is None else None
        elif fence is not None:
            converted.append(f"    {line}" if line else line)
        else:
            converted.append(re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", line))
    if what == "property":
        converted[:0] = ["..", ""]  # napoleon would read a first line with a colon as "type: description"
    lines[:] = converted


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", _read_markdown, priority=100)  # before napoleon, which has 500
