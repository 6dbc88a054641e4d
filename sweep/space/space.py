"""`SearchSpace`: the parameters of a sweep as Optuna distributions, and as the parameters of a trial."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from sweep.errors import EntryError, suggestion
from sweep.space.grid import Grid
from sweep.space.variables import Variable, variable
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.expressions import Expression, ExpressionError
from sweep.sweepfile.parameter_forms import Parameter
from sweep.sweepfile.parameters import Constant, Leaf
from sweep.sweepfile.tree import Condition, dependency_order, flatten
from sweep.sweepfile.types import same_value, short_repr

EXHAUSTIVE = ("grid", "brute_force")
"""Samplers that try every configuration once."""


class SearchSpace:
    """The parameters of a sweep.

    Args:
        parameters: the sweep file's `parameters`, in its order.
        constraints: the sweep file's `constraints`.
        for_grid: whether every configuration is tried once.
        is_define_by_run: whether no parameter is declared, and the objective suggests them while it runs.

    Attributes:
        parameters: all parameters except groups, by their dotted names.
        variables: the parameters that are not constants, as Optuna sees them.
        constraints: the constraints.
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        constraints: Sequence[str] = (),
        for_grid: bool = False,
        is_define_by_run: bool = False,
    ) -> None:
        self.is_define_by_run = is_define_by_run
        nodes = flatten(parameters)
        self._nodes = {name: nodes[name] for name in dependency_order(nodes)}
        self.parameters: dict[str, Leaf] = {name: node.parameter for name, node in nodes.items()}
        self.variables: dict[str, Variable] = {
            name: sampled
            for name, parameter in self.parameters.items()
            if (sampled := variable(name, parameter, for_grid)) is not None
        }
        self.constraints = [Expression(text) for text in constraints]

    @classmethod
    def of(cls, spec: SweepSpec) -> SearchSpace:
        """The search space of a sweep."""
        is_exhaustive = spec.sampler.type in EXHAUSTIVE
        return cls(spec.parameters, spec.constraints, is_exhaustive, spec.is_define_by_run)

    def with_constants(self, values: Mapping[str, Any]) -> SearchSpace:
        """The same search space, in which these parameters are constants."""
        changed = copy(self)
        vars(changed).pop("distributions", None)
        vars(changed).pop("grid", None)
        changed._nodes = {
            name: replace(node, parameter=Constant(value=values[name])) if name in values else node
            for name, node in self._nodes.items()
        }
        changed.parameters = {name: changed._nodes[name].parameter for name in self.parameters}
        changed.variables = {name: item for name, item in self.variables.items() if name not in values}
        return changed

    def conditions(self, name: str) -> tuple[Condition, ...]:
        """The conditions under which a parameter is active; empty if it always is."""
        return self._nodes[name].conditions

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """Optuna's distributions, by the names that Optuna uses."""
        return {variable.key: variable.distribution for variable in self.variables.values()}

    @property
    def is_conditional(self) -> bool:
        """Whether some parameters are active only in some configurations."""
        return any(node.conditions for node in self._nodes.values())

    @property
    def is_plain(self) -> bool:
        """Whether all parameters have the names and values that Optuna samples."""
        return all(variable.is_plain for variable in self.variables.values())

    def walk(self, sample: Callable[[Variable], Any]) -> dict[str, Any]:
        """Build a configuration: parameters that others depend on are sampled first.

        Args:
            sample: returns what Optuna sampled for an active variable; the parameter is omitted if it raises
                KeyError.

        Returns:
            the active parameters with their values, constants included, in the file's order.
        """
        params: dict[str, Any] = {}
        for name, node in self._nodes.items():
            if node.is_active(params):
                if isinstance(node.parameter, Constant):
                    params[name] = node.parameter.value
                else:
                    with suppress(KeyError):
                        params[name] = self.variables[name].decode(sample(self.variables[name]))
        return {name: params[name] for name in self.parameters if name in params}

    def complete(self, sampled: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters of a trial in the file's order: those that Optuna has `sampled`, and constants."""
        if self.is_define_by_run:
            return dict(sampled)
        return self.walk(lambda variable: sampled[variable.key])

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Sample a configuration for a trial. It keeps the parameters that have been sampled before."""
        return self.walk(lambda variable: suggest(trial, variable.key, variable.distribution))

    def violated(self, params: Mapping[str, Any]) -> Iterator[Expression]:
        """The constraints that a configuration violates.

        Raises:
            EntryError: it violates none, and one cannot be evaluated for its parameters.
        """
        problem, is_violated = None, False
        for index, constraint in enumerate(self.constraints):
            try:
                if not constraint.holds(params):
                    is_violated = True
                    yield constraint
            except ExpressionError as error:
                problem = problem or EntryError(f"constraints.{index}", f"{constraint.text}: {error}")
        if problem is not None and not is_violated:  # one that excludes the values can come after it
            raise problem

    def is_feasible(self, params: Mapping[str, Any]) -> bool:
        """Whether a configuration satisfies all constraints.

        Raises:
            EntryError: as `violated`.
        """
        return next(self.violated(params), None) is None

    def encode(self, values: Mapping[str, Any], entry: str, *, completes: bool = True) -> dict[str, Any]:
        """The values that Optuna would have sampled for some of the parameters.

        Args:
            values: the values of parameters; constants can be among them.
            entry: the entry that gives them, for messages.
            completes: whether all of these parameters are to be active: the values of others on which that
                depends are added. Otherwise the value of a parameter counts if it turns out to be active.

        Raises:
            EntryError: there is no such parameter, it cannot have this value, it is inactive with the others,
                another parameter decides whether it is active, or they violate a constraint.
        """
        if self.is_define_by_run:
            return dict(values)
        encoded = {name: self.encode_one(name, value, f"{entry}.{name}") for name, value in values.items()}
        if completes:
            required = self._required(values, entry)
            values = {**values, **required}
            encoded |= {
                name: self.encode_one(name, value, f"{entry}.{name}") for name, value in required.items()
            }
        self._check_constraints(values, entry)
        return {self.variables[name].key: one for name, one in encoded.items() if name in self.variables}

    def encode_one(self, name: str, value: Any, entry: str) -> Any:
        """The value that Optuna would have sampled for one parameter, or the value of a constant.

        Raises:
            EntryError: there is no such parameter, or it cannot have this value.
        """
        if self.is_define_by_run:
            return value
        if name not in self.parameters:
            groups = [other for other in self.parameters if other.startswith(f"{name}.")]
            hint = f"write {groups[0]}" if groups else suggestion(name, self.parameters)
            raise EntryError(entry, f"there is no parameter {name!r}; {hint}")
        parameter = self.parameters[name]
        if isinstance(parameter, Constant):
            if not same_value(parameter.value, value):
                raise EntryError(
                    entry, f"{name} is always {short_repr(parameter.value)}, never {short_repr(value)}"
                )
            return value
        try:
            return self.variables[name].encode(value)
        except (ValueError, TypeError):
            raise EntryError(entry, f"{name} is never {short_repr(value)}; {parameter.values_text}") from None

    def _required(self, values: Mapping[str, Any], entry: str) -> dict[str, Any]:
        """The values that parameters without one must have for those with one to be active."""
        known = {
            name: parameter.value
            for name, parameter in self.parameters.items()
            if isinstance(parameter, Constant)
        } | dict(values)
        needed_by = {name: name for name in values}
        """For each parameter that must be active, one with a value because of which it must."""
        fitting: dict[str, list[Any]] = {}
        """For those without a value, the values that satisfy all conditions."""
        required = {}
        for name in reversed(self._nodes):  # those that depend on a parameter come first
            if name not in needed_by:
                continue
            given = needed_by[name]
            if name in fitting:
                if len(fitting[name]) != 1:
                    possible = " or ".join(map(short_repr, fitting[name]))
                    problem = f"is active only if {name} is {possible}; give {name} too"
                    if not possible:
                        problem = f"and another one need different values of {name}; leave one of them out"
                    raise EntryError(f"{entry}.{given}", f"{given} {problem}")
                required[name] = fitting[name][0]
            for condition in self.conditions(name):
                needed_by.setdefault(condition.name, given)
                if condition.name not in known:
                    values_so_far = fitting.get(condition.name, condition.values)
                    fitting[condition.name] = [
                        value for value in values_so_far if condition.holds({condition.name: value})
                    ]
                elif not condition.holds(known):
                    raise EntryError(
                        f"{entry}.{given}",
                        f"{name} is active only if {condition.name} is "
                        f"{' or '.join(map(short_repr, condition.values))}, and it is "
                        f"{short_repr(known[condition.name])}; leave {given} out",
                    )
        return required

    def _check_constraints(self, values: Mapping[str, Any], entry: str) -> None:
        """Check the constraints whose parameters are all certain to be active with these values."""
        params: dict[str, Any] = {}
        for name, node in self._nodes.items():
            if node.is_active(params):
                if isinstance(node.parameter, Constant):
                    params[name] = node.parameter.value
                elif name in values:
                    params[name] = values[name]
        for constraint in self.violated(params):
            raise EntryError(entry, f"violates the constraint {constraint.text}")

    def defaults(self) -> dict[str, Any]:
        """The defaults of all parameters, except those that are inactive with the other defaults."""
        values: dict[str, Any] = {}
        inactive = set()
        for name, node in self._nodes.items():
            if any(
                condition.name in inactive or (condition.name in values and not condition.holds(values))
                for condition in node.conditions
            ):
                inactive.add(name)
            elif isinstance(node.parameter, Constant):
                values[name] = node.parameter.value
            elif node.parameter.has_default:
                values[name] = node.parameter.default
        return {name: values[name] for name in self.variables if name in values}

    @cached_property
    def grid(self) -> Grid | None:
        """All configurations in order; None if they are unbounded."""
        if self._unbounded or self.is_define_by_run:
            return None
        return Grid(self._nodes, self.variables, self.is_feasible if self.constraints else None)

    @property
    def _unbounded(self) -> list[str]:
        return [name for name, variable in self.variables.items() if variable.axis is None]

    @property
    def grid_size(self) -> int | None:
        """The number of configurations; None if they are unbounded.

        Raises:
            EntryError: there are constraints, and too many configurations to check each.
        """
        return None if self.grid is None else self.grid.size

    def check_grid(self) -> Grid:
        """The grid for a sampler that tries every configuration.

        Raises:
            EntryError: a parameter has infinitely many values.
        """
        if self.is_define_by_run:
            raise EntryError(
                "sampler.type",
                "a grid needs declared parameters; declare them instead of define-by-run, or write random",
            )
        if self.grid is None:
            raise EntryError(
                f"parameters.{self._unbounded[0]}",
                "has infinitely many values; for a grid give it a step or values: [...], or write another "
                "sampler",
            )
        return self.grid


def suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    """Sample one parameter for a trial, or return the value that the trial has.

    Raises:
        ValueError: the same name has been used for other choices.
    """
    match distribution:
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise AssertionError(distribution)
