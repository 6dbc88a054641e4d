"""`sweep enqueue`: enqueue a configuration."""

from __future__ import annotations

from typing import Annotated

from typer import Argument

from sweep.cli.options import Runs, SweepName
from sweep.system.directory import RUNS


def enqueue(
    name: SweepName,
    values: Annotated[list[str] | None, Argument(metavar="[KEY=VALUE]...", help="Parameters.")] = None,
    runs: Runs = RUNS,
) -> None:
    """Try a configuration next. Parameters that are not given are sampled.

    The configuration counts as one of the sweep's trials. If the sweep is not running, it is tried when
    `sweep run` resumes the sweep.

    \b
    Examples:
      sweep enqueue digits-cnn lr=0.01 optimizer=sgd
      sweep enqueue digits-cnn batch_size=64
    """
    from sweep import operations
    from sweep.analysis.resuming import stored_caller
    from sweep.analysis.view import SweepView

    view = SweepView.open(name, runs)
    point = operations.read_configuration(view, values or [])
    number, is_running = operations.enqueue(view, point)
    if number is None:
        print(operations.QUEUED)
        return
    when = "next" if is_running else "when the sweep resumes"
    print(f"trial {number} is enqueued: it is tried {when}")
    if not is_running:
        print(f"resume with: {stored_caller(view.directory).again()}")
