"""The parts of a report that are text: what has been found, and how to reproduce the sweep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sweep.analysis import formatting as text
from sweep.analysis.explanation import Statement, Topic, explain
from sweep.analysis.resuming import name_for_commands, stored_caller
from sweep.analysis.view import SweepView
from sweep.sweepfile.types import same_value
from sweep.system.environment import Environment, environments

_SHOWN_TRIALS = 12


def tiles(view: SweepView) -> list[tuple[str, str, str]]:
    """The key figures: a label, the figure, and a note on it."""
    found = []
    if view.best is not None:
        front = len(view.front)
        for goal, value in zip(view.spec.goals, view.best.values, strict=True):
            note = (
                f"trial {view.best.number}" if front == 1 else f"trial {view.best.number}, first of the front"
            )
            found.append((f"best {goal.name}", text.number(value), f"{note}; {goal.goal}"))
    counts = {name: count for name, count in view.counts.items() if count}
    found.append(("trials", str(len(view.frozen_trials)), text.counts(counts)))
    found.append(("elapsed", text.duration(view.elapsed), "without the time between its runs"))
    if view.usage.busy:
        utilisation = view.usage.utilisation
        note = "" if utilisation is None else f"slots busy {utilisation:.0%} of the time"
        found.append(("slot hours", text.number(round(view.usage.busy / 3600, 4)), note))
    return found


def findings(view: SweepView) -> list[tuple[Topic, list[Statement]]]:
    """The statements of `explain`, by topic."""
    explanation = explain(view)
    # The advice to write a report is for other places.
    statements = [
        statement
        for statement in explanation.statements
        if not str(statement.data.get("command", "")).startswith("sweep report")
    ]
    return replace(explanation, statements=tuple(statements)).by_topic()


def best_side_by_side(views: Sequence[SweepView]) -> list[tuple[str, list[str], bool]]:
    """The best parameters of several sweeps: name, values, and whether these differ."""
    best = [view.params(view.best) if view.best is not None else {} for view in views]
    rows = []
    for name in dict.fromkeys(name for params in best for name in params):
        given = [params[name] for params in best if name in params]
        shown = iter(text.distinct(given))
        texts = [next(shown) if name in params else "" for params in best]
        differ = len(given) < len(best) or not all(same_value(given[0], value) for value in given)
        rows.append((name, texts, differ))
    return rows


def reproduction(view: SweepView) -> dict[str, Any]:
    """How to run the sweep again: command, file, and what it ran on."""
    recorded = environments(view.directory)
    name = name_for_commands(view.directory)
    commands = [("Run or resume it", stored_caller(view.directory).again())]
    if view.best is not None:
        form = "args" if len(view.front) == 1 else "json"
        commands.append(("The best parameters", f"sweep best {name} --format {form}"))
        commands.append(("Run the best trial again", f"sweep debug {name} --trial {view.best.number}"))
    return {
        "commands": commands,
        "file": view.directory.spec.read_text(encoding="utf-8"),
        "runs": recorded,
        "requirements": _requirements(recorded[-1]) if recorded else "",
        "facts": _facts(view, recorded[-1]) if recorded else [],
    }


def _facts(view: SweepView, environment: Environment) -> list[tuple[str, str]]:
    facts = [("sweep directory", str(view.directory.root)), ("started in", environment.folder)]
    if environment.git is not None:
        facts.append(("git", str(environment.git)))
    facts.append(("Python", f"{environment.python} ({environment.executable})"))
    return facts + list(environment.machine.items())


def _requirements(environment: Environment) -> str:
    """The installed packages as pip reads them."""
    return "".join(f"{name}=={version}\n" for name, version in environment.packages.items())


def trial_list(numbers: Sequence[int]) -> str:
    """Some trial numbers, for display: 1, 2, 3 and 40 more."""
    shown = ", ".join(map(str, numbers[:_SHOWN_TRIALS]))
    rest = len(numbers) - _SHOWN_TRIALS
    return f"{shown} and {rest} more" if rest > 0 else shown
