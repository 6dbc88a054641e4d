"""`next_statement`: the one command that is most worth typing next."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from optuna.trial import TrialState

from sweep.analysis.failures import failures_by_reason
from sweep.analysis.formatting import printable
from sweep.analysis.next_space import can_run
from sweep.analysis.range_scale import widened_bound
from sweep.analysis.resuming import name_for_commands, stored_caller
from sweep.analysis.statement import Statement
from sweep.analysis.view import SweepView
from sweep.caller import CommandLine
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.parameter_forms import dump_parameters
from sweep.sweepfile.parameters import Choice, Range
from sweep.sweepfile.tree import flatten

_MANY = 0.1
"""The share of failed trials from which on running them again is worth it."""
_MISTAKE = re.compile(
    r"^(?:exit status \d+: )?(?:\w+\.)*(?:Attribute|Import|Indentation|ModuleNotFound|Name|Syntax|Type"
    r"|UnboundLocal|BadResult)Error\b|^the script never reported"
)
"""The reasons of failures that another attempt does not change."""
_LATE = 0.75
"""The best trial came late if so many of the trials were before it."""
_FEW = 20
"""Of fewer trials, it says nothing when the best one came."""


def next_statement(view: SweepView, statements: Sequence[Statement]) -> Statement:
    """The command that is most worth typing next.

    Args:
        view: the sweep.
        statements: its other results.
    """
    why, command = next(_options(view, statements))
    return Statement("next", "next", f"{why}: {command}", "", {"command": command, "why": why})


def _options(view: SweepView, statements: Sequence[Statement]) -> Iterator[tuple[str, str]]:
    """What can be done next, the most useful first: why, and the command."""
    name, again = name_for_commands(view.directory), stored_caller(view.directory).again
    failed = [trial for trial in view.frozen_trials if trial.state == TrialState.FAIL]
    has_failed_only = len(failed) == view.finished_trials > 1
    if view.is_running:
        if has_failed_only:
            yield "Every trial has failed, so stop the sweep and correct the cause", f"sweep stop {name}"
        yield "Watch the trials while they run", f"sweep watch {name}"
    if has_failed_only:
        yield (
            "Run one of the failed trials here, with its whole traceback",
            f"sweep debug {name} --trial {failed[0].number}",
        )
    if view.stopped_by is None:
        yield ("Resume the sweep" if view.frozen_trials else "Start the sweep"), again()
    found = {statement.key: statement.data for statement in reversed(statements)}
    is_scattered = not found.keys() & {"failing_choice", "failing_range"}
    groups = failures_by_reason(view.rows(TrialState.FAIL))
    if groups and _MISTAKE.search(groups[0].reason):
        yield (
            "Another attempt does not change why most trials fail, so run one here",
            f"sweep debug {name} --trial {groups[0].trials[0]}",
        )
    elif is_scattered and view.is_worth_resubmitting and len(failed) >= _MANY * view.finished_trials:
        yield "Run the failed trials again, which may have failed by chance", f"sweep retry {name} --failed"
    yield from _other_spaces(view, found)
    if view.stopped_by == "trials" and view.best is not None and len(view.spec.goals) == 1:
        if view.best.number >= _LATE * view.finished_trials and view.finished_trials >= _FEW:
            yield "The best trial came late, so run more", again(**{"stop.trials": 2 * view.finished_trials})
        if view.finished_trials < _FEW:
            yield "The trials are few, so run more", again(**{"stop.trials": 2 * _FEW})
    if view.best is not None:
        yield "See all of it in one page", f"sweep report {name}"
    yield "See why the trials ended", f"sweep trials {name}"


def _other_spaces(view: SweepView, found: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """A new sweep with a search space that is wider or without what fails."""
    if "at_bound" in found:
        data = found["at_bound"]
        parameter = _plain_parameter(view, data["name"])
        is_upper = data["side"] == "upper"
        wider = widened_bound(parameter, is_upper) if isinstance(parameter, Range) else None
        if wider is not None:
            key = "max" if is_upper else "min"
            yield from _new_sweep(view, f"Widen {data['name']}", data["name"], key, wider)
    if "failing_choice" in found:
        data = found["failing_choice"]
        parameter = _plain_parameter(view, data["name"])
        if isinstance(parameter, Choice) and parameter.probabilities is None and data["share"] >= 0.5:
            rest = [value for value in parameter.values if value != data["value"]]
            why = f"Leave out what fails, {data['name']}={data['value']}"
            yield from _new_sweep(view, why, data["name"], "values", rest)
    if "failing_range" in found:
        data = found["failing_range"]
        parameter = _plain_parameter(view, data["name"])
        if isinstance(parameter, Range) and parameter.step is None and data["share"] >= 0.5:
            is_upper = data["relation"] in (">", ">=")
            bound = data["value"]
            if parameter.is_int:
                bound += -1 if is_upper else 1
            why = f"Leave out where trials fail, {data['name']} {data['relation']} {data['value']:g}"
            yield from _new_sweep(view, why, data["name"], "max" if is_upper else "min", bound)


def _plain_parameter(view: SweepView, name: str) -> Any:
    """The declaration of a parameter whose entry in the file can be changed by its name alone."""
    if view.spec.is_define_by_run or "." in name:
        return None
    flat = flatten(view.spec.parameters).get(name)
    return flat.parameter if flat is not None and len(flat.path) == 1 and not flat.conditions else None


def _new_sweep(view: SweepView, why: str, parameter: str, key: str, value: Any) -> Iterator[tuple[str, str]]:
    """The command that runs a sweep with another search space, which needs another name.

    There is none if the sweep would be invalid, for example if a condition names a choice that is left out.
    """
    caller = stored_caller(view.directory)
    is_known = isinstance(caller, CommandLine) and caller.arguments != ("run", "FILE")
    if is_known and _is_valid(view.spec, parameter, key, value):
        if isinstance(value, list):
            value = json.dumps(value, ensure_ascii=False)  # which is YAML as well
        folder = view.directory.root.parent
        names = (f"{view.spec.name}-{number}" for number in range(2, 10_000))
        name = next(name for name in names if not (folder / name).exists())
        yield printable(why), caller.again(name=name, **{f"parameters.{parameter}.{key}": value})


def _is_valid(spec: SweepSpec, parameter: str, key: str, value: Any) -> bool:
    """Whether a sweep with this change of a parameter can be run."""
    parameters = dump_parameters(spec.parameters.items())
    parameters[parameter] = {**parameters[parameter], key: value}
    entries = spec.model_dump(exclude={"parameters"}, exclude_unset=True)
    return can_run({**entries, "parameters": parameters})
