"""`sweep ls`: the sweeps in a folder."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

from typer import Option

from sweep.cli.options import Json, Runs, print_json
from sweep.errors import InputError
from sweep.system.directory import RUNS

if TYPE_CHECKING:
    from sweep.analysis.view import SweepView

_STATES = ("running", "interrupted", "finished")


class Order(str, Enum):
    """By what `sweep ls` sorts."""

    age = "age"
    name = "name"
    state = "state"
    trials = "trials"
    cost = "cost"


def ls(
    runs: Runs = RUNS,
    sort: Annotated[
        Order,
        Option("--sort", help="The order: newest first, by name, running first, most trials or cost first."),
    ] = Order.age,
    as_json: Json = False,
) -> None:
    """List the sweeps in the folder: state, trials, best trial, cost in slot hours, and age.

    Slot hours are the time that trials took, summed over the slots in which they ran. The age is the time
    since the first trial started.

    \b
    Examples:
      sweep ls
      sweep ls --sort cost
      sweep ls --runs ~/sweeps --json | jq -r '.sweeps[].best.value'
    """
    from sweep.analysis.status import find_sweeps, listing_record, unreadable_record

    sweeps = find_sweeps(runs)  # sorted by name
    readable = {name: view for name, view in sweeps.items() if not isinstance(view, InputError)}
    names = sorted(readable, key=lambda name: _key(readable[name], sort))
    unreadable = {name: error for name, error in sweeps.items() if isinstance(error, InputError)}
    names += unreadable
    if as_json:
        records = [
            {**listing_record(readable[name]), "name": name}
            if name in readable
            else unreadable_record(name, unreadable[name])
            for name in names
        ]
        print_json({"version": 1, "sweeps": records})
    else:
        from sweep.console.tables import print_listing

        print_listing({name: sweeps[name] for name in names}, runs)


def _key(view: SweepView, order: Order) -> float:
    from sweep.analysis.status import started_at

    match order:
        case Order.age:
            return -started_at(view)
        case Order.state:
            return _STATES.index(view.state)
        case Order.trials:
            return -len(view.frozen_trials)
        case Order.cost:
            return -view.usage.busy
    return 0  # they are sorted by name
