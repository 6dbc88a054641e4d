"""`sweep compare`: trials side by side, of one sweep or of several."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Option

from sweep.cli.completion import complete_sweep_or_trial
from sweep.cli.options import Json, Runs, print_json
from sweep.errors import InputError
from sweep.system.directory import RUNS
from sweep.system.paths import expand_home

if TYPE_CHECKING:
    from sweep.analysis.query import SweepTrials

_SHOWN = 5
_SHOWN_OF_EACH = 2
"""How many trials are shown of each of several sweeps."""

_Arguments = Annotated[
    list[str],
    Argument(
        metavar="NAME",
        autocompletion=complete_sweep_or_trial,
        help="A sweep, or several, each with numbers of trials if not the best: a 3 5 b 7, or a:3 b:7.",
    ),
]
_Where = Annotated[
    str | None, Option(metavar="CONDITION", help="Only trials that fulfil it: \"lr < 0.01 and kind == 'a'\".")
]
_Sort = Annotated[
    str | None,
    Option(
        metavar="KEY", help="Order: value, number, duration, a parameter or a metric; -KEY: largest first."
    ),
]
_Reverse = Annotated[bool, Option("--reverse", help="The other direction of --sort.")]
_Params = Annotated[str | None, Option(metavar="LIST", help="Show only these parameters: lr,optimizer.")]
_Limit = Annotated[
    int | None,
    Option(
        "-n", "--limit", metavar="N", min=1, help="How many trials of a sweep; by default 5, or 2 of each."
    ),
]


def compare(
    arguments: _Arguments,
    runs: Runs = RUNS,
    where: _Where = None,
    sort: _Sort = None,
    reverse: _Reverse = False,
    params: _Params = None,
    limit: _Limit = None,
    as_json: Json = False,
) -> None:
    """Show the best trials, or chosen ones, side by side.

    Parameters that differ are marked with ≠, the best trial with *. Without --sort the best trials are first.

    Conditions are written as in the sweep file's `constraints`. They can use parameters, metrics, value,
    state, number and duration (seconds). What is not a name in Python is written params["a/b"] or
    metrics["val/loss"].

    \b
    Examples:
      sweep compare digits-cnn
      sweep compare digits-cnn 7 12 31
      sweep compare digits-cnn --where "lr < 0.01 and optimizer == 'sgd'"
      sweep compare digits-cnn --sort -duration -n 10
      sweep compare digits-cnn --where 'state == "FAIL"' --params lr,optimizer
      sweep compare digits-cnn digits-mlp
      sweep compare digits-cnn:7 digits-mlp:3 --json
    """
    from sweep.analysis import comparison
    from sweep.analysis.query import Order

    if reverse and sort is None:
        raise InputError("--reverse: is for --sort; add for example --sort value")
    sweeps = _read(arguments, runs)
    compared = comparison.compare(
        sweeps,
        where,
        None if sort is None else Order.parse(sort, reverse),
        None if params is None else [name.strip() for name in params.split(",")],
        limit or (_SHOWN if len(sweeps) == 1 else _SHOWN_OF_EACH),
    )
    if as_json:
        print_json({"version": 1, **compared.to_dict()})
    else:
        from sweep.console.compare import print_comparison

        print_comparison(compared)


def _read(arguments: list[str], runs: Path) -> list[SweepTrials]:
    """The sweeps and trials that the arguments name: a number belongs to the name before it."""
    from sweep.analysis.query import SweepTrials
    from sweep.analysis.view import SweepView

    chosen: dict[str, list[int]] = {}
    name = ""
    for argument in arguments:
        pair = re.fullmatch(r"(.+):(\d+)", argument)
        if chosen and re.fullmatch(r"-?\d+", argument):
            chosen[name].append(int(argument))
        elif pair is not None and not (runs / argument).exists():
            name = expand_home(pair[1])
            chosen.setdefault(name, []).append(int(pair[2]))
        else:
            name = expand_home(argument)
            chosen.setdefault(name, [])
    views: dict[Path, SweepView] = {}
    of_view: dict[Path, list[int]] = {}
    for name, numbers in chosen.items():  # a sweep can be given by its name and by its directory
        view = SweepView.open(name, runs)
        views.setdefault(view.directory.root, view)
        of_view.setdefault(view.directory.root, []).extend(numbers)
    return [SweepTrials(view, of_view[root]) for root, view in views.items()]
