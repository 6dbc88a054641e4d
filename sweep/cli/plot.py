"""`sweep plot`: the plots of `optuna.visualization`, the learning curves, and the slots over time."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from sweep.cli.completion import complete_kind
from sweep.cli.options import Runs, SweepName
from sweep.errors import InputError
from sweep.system.directory import RUNS
from sweep.system.paths import home_path

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from sweep.analysis.view import SweepView

_Kind = Annotated[
    str,
    Argument(
        metavar="KIND", autocompletion=complete_kind, help="The plot, for example history, slice or curves."
    ),
]
_Output = Annotated[
    Path | None,
    Option(
        "--output", "-o", metavar="FILE", parser=home_path, help="Where: .html, .png, .svg, .pdf or .json."
    ),
]
_Params = Annotated[str | None, Option(metavar="LIST", help="Show only these parameters: lr,momentum.")]
_Metric = Annotated[str | None, Option(metavar="NAME", help="Which of several goals.")]


def plot(
    kind: _Kind,
    name: SweepName,
    runs: Runs = RUNS,
    output: _Output = None,
    params: _Params = None,
    metric: _Metric = None,
) -> None:
    """Draw a plot of a sweep and open it in a browser, or write it to a file.

    A page needs no network. Images are drawn by Chromium or Chrome, which must be installed.

    \b
    Kinds:
      optimization-history    each value, and the best so far (short: history)
      curves                  learning curves, the best trial marked
      intermediate-values     learning curves, as Optuna draws them
      parallel-coordinate     a line through its parameters for each trial
      slice                   the value over each parameter
      contour                 the value over pairs of parameters
      rank                    the rank of each trial over pairs of parameters
      param-importances       how much each parameter matters (short: importances)
      edf                     the share of trials up to each value
      pareto-front            several goals against each other
      hypervolume-history     how the Pareto front grew
      terminator-improvement  how much is still to be gained
      timeline                when each trial ran
      slots                   what each slot did

    \b
    Examples:
      sweep plot history digits-cnn
      sweep plot contour digits-cnn --params lr,momentum -o contour.html
      sweep plot importances digits-cnn -o importances.png
      sweep plot slice digits-cnn --metric accuracy
    """
    from sweep.rendering.figure_files import check_path, write_figure
    from sweep.system.browser import open_page

    kind = _find_kind(kind, name)
    if output is not None:
        check_path(output)
    view, drawn = _draw(kind, name, runs, params, metric)
    if drawn is None:
        return
    page = output or _temporary_page(kind)
    write_figure(drawn, page, f"{kind}: {view.spec.name}")
    if output is None and open_page(page.as_uri()):
        print(f"opened {page}")
    elif output is None:
        print(f"wrote {page}; there is no browser here: open it in one, or write it elsewhere with -o FILE")
    else:
        print(f"wrote {page}")


def _find_kind(kind: str, name: str) -> str:
    """The kind of plot. The error says if it was given in the place of the sweep's name."""
    from sweep.rendering.plots import find_kind

    try:
        return find_kind(kind)
    except InputError as error:
        try:
            swapped = find_kind(name)
        except InputError:
            raise error from None
        raise InputError(f"{kind}: is not a kind of plot; write sweep plot {swapped} {kind}") from None


def _draw(
    kind: str, name: str, runs: Path, params: str | None, metric: str | None
) -> tuple[SweepView, Figure | None]:
    """The sweep and the figure; without one, why there is none is printed."""
    from sweep.analysis.formatting import printable
    from sweep.analysis.view import SweepView
    from sweep.rendering.plot_data import NothingToPlot
    from sweep.rendering.plots import figure

    view = SweepView.open(name, runs)
    if kind == "terminator-improvement":
        print("fitting a Gaussian process for each trial ...", file=sys.stderr, flush=True)
    chosen = None if params is None else [param.strip() for param in params.split(",")]
    if chosen is not None and not all(chosen):
        raise InputError(f"--params: {params}: has an empty name; write for example --params lr,momentum")
    try:
        return view, figure(view, kind, chosen, metric)
    except NothingToPlot as nothing:
        print(printable(str(nothing)))
        return view, None


def _temporary_page(kind: str) -> Path:
    with tempfile.NamedTemporaryFile(prefix=f"sweep-{kind}-", suffix=".html", delete=False) as file:
        return Path(file.name)
