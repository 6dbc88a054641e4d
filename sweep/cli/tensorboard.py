"""`sweep tensorboard`: compare the runs of a sweep in TensorBoard."""

from __future__ import annotations

import io
import signal
import sys
from contextlib import redirect_stderr
from typing import Annotated

from typer import Option

from sweep.cli.options import Runs, SweepName
from sweep.system.directory import RUNS


def tensorboard(
    name: SweepName,
    runs: Runs = RUNS,
    port: Annotated[
        int | None, Option(metavar="N", help="The port; by default 6006 or the next free one.")
    ] = None,
    host: Annotated[str, Option(metavar="HOST", help="The address to listen on.")] = "127.0.0.1",
) -> None:
    """Start TensorBoard on a sweep, running or not, and print the address of its HParams tab.

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

    # On SIGTERM, exit as on Ctrl-C: TensorBoard terminates its data server at exit.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    server = program.TensorBoard()
    arguments = ["tensorboard", "--logdir", str(view.directory.root), "--host", host]
    if port is not None:
        arguments += ["--port", str(port)]
    server.configure(argv=arguments)
    try:
        with redirect_stderr(io.StringIO()):  # a notice about its data server
            url = server.launch()
    except (SystemExit, program.TensorBoardServerException) as error:
        raise SweepError(f"TensorBoard cannot start: {' '.join(str(error).split())}") from None
    print(f"{url}#hparams   (Ctrl-C stops it)", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        print()
