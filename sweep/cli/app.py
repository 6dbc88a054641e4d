"""The Typer application with all commands."""

from __future__ import annotations

from typing import Annotated

import typer

from sweep.cli.best import best
from sweep.cli.check import check
from sweep.cli.compare import compare
from sweep.cli.convert import convert
from sweep.cli.dashboard import dashboard
from sweep.cli.debug import debug
from sweep.cli.enqueue import enqueue
from sweep.cli.explain import explain
from sweep.cli.export import export
from sweep.cli.importance import importance
from sweep.cli.init import init
from sweep.cli.logs import logs
from sweep.cli.ls import ls
from sweep.cli.plot import plot
from sweep.cli.report import report
from sweep.cli.retry import retry
from sweep.cli.run import run
from sweep.cli.schema import schema
from sweep.cli.status import status
from sweep.cli.stop import stop
from sweep.cli.tensorboard import tensorboard
from sweep.cli.trials import trials
from sweep.cli.watch import watch

app = typer.Typer(
    name="sweep",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_COMMANDS = (
    init,
    run,
    check,
    debug,
    convert,
    ls,
    status,
    watch,
    trials,
    best,
    explain,
    importance,
    compare,
    logs,
    export,
    report,
    plot,
    stop,
    retry,
    enqueue,
    tensorboard,
    dashboard,
    schema,
)
for command in _COMMANDS:
    app.command()(command)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        import sweep

        typer.echo(f"sweep {sweep.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Hyperparameter sweeps: Optuna samples, Ray runs trials in parallel, TensorBoard compares them.

    \b
    Examples:
      sweep init train.py:train   write a sweep file for a function or a script
      sweep check space.yaml      check a sweep file without running anything
      sweep run space.yaml        run the sweep, or resume it
      sweep debug space.yaml      run one configuration here, with breakpoint()
      sweep convert wandb.yaml    convert a W&B sweep file
      sweep ls                    the sweeps in runs/: state, best, cost, age
      sweep status NAME           the status of a sweep
      sweep watch NAME            the live display of a sweep that runs elsewhere
      sweep trials NAME           all trials as a table, JSON or CSV
      sweep best NAME             the best parameters: YAML, JSON or arguments
      sweep explain NAME          the results, with the evidence
      sweep logs NAME 7 -f        what a trial has printed; -f follows it
      sweep importance NAME       how much each parameter matters
      sweep compare NAME          the best trials side by side
      sweep export NAME -o t.csv  the trials or the curves: CSV, JSON, Parquet
      sweep report NAME           one HTML file: findings, linked plots
      sweep plot KIND NAME        a plot: history, slice, contour, curves
      sweep stop NAME             stop a sweep, or one trial
      sweep retry NAME --failed   run failed trials again
      sweep enqueue NAME lr=0.01  run this configuration next
      sweep tensorboard NAME      compare the runs, live, in the HParams tab
      sweep dashboard NAME        optuna-dashboard, read-only
      sweep schema                the JSON Schema of sweep files, for editors
    """
