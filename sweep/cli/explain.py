"""`sweep explain`: the results of a sweep, in sentences."""

from __future__ import annotations

from typing import Annotated

from typer import Option

from sweep.cli.options import Json, Runs, SweepName, print_json
from sweep.system.directory import RUNS


def explain(
    name: SweepName,
    runs: Runs = RUNS,
    has_all: Annotated[bool, Option("--all", help="Print all sentences, also if they do not fit.")] = False,
    as_json: Json = False,
) -> None:
    """Explain the results of a sweep: the best trial, the parameters, health, cost, and what to do next.

    Each sentence has its evidence below it. On a terminal they fit on the screen; --all prints the rest.

    \b
    Examples:
      sweep explain digits-cnn
      sweep explain digits-cnn --all
      sweep explain digits-cnn --json | jq '.statements[].text'
    """
    from sweep.analysis.explanation import explain
    from sweep.analysis.view import SweepView

    view = SweepView.open(name, runs)
    explanation = explain(view)
    if as_json:
        print_json(explanation.to_dict())
        return
    from sweep.analysis import formatting as text
    from sweep.analysis.resuming import name_for_commands
    from sweep.console.explanation import print_explanation

    more = f"sweep explain {name_for_commands(view.directory)} --all"
    print_explanation(explanation, text.counts(view.counts), more, has_all=has_all)
