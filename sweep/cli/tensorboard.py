"""`sweep tensorboard`: compare the runs of one or several sweeps in TensorBoard."""

from __future__ import annotations

import io
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from typer import Argument, Option

from sweep.cli.completion import complete_sweep
from sweep.cli.options import Runs
from sweep.system.directory import RUNS
from sweep.system.paths import expand_home


def tensorboard(
    names: Annotated[
        list[str],
        Argument(
            metavar="NAME...",
            parser=expand_home,
            autocompletion=complete_sweep,
            help="Sweeps: names in --runs, or directories.",
        ),
    ],
    runs: Runs = RUNS,
    port: Annotated[
        int | None, Option(metavar="N", help="The port; by default 6006 or the next free one.")
    ] = None,
    host: Annotated[str, Option(metavar="HOST", help="The address to listen on.")] = "127.0.0.1",
    browser: Annotated[
        bool, Option("--browser/--no-browser", help="Open a browser, unless over SSH or without a desktop.")
    ] = True,
) -> None:
    """Start TensorBoard on sweeps, running or not, and open their HParams tab.

    Several sweeps are shown together: their trials are runs NAME/trial-0007, and rows of one table. Over SSH
    the command prints how to forward the port.

    \b
    Examples:
      sweep tensorboard digits-cnn
      sweep tensorboard digits-cnn digits-mlp     two sweeps in one table
      sweep tensorboard digits-cnn --port 6007 --no-browser
    """
    # On SIGTERM, exit as on Ctrl-C: TensorBoard terminates its data server at exit.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    with _logdir(names, runs) as logdir:
        url = _start(logdir, host, port)
        try:
            announce(f"{url}#hparams", is_local=host in ("127.0.0.1", "localhost"), has_browser=browser)
            while True:  # not signal.pause: a signal that arrives just before it would be lost
                time.sleep(1)
        except KeyboardInterrupt:
            print()


@contextmanager
def _logdir(names: Sequence[str], runs: Path) -> Iterator[Path]:
    from sweep.analysis.view import SweepView
    from sweep.errors import InputError
    from sweep.rendering.combined_logdir import CombinedLogdir

    views = {view.directory.root: view for view in (SweepView.open(name, runs) for name in names)}
    by_name = {view.spec.name: root for root, view in views.items()}
    for root, view in views.items():
        if (other := by_name[view.spec.name]) != root:
            raise InputError(
                f"{root}: the sweep in {other} has the name {view.spec.name!r} too, and TensorBoard would "
                "merge their rows; start it for one of them"
            )
    print(f"starting TensorBoard on {', '.join(map(str, views))} ...", flush=True)
    with nullcontext(next(iter(views))) if len(views) == 1 else CombinedLogdir(by_name) as logdir:
        yield logdir


def _start(logdir: Path, host: str, port: int | None) -> str:
    """Start TensorBoard in threads of this process; returns its address.

    Raises:
        InputError: it cannot listen on the host or the port.
    """
    from tensorboard import program

    from sweep.errors import InputError

    server = program.TensorBoard()
    arguments = ["tensorboard", "--logdir", str(logdir), "--host", host]
    if port is not None:
        arguments += ["--port", str(port)]
    server.configure(argv=arguments)
    printed = io.StringIO()  # a notice about its data server, then why it exits
    try:
        with redirect_stderr(printed):
            return str(server.launch())
    except (SystemExit, OverflowError, program.TensorBoardServerException) as error:
        why = str(error)
        if isinstance(error, SystemExit):
            why = printed.getvalue().strip().rpartition("\n")[2] or f"it exited with {error}"
        given = f"--host {host}" if port is None else f"--host {host} --port {port}"
        raise InputError(
            f"{given}: TensorBoard cannot start: {' '.join(why.split())}; choose an address of this machine "
            "and a free port, or leave them out"
        ) from None


def announce(url: str, is_local: bool, has_browser: bool) -> None:
    """Print the address of a server and, over SSH, how to reach it; open it where there is a browser."""
    from sweep.system.browser import forwarding_command, open_page

    command = forwarding_command(urlsplit(url).port or 80) if is_local else None
    if command is not None:
        print(f"forward the port, in a terminal of your own machine: {command}", flush=True)
    print(f"{url}   (Ctrl-C stops it)", flush=True)
    if has_browser:
        open_page(url)
