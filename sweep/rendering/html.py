"""`write_report`: one HTML file about one or several sweeps, which needs no network."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sweep.analysis import formatting as text
from sweep.analysis.failures import failures_by_reason
from sweep.analysis.metric_model import metric_model
from sweep.analysis.view import SweepView
from sweep.errors import InputError
from sweep.rendering import sections
from sweep.rendering.charts import sweep_data
from sweep.rendering.extras import require
from sweep.rendering.parameters import next_search, parameter_data

_ASSETS = Path(__file__).parent / "assets"
_PLOTLY = "plotly-basic.min.js"
"""Plotly's smallest bundle (scatter, bar, pie), from npm's plotly.js-basic-dist-min 4.1.1 as it is: 1.2 MB.
The one in Plotly's Python package has 4.8 MB, or as compressed text 1.9 MB, which a page must unpack."""


def write_report(views: Sequence[SweepView], path: Path) -> None:
    """Write a report as one HTML file.

    Args:
        views: the sweeps, in the order in which they are shown.
        path: the file, which is replaced.

    Raises:
        InputError: there is no directory for the file.
        SweepError: Jinja2 is not installed.
    """
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no directory {path.parent}; create it first")
    jinja2 = require("jinja2", "reports")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_ASSETS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(duration=text.duration, trials=sections.trial_list)
    scripts = [(_ASSETS / name).read_text(encoding="utf-8") for name in (_PLOTLY, "report.js")]
    page = environment.get_template("report.html").render(
        title=", ".join(view.spec.name for view in views),
        sweeps=[_sweep(view) for view in views],
        best=sections.best_side_by_side(views),
        style=(_ASSETS / "report.css").read_text(encoding="utf-8"),
        scripts=scripts,
        policy=_policy(scripts),
        version=version("sweep-hpo"),
        written=datetime.datetime.now().astimezone().isoformat(timespec="minutes", sep=" "),
        json=embedded_json,
    )
    path.write_bytes(page.encode("utf-8", "replace"))  # a file name can contain half a character


def _sweep(view: SweepView) -> dict[str, Any]:
    """What the template shows of one sweep."""
    rows = view.rows()
    models = [metric_model(view, goal) for goal in range(len(view.spec.goals))]
    data = {**sweep_data(view, rows), "parameters": [parameter_data(model) for model in models]}
    best = "-" if view.best is None else ", ".join(map(text.number, view.best.values))
    return {
        "view": view,
        "best_text": best,
        "counts_text": text.counts(view.counts),
        "tiles": sections.tiles(view),
        "findings": sections.findings(view),
        "failures": failures_by_reason(rows),
        "reproduction": sections.reproduction(view),
        "has_parameters": any(row.state == "COMPLETE" for row in rows) and bool(view.varied),
        "next": next_search(models[0]) if len(models) == 1 and view.best is not None else None,
        "data": data,
    }


def _policy(scripts: Sequence[str]) -> str:
    """The Content-Security-Policy: these scripts and no others run, and nothing is loaded from anywhere."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def embedded_json(data: Any) -> str:
    """JSON for a `script` element, in which no character can end the element or begin a comment."""
    document = json.dumps(data, separators=(",", ":"), allow_nan=False)  # escapes all but ASCII
    return document.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
