"""Completes a configuration that a user chose outside the sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import TrialState, create_trial

from sweep.errors import EntryError
from sweep.space import SearchSpace
from sweep.sweepfile.parameters import Choice, Range
from sweep.sweepfile.types import is_valid_scalar, short_repr

_TRIES = 1000  # random configurations, to find one that violates no constraint


def complete(
    space: SearchSpace, given: Mapping[str, Any], seed: int, others: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """Complete a configuration; returns it with notes on values that are not given or not in the space.

    Args:
        space: the search space.
        given: values by name. Numbers and constants can be outside the space.
        seed: the seed for sampling the parameters that have no default.
        others: values by name that take precedence over defaults.

    Raises:
        EntryError: there is no such parameter, or it cannot have the value.
    """
    if space.is_define_by_run:  # the objective suggests all others itself
        return {**(others or {}), **given}, []
    read = {name: _read(space, name, value) for name, value in given.items()}
    notes = [f"note: {note}" for _, note in read.values() if note]
    values = {name: value for name, value in (others or {}).items() if name in space.parameters}
    values |= {name: value for name, (value, _) in read.items()}
    defaults = {
        name: _as_in_a_trial(space, name, value)
        for name, value in space.with_constants(values).defaults().items()
    }
    space = space.with_constants({**defaults, **values})
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler, study, trial = RandomSampler(seed), optuna.create_study(), create_trial(state=TrialState.RUNNING)
    for _ in range(_TRIES if space.variables else 1):
        params = space.walk(
            lambda variable: sampler.sample_independent(study, trial, variable.key, variable.distribution)
        )
        violated = next(space.violated(params), None)
        if violated is None:
            break
    for name in given.keys() - params.keys():
        conditions = space.conditions(name)
        required = [f"{condition.name}={' or '.join(map(str, condition.values))}" for condition in conditions]
        message = f"exists only with {' and '.join(required)}; leave it out, or give that too"
        raise EntryError(f"--params {name}", message)
    for names, how in ((defaults, "by default"), (space.variables, "not given, so drawn at random")):
        if present := [name for name in params if name in names]:
            notes.append(f"{how}: {', '.join(present)}")
    return params, notes + ([f"note: it violates the constraint {violated.text}"] if violated else [])


def _as_in_a_trial(space: SearchSpace, name: str, default: Any) -> Any:
    """A default as a trial receives it: 1e1 becomes 10 for an integer."""
    try:
        return space.variables[name].decode(space.encode_one(name, default, name))
    except EntryError:  # its distribution never has this value
        return default


def _read(space: SearchSpace, name: str, value: Any) -> tuple[Any, str]:
    """The value as a trial receives it, and a note if the sweep never uses it."""
    parameter = space.parameters.get(name)
    if not is_valid_scalar(value):
        raise EntryError(f"--params {name}", f"{name} cannot be {short_repr(value)}")
    try:
        sampled = space.encode_one(name, value, f"--params {name}")
        return space.variables[name].decode(sampled) if name in space.variables else value, ""
    except EntryError:
        usual = getattr(parameter, "value", 1.0)  # a number, unless it is a constant of another type
        has_type = usual is None or type(value) is type(usual) or {type(value), type(usual)} <= {int, float}
        is_int = isinstance(parameter, Range) and parameter.is_int
        if parameter is None or isinstance(parameter, Choice) or not has_type or (is_int and value % 1):
            raise
    if isinstance(parameter, Range):
        value = int(value) if parameter.is_int else float(value)
    return value, f"{name}={short_repr(value)} is not in the sweep's space: {parameter.values_text}"
