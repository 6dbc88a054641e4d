"""Writes figures: as a page that needs no network, as JSON, or as an image by a Chromium on this machine."""

from __future__ import annotations

import html
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.errors import InputError, SweepError, suggestion
from sweep.rendering.extras import require

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

IMAGES = ("png", "svg", "pdf")
FORMATS = ("html", *IMAGES, "json")
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>
<body style="margin: 0; background: white">
{figure}
</body></html>
"""
_SIZE = (1000, 600)
"""The width and the height of an image, unless the figure has its own."""


def check_path(path: Path) -> None:
    """Check that a figure can be written to a path.

    Raises:
        InputError: its ending is not one of `FORMATS`, or its folder does not exist.
    """
    form = path.suffix.removeprefix(".").lower()
    if form not in FORMATS:
        problem = f"{path.suffix} is not a format" if form else "has no suffix, which says the format"
        raise InputError(f"--output: {path}: {problem}; {suggestion(form, FORMATS)}")
    if path.is_dir():
        raise InputError(f"--output: {path}: is a folder; write {path / 'plot.html'}")
    if not path.parent.is_dir():
        raise InputError(f"--output: {path.parent}: no such folder; create it first")


def write_figure(figure: Figure, path: Path, title: str) -> None:
    """Write a figure in the format that the ending of the path says.

    Args:
        figure: the figure.
        path: a path that `check_path` accepts.
        title: the title of a page.

    Raises:
        SweepError: it is an image, and there is no Kaleido or no browser.
    """
    form = path.suffix.removeprefix(".").lower()
    if form in IMAGES:
        path.write_bytes(_image(figure, form))
    elif form == "json":
        path.write_text(figure.to_json(), encoding="utf-8")
    else:
        options = {"displaylogo": False, "responsive": True}
        drawn = figure.to_html(full_html=False, include_plotlyjs=True, default_height="100vh", config=options)
        path.write_text(_PAGE.format(title=html.escape(title), figure=drawn), encoding="utf-8")


def _image(figure: Figure, form: str) -> bytes:
    """An image of a figure, drawn by Kaleido in a Chromium without network: it is given no page to load."""
    kaleido = require("kaleido", f"an image (.{form})")
    from choreographer.errors import ChromeNotFoundError

    width, height = figure.layout.width or _SIZE[0], figure.layout.height or _SIZE[1]
    options = {"format": form, "width": width, "height": height, "scale": 2 if form == "png" else 1}
    page = kaleido.PageGenerator(mathjax=False)  # by default it loads MathJax from the network
    try:
        image: bytes = kaleido.calc_fig_sync(figure, opts=options, kopts={"page_generator": page})
    except ChromeNotFoundError:
        raise SweepError(
            f"an image (.{form}) needs Chromium or Chrome, and none is found; install one (Debian: "
            "apt install chromium), set BROWSER_PATH, or write .html"
        ) from None
    return image
