"""`sweep report`: one HTML file about one or several sweeps."""

from __future__ import annotations

from typing import Annotated

from typer import Argument, Option

from sweep.cli.completion import complete_sweep
from sweep.cli.options import Runs
from sweep.errors import InputError
from sweep.system.directory import RUNS
from sweep.system.paths import expand_home, home_path

_Names = Annotated[
    list[str],
    Argument(
        metavar="NAME...",
        parser=expand_home,
        autocompletion=complete_sweep,
        help="Sweeps, by their names in --runs or directories.",
    ),
]
_Output = Annotated[
    str | None,
    Option(
        "--output", "-o", metavar="FILE", parser=expand_home, help="The HTML file. Default: NAME-report.html."
    ),
]


def report(names: _Names, output: _Output = None, runs: Runs = RUNS) -> None:
    """Write an HTML report: the results of a sweep, its trials, plots, cost, and how to reproduce it.

    The file is complete: a browser opens it without a network. Several sweeps are shown side by side. A sweep
    that is running is shown as of now.

    \b
    Examples:
      sweep report digits-cnn
      sweep report digits-cnn -o digits.html
      sweep report first second -o comparison.html
    """
    from sweep.analysis.formatting import printable
    from sweep.analysis.view import SweepView
    from sweep.rendering.html import write_report

    opened = [SweepView.open(name, runs) for name in names]
    views = list({view.directory.root: view for view in opened}.values())
    path = home_path(output or f"{views[0].directory.name}-report.html")
    if path.is_dir():
        raise InputError(f"--output {path}: is a directory; add a file name, such as {path / 'report.html'}")
    write_report(views, path)
    print(f"{printable(str(path))}: {path.stat().st_size / 1e6:.1f} MB; open it in a browser")
