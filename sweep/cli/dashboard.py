"""`sweep dashboard`: optuna-dashboard on a sweep."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

from typer import Option

from sweep.cli.options import Runs, SweepName
from sweep.system.directory import RUNS


def dashboard(
    name: SweepName,
    runs: Runs = RUNS,
    port: Annotated[int | None, Option(metavar="N", help="The port; by default a free one.")] = None,
    browser: Annotated[
        bool, Option("--browser/--no-browser", help="Open a browser, unless over SSH or without a desktop.")
    ] = True,
) -> None:
    """Start optuna-dashboard on a sweep, running or not, on 127.0.0.1.

    It is read-only: changes, such as a note, are refused. Over SSH the command prints how to forward the
    port. It needs the extra: pip install 'sweep-hpo[dashboard]'

    \b
    Examples:
      sweep dashboard digits-cnn
      sweep dashboard digits-cnn --port 8080 --no-browser
    """
    from sweep.analysis.view import SweepView
    from sweep.cli.tensorboard import announce
    from sweep.rendering.dashboard import make_dashboard

    view = SweepView.open(name, runs)
    if view.study is None:
        print(f"{view.spec.name}: has no study yet")
        return
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    server, url = make_dashboard(view.study, port)
    with server:
        try:  # the line that announces Ctrl-C is already inside: it may be pressed right then
            announce(url, is_local=True, has_browser=browser)
            server.serve_forever()
        except KeyboardInterrupt:
            print()
