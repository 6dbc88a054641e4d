"""A configuration given by hand, outside the sweep: what it lacks is filled in, what is strange is said."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

from sweep.errors import EntryError, nearest
from sweep.space import SearchSpace
from sweep.space.variables import Variable
from sweep.sweepfile.parameters import Choice, Constant, Leaf, Range
from sweep.sweepfile.types import is_valid_scalar, short_repr

_TRIES = 1000
"""So many random configurations are looked at for one in which all that is given is there."""


@dataclass(frozen=True)
class Configuration:
    """All parameters of a trial.

    Args:
        params: with constants, in the file's order.
        by_default: the names of those that were not given and have a default.
        sampled: the names of those that were not given and have none.
        notes: what is strange about it.
    """

    params: dict[str, Any]
    by_default: tuple[str, ...] = ()
    sampled: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def complete(
    space: SearchSpace, given: Mapping[str, Any], seed: int, otherwise: Mapping[str, Any] | None = None
) -> Configuration:
    """Fill in what is not given: as in another configuration, else defaults, else at random.

    A number, or a constant, may be what it never is in the sweep; a note says so. A word may not.

    Args:
        space: the search space.
        given: by the parameters' names.
        seed: of what is sampled.
        otherwise: the other configuration, as far as it is there beside what is given.

    Raises:
        EntryError: there is no such parameter, or it cannot be that, or not beside the others. The entry is
            the parameter's name.
    """
    if space.is_define_by_run:  # the objective asks for what it needs
        return Configuration({**(otherwise or {}), **given})
    read = {name: _read(space, name, value) for name, value in given.items()}
    given = {name: value for name, (value, _) in read.items()}
    notes = tuple(note for _, note in read.values() if note)
    fixed = space.with_constants(given)
    others = {name: value for name, value in (otherwise or {}).items() if name in space.parameters}
    others = {name: value for name, value in others.items() if name not in given}
    params: dict[str, Any] = {}
    # What is given goes before defaults: conditions and constraints may not allow both.
    for known in ({**fixed.with_constants(others).defaults(), **others}, others):
        for params in _random(fixed.with_constants(known), seed):
            if given.keys() <= params.keys() and fixed.is_feasible(params):
                return _found(space, params, {*given, *others}, known, notes)
    missing = next((name for name in given if name not in params), None)
    if missing is not None:
        wanted = " and ".join(
            f"{one.name}={' or '.join(map(str, one.values))}" for one in space.conditions(missing)
        )
        raise EntryError(missing, f"is there only with {wanted}; leave it out, or give that too")
    violated = next(fixed.violated(params), None)
    assert violated is not None
    return _found(
        space, params, {*given, *others}, {}, (*notes, f"it violates the constraint {violated.text}")
    )


def _found(
    space: SearchSpace,
    params: dict[str, Any],
    given: set[str],
    defaults: Collection[str],
    notes: tuple[str, ...],
) -> Configuration:
    others = [name for name in params if name in space.variables and name not in given]
    return Configuration(
        params,
        tuple(name for name in others if name in defaults),
        tuple(name for name in others if name not in defaults),
        notes,
    )


def _random(space: SearchSpace, seed: int) -> Iterator[dict[str, Any]]:
    """Random configurations, or the only one that there is."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    sampler = RandomSampler(seed)
    study = optuna.create_study(sampler=sampler)
    frozen = optuna.trial.create_trial(state=TrialState.RUNNING)

    def sample(variable: Variable) -> Any:
        return sampler.sample_independent(study, frozen, variable.key, variable.distribution)

    for _ in range(_TRIES if space.variables else 1):
        yield space.walk(sample)


def _read(space: SearchSpace, name: str, value: Any) -> tuple[Any, str]:
    """The value as a trial would get it, and what is to be said about one that the parameter never has.

    Raises:
        EntryError: it is a mistake.
    """
    if not is_valid_scalar(value):
        raise EntryError(name, f"{name} cannot be {short_repr(value)}")
    try:
        found = space.encode_one(name, value, name)
    except EntryError as error:
        parameter = space.parameters.get(name)
        if parameter is None or not _is_like(parameter, value):
            raise _nearer(parameter, name, value, error) from None
        if isinstance(parameter, Range):
            value = int(value) if parameter.is_int else float(value)
        return value, f"{name}={short_repr(value)} is not in the sweep's space: {parameter.values_text}"
    return space.variables[name].decode(found) if name in space.variables else value, ""


def _nearer(parameter: Leaf | None, name: str, value: Any, error: EntryError) -> EntryError:
    """With the word that was meant, if there is one."""
    near = nearest(value, map(str, parameter.values)) if isinstance(parameter, Choice) else None
    return (
        error
        if near is None
        else EntryError(name, f"{name} is never {short_repr(value)}; did you mean {near!r}?")
    )


def _is_like(parameter: Leaf, value: Any) -> bool:
    """Whether a value that the parameter never has is of the same kind as those that it has."""
    if isinstance(parameter, Constant):
        return parameter.value is None or _kind(value) == _kind(parameter.value)
    if isinstance(parameter, Choice):
        return _kind(value) == "number" and any(_kind(one) == "number" for one in parameter.values)
    whole = isinstance(parameter, Range) and parameter.is_int
    return _kind(value) == "number" and (not whole or float(value).is_integer())


def _kind(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "number"
    return type(value).__name__
