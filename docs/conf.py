"""Sphinx configuration. The source directory is the repository, so that links work here and on a Git forge.

Build with `scripts/docs`.
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
nitpicky = False

myst_heading_anchors = 3

default_role = "literal"  # docstrings write `name` as Markdown does
autodoc_mock_imports = ["lightning", "pytorch_lightning", "transformers"]  # optional, and slow to import
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"sweep {release}"
html_extra_path = ["_site"]  # an index.html at the top, which leads to docs/index.html


def _convert_fences(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Turn the Markdown code fences of a docstring into reStructuredText code blocks."""
    converted: list[str] = []
    indent: str | None = None
    for line in lines:
        fence = re.fullmatch(r"(\s*)```(\w*)", line)
        if fence is None:
            converted.append(line if indent is None or not line else f"    {line}")
        elif indent is None:
            indent = fence[1]
            converted += [f"{indent}.. code-block:: {fence[2] or 'text'}", ""]
        else:
            indent = None
            converted.append("")
    lines[:] = converted


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", _convert_fences, priority=100)  # before napoleon (500)
