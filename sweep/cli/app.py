"""The Typer application with all commands."""

from __future__ import annotations

from typing import Annotated

import typer

from sweep.cli.best import best
from sweep.cli.check import check
from sweep.cli.convert import convert
from sweep.cli.debug import debug
from sweep.cli.enqueue import enqueue
from sweep.cli.init import init
from sweep.cli.retry import retry
from sweep.cli.run import run
from sweep.cli.schema import schema
from sweep.cli.status import status
from sweep.cli.stop import stop
from sweep.cli.tensorboard import tensorboard
from sweep.cli.trials import trials

app = typer.Typer(
    name="sweep",
    no_args_is_help=True,
    add_completion=False,
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
    status,
    trials,
    best,
    stop,
    retry,
    enqueue,
    tensorboard,
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
      sweep init train.py:train      write a sweep file for a function or a script
      sweep check space.yaml         check a sweep file without running anything
      sweep run space.yaml           run the sweep, or resume it after an interruption
      sweep debug space.yaml         run one configuration here, with breakpoint(); --trial 7 repeats a trial
      sweep convert wandb.yaml       convert a W&B sweep file (optional: sweep run accepts it)
      sweep status NAME              the status of a sweep, or of all sweeps without NAME
      sweep trials NAME              all trials as a table, JSON or CSV
      sweep best NAME                the best parameters as YAML, JSON or arguments
      sweep stop NAME                stop a sweep, or one trial, from another terminal
      sweep retry NAME --failed      run failed trials again
      sweep enqueue NAME lr=0.01     run this configuration next
      sweep tensorboard NAME         compare the runs, live, in the HParams tab
      sweep schema                   the JSON Schema of sweep files, for editors
    """
