"""The Typer application with all its commands."""

from __future__ import annotations

import typer

from sweep.cli.check import check
from sweep.cli.convert import convert
from sweep.cli.debug import debug
from sweep.cli.init import init
from sweep.cli.run import run
from sweep.cli.schema import schema
from sweep.cli.show import best, status, trials
from sweep.cli.steer import enqueue, retry, stop
from sweep.cli.tensorboard import tensorboard

_HELP = """Hyperparameter sweeps: Optuna samples, Ray runs trials side by side, TensorBoard compares them.

\b
Examples:
  sweep init train.py:train      begin a sweep file for a function, or a script
  sweep check space.yaml         look at a sweep file without running anything
  sweep run space.yaml           run it; the same command goes on after an interruption
  sweep debug space.yaml         run one configuration here, with breakpoint(); --trial 7 an old one
  sweep convert wandb.yaml       say a W&B file in the words of this tool (it runs as it is)
  sweep status NAME              where it stands; without NAME all sweeps
  sweep trials NAME              all trials as a table, JSON or CSV
  sweep best NAME                the best parameters, ready to use
  sweep stop NAME                stop it, or one trial, from another terminal
  sweep retry NAME --failed      run failed trials again
  sweep enqueue NAME lr=0.01     try this configuration next
  sweep tensorboard NAME         compare the runs, live, in the HParams tab
  sweep schema                   the JSON Schema of sweep files, for editors
"""

app = typer.Typer(
    name="sweep",
    help=_HELP,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    *(init, run, check, debug, convert, status, trials, best),
    *(stop, retry, enqueue, tensorboard, schema),
):
    app.command()(command)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"sweep {version('sweep-hpo')}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Say which one."),
) -> None:
    pass
