"""Builds a sweep from the arguments of `sweep.run`: the keys of a sweep file, and a few of Optuna's."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any, Literal, TypedDict

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.study import StudyDirection
from pydantic import BaseModel, ValidationError

from sweep.errors import InputError
from sweep.sweepfile.declared_parameters import DEFINE_BY_RUN
from sweep.sweepfile.model import SweepSpec
from sweep.sweepfile.pruners import PRUNERS
from sweep.sweepfile.samplers import SAMPLERS
from sweep.sweepfile.types import short_repr
from sweep.sweepfile.validation_errors import spec_error
from sweep.sweepfile.yaml import Document, read_document

Goal = Literal["minimize", "maximize"] | StudyDirection

METRIC = "objective"
"""The default name of the metric."""

_ARGUMENTS = {"stop.trials": "n_trials"}
"""Entries of a sweep file that are arguments of `sweep.run` under another name."""
_ARGUMENTS_FOR_FUNCTION = {**_ARGUMENTS, "parameters": "space", "metric.goal": "goal"}


class Options(TypedDict, total=False):
    """The keys of a sweep file; values are plain data, or the models of `sweep.sweepfile`."""

    name: str
    metric: Any
    metrics: Any
    constraints: Any
    enqueue: Any
    sampler: Any
    pruner: Any
    repeats: Any
    resources: Any
    max_parallel: int
    runtime_env: Mapping[str, Any]
    shared: bool
    stop: Any
    trial: Any
    storage: str
    cwd: str
    env: Mapping[str, Any]
    direction: Goal
    directions: Sequence[Goal]


def build_spec(
    objective: str,
    *,
    space: Mapping[str, Any] | None,
    goal: Goal | None,
    goals: Sequence[Goal] | None,
    n_trials: int | None,
    options: Mapping[str, Any],
) -> SweepSpec:
    """Build the sweep of a function.

    Args:
        objective: the sweep file's `objective`.
        space: the sweep file's `parameters`, or Optuna's distributions by name; None for define-by-run.
        goal: the goal of the only metric, whose name is `objective` unless `metric` is given.
        goals: one for each metric. The metrics are named `objective_0` and so on unless `metrics` is given.
        n_trials: the sweep file's `stop: {trials: ...}`.
        options: see `Options`.

    Raises:
        SpecError: the arguments are not a valid sweep.
        InputError: two arguments contradict or repeat each other.
    """
    for key, hint in (("parameters", "write space={...}"), ("objective", "it is the first argument")):
        if key in options:
            raise InputError(f"sweep.run: {key}: {hint}")
    _check_options(options)
    data = {key: plain(value) for key, value in options.items() if value is not None}
    data["objective"] = objective
    data["parameters"] = DEFINE_BY_RUN if space is None else plain(space)
    _set_goals(data, goal, goals)
    _set_trials(data, n_trials)
    return _validate(data, _ARGUMENTS_FOR_FUNCTION)


def change_spec(spec: SweepSpec, n_trials: int | None, options: Mapping[str, Any]) -> SweepSpec:
    """Change some options of a sweep; the arguments are those of `build_spec`."""
    _check_options(options)
    changes = {key: plain(value) for key, value in options.items() if value is not None}
    if n_trials is None and not changes:
        return spec
    data = dict(read_document(spec.to_yaml()).data)
    for key, alternative in (("metric", "metrics"), ("metrics", "metric")):
        if key in changes:
            data.pop(alternative, None)
    if "stop" not in changes and n_trials is not None:
        data["stop"] = {key: value for key, value in data.get("stop", {}).items() if key != "trials"}
    data.update(changes)
    _set_trials(data, n_trials)
    return _validate(data, _ARGUMENTS)


def _check_options(options: Mapping[str, Any]) -> None:
    """Ensure that no option is one of Optuna's samplers or pruners, which cannot be written to a file.

    Raises:
        InputError: an option is one; the message names the mapping to write instead.
    """
    for key, value in options.items():
        class_ = value if inspect.isclass(value) else type(value)
        if issubclass(class_, (BaseSampler, BasePruner)):
            raise InputError(
                f"sweep.run: {key}: {class_.__name__} is one of Optuna's classes, and a sweep is written to "
                f"a file; write {key}={_plain_class(class_)}, with further options in the same mapping"
            )


_OPTUNA_NAMES = {
    "NSGAII": "nsga2",
    "NSGAIII": "nsga3",
    "BruteForce": "brute_force",
    "SuccessiveHalving": "asha",
    "Nop": "none",
}
"""The `type` of each of Optuna's classes whose name differs in a sweep file."""


