"""`sweep tensorboard`: compare the runs of a sweep in TensorBoard."""

from __future__ import annotations

import io
import signal
import sys
from contextlib import redirect_stderr
from types import FrameType
from typing import Annotated

import typer

from sweep.cli.options import Runs, SweepName
from sweep.system.directory import RUNS


def tensorboard(
    name: SweepName,
    runs: Runs = RUNS,
    port: Annotated[
        int | None,
        typer.Option(
            "--port", metavar="N", help="Where to listen.", show_default="6006 or the next free one"
        ),
    ] = None,
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="On which address.")] = "127.0.0.1",
) -> None:
    """Start TensorBoard on a sweep, running or not, and say where its HParams tab is.

    \b
    Examples:
      sweep tensorboard digits-cnn
      sweep tensorboard digits-cnn --port 6007
    """
    from sweep.analysis.view import SweepView

    view = SweepView.open(name, runs)
    print(f"starting TensorBoard on {view.directory.root} ...", flush=True)

    from tensorboard import program

    from sweep.errors import SweepError

    # SIGTERM has to leave like Ctrl-C does: TensorBoard's data server is ended at exit.
    signal.signal(signal.SIGTERM, _leave)
    server = program.TensorBoard()
    arguments = ["tensorboard", "--logdir", str(view.directory.root), "--host", host]
    if port is not None:
        arguments += ["--port", str(port)]
    server.configure(argv=arguments)
    try:
        with redirect_stderr(io.StringIO()):  # it gives notice that it reads with its data server
            url = server.launch()
    except (SystemExit, program.TensorBoardServerException) as error:
        raise SweepError(f"TensorBoard cannot start: {' '.join(str(error).split())}") from None
    print(f"{url}#hparams   (Ctrl-C ends it)", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)