def _plain_class(class_: type) -> str:
    """The mapping for a sampler or pruner class, as Python code."""
    name = class_.__name__.removesuffix("Sampler").removesuffix("Pruner")
    type_ = _OPTUNA_NAMES.get(name, name.lower())
    data: dict[str, Any]
    if class_.__module__.partition(".")[0] != "optuna" or type_ not in (*SAMPLERS, *PRUNERS):
        data = {"type": f"{class_.__module__}:{class_.__qualname__}"}
    else:
        data = {"type": type_, "seed": 3} if type_ in SAMPLERS else {"type": type_}
    return repr(data).replace("'", '"')


def _validate(data: dict[str, Any], arguments: Mapping[str, str]) -> SweepSpec:
    try:
        return SweepSpec.model_validate(data, context=arguments)
    except ValidationError as error:
        raise spec_error(error, Document(data, {}), "sweep.run", {}) from None


def _set_trials(data: dict[str, Any], n_trials: int | None) -> None:
    if n_trials is not None:
        stop = data.get("stop", {})
        if isinstance(stop, dict) and "trials" in stop:
            raise InputError("sweep.run: n_trials is the same as stop={'trials': ...}; leave one out")
        data["stop"] = {**stop, "trials": plain(n_trials)} if isinstance(stop, dict) else stop


def _set_goals(data: dict[str, Any], goal: Goal | None, goals: Sequence[Goal] | None) -> None:
    if goal is not None and goals is not None:
        raise InputError("sweep.run: goal is for one metric, goals for several; leave one out")
    metric, metrics = data.get("metric", METRIC), data.get("metrics")
    if goals is not None:
        if "metric" in data:
            raise InputError("sweep.run: with goals, name the metrics: metrics=['loss', 'size']")
        if not isinstance(goals, (list, tuple)) or not goals:
            raise InputError(
                "sweep.run: goals: expected a list such as ['minimize', 'maximize'], "
                f"got {short_repr(goals)}; for one metric write goal='minimize'"
            )
        goals = [_read_goal(value) for value in goals]
        names = metrics if metrics is not None else [f"{METRIC}_{index}" for index in range(len(goals))]
        is_names = isinstance(names, list) and all(isinstance(name, str) for name in names)
        if not is_names or len(names) != len(goals):
            raise InputError(f"sweep.run: metrics: expected {len(goals)} names, one for each of the goals")
        data["metrics"] = [{"name": name, "goal": goal} for name, goal in zip(names, goals, strict=True)]
    elif isinstance(metrics, list) and any(isinstance(name, str) for name in metrics):
        example = repr(["minimize"] * len(metrics))
        raise InputError(f"sweep.run: metrics: have no goals; add for example goals={example}")
    elif isinstance(metric, str) and metrics is None:
        data["metric"] = {
            "name": metric,
            "goal": "minimize" if goal is None else _read_goal(goal),
        }
    elif goal is not None and isinstance(metric, dict) and "goal" not in metric:
        data["metric"] = {**metric, "goal": _read_goal(goal)}
    elif goal is not None:
        raise InputError("sweep.run: goal: the metric already has a goal; leave one out")


def _read_goal(value: Any) -> Any:
    """A goal, or Optuna's `StudyDirection`, as in a sweep file, whose model validates it."""
    return value.name.lower() if isinstance(value, StudyDirection) else value


def plain(value: Any) -> Any:
    """Convert a value to plain data, as in a sweep file."""
    match value:
        case BaseModel():
            data = value.model_dump(mode="json", exclude_unset=True)
            # `type` is often a default, which `exclude_unset` leaves out.
            kind = getattr(value, "type", None)
            return data if kind is None else {"type": kind, **data}
        case FloatDistribution() | IntDistribution():
            return _range(value)
        case CategoricalDistribution():
            return {"values": [plain(choice) for choice in value.choices]}
        case BaseDistribution():
            raise InputError(f"sweep.run: {value} is not one of Optuna's current distributions")
        case Mapping():
            return {plain(key): plain(item) for key, item in value.items()}
        case set() | frozenset():
            raise InputError(f"sweep.run: {short_repr(value)}: a set has no stable order; write a list")
        case list() | tuple():
            return [plain(item) for item in value]
        case np.ndarray() | np.generic():
            return value.tolist()
        case PurePath():
            return str(value)
    return value


def _range(distribution: FloatDistribution | IntDistribution) -> dict[str, Any]:
    data = {"min": plain(distribution.low), "max": plain(distribution.high)}
    if distribution.log:
        data["log"] = True
    is_every_integer = isinstance(distribution, IntDistribution) and distribution.step == 1
    if distribution.step is not None and not is_every_integer and not distribution.single():
        data["step"] = plain(distribution.step)
    return data
