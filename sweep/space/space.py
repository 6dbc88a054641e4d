"""`SearchSpace`: the parameters of a sweep as Optuna distributions and back as a trial's parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
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
        for_grid: whether every configuration is to be tried once.
        is_open: whether nothing is declared: the objective asks for its parameters while it runs.

    Attributes:
        parameters: all that are no group, by their dotted names.
        variables: those of them that are no constants, as Optuna sees them.
        constraints: the constraints.
    """

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        constraints: Sequence[str] = (),
        for_grid: bool = False,
        is_open: bool = False,
    ) -> None:
        self.is_open = is_open
        nodes = flatten(parameters)
        self._nodes = {name: nodes[name] for name in dependency_order(nodes)}
        self.parameters: dict[str, Leaf] = {name: node.parameter for name, node in nodes.items()}
        found = {name: variable(name, parameter, for_grid) for name, parameter in self.parameters.items()}
        self.variables: dict[str, Variable] = {
            name: found[name]  # type: ignore[misc]
            for name in self.parameters
            if found[name] is not None
        }
        self.constraints = [Expression(text) for text in constraints]

    @classmethod
    def of(cls, spec: SweepSpec) -> SearchSpace:
        """The search space of a sweep."""
        is_exhaustive = spec.sampler.type in EXHAUSTIVE
        return cls(spec.parameters, spec.constraints, is_exhaustive, spec.is_define_by_run)

    def with_constants(self, values: Mapping[str, Any]) -> SearchSpace:
        """The same space in which some parameters always have these values, whatever they were.

        Args:
            values: by the parameters' names.
        """
        found = copy(self)
        vars(found).pop("distributions", None)
        vars(found).pop("grid", None)
        found._nodes = {
            name: replace(node, parameter=Constant(value=values[name])) if name in values else node
            for name, node in self._nodes.items()
        }
        found.parameters = {name: found._nodes[name].parameter for name in self.parameters}
        found.variables = {name: one for name, one in self.variables.items() if name not in values}
        return found

    def conditions(self, name: str) -> tuple[Condition, ...]:
        """On which a parameter is there."""
        return self._nodes[name].conditions

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What Optuna samples, by its own names."""
        return {variable.key: variable.distribution for variable in self.variables.values()}

    @property
    def is_conditional(self) -> bool:
        """Whether some parameters are there in some configurations only."""
        return any(node.conditions for node in self._nodes.values())

    def is_optional(self, name: str) -> bool:
        """Whether a parameter is there in some configurations only."""
        return bool(self._nodes[name].conditions)

    @property
    def is_plain(self) -> bool:
        """Whether what Optuna samples is what trials get, under the same names."""
        return all(variable.is_plain for variable in self.variables.values())

    def walk(self, sample: Callable[[Variable], Any]) -> dict[str, Any]:
        """Put together a configuration: parameters that depend on others come after them.

        Args:
            sample: gives what Optuna has sampled for a variable; asked only for those that are active.
                KeyError means that it has not been sampled; it is left out then.

        Returns:
            the active parameters with their values, constants included, in the file's order.
        """
        params: dict[str, Any] = {}
        for name, node in self._nodes.items():
            if node.is_active(params):
                if isinstance(node.parameter, Constant):
                    params[name] = node.parameter.value
                else:
                    of = self.variables[name]
                    try:
                        params[name] = of.decode(sample(of))
                    except KeyError:
                        continue
        return {name: params[name] for name in self.parameters if name in params}

    def complete(self, sampled: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters of a trial, in the file's order: what Optuna has `sampled`, and constants."""
        if self.is_open:
            return dict(sampled)
        return self.walk(lambda variable: sampled[variable.key])

    def suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Have Optuna sample a configuration for a trial; what the trial has already, it keeps."""
        return self.walk(lambda variable: suggest(trial, variable.key, variable.distribution))

    def rejecting(self, params: Mapping[str, Any]) -> Expression | None:
        """The first constraint that a configuration does not fulfil.

        Raises:
            EntryError: a constraint makes no sense for its parameters.
        """
        return next(self.all_rejecting(params), None)

    def all_rejecting(self, params: Mapping[str, Any]) -> Iterator[Expression]:
        """Each constraint that a configuration does not fulfil; otherwise like `rejecting`."""
        for index, constraint in enumerate(self.constraints):
            try:
                if not constraint.holds(params):
                    yield constraint
            except ExpressionError as error:
                raise EntryError(f"constraints.{index}", f"{constraint.text}: {error}") from None

    def encode(self, values: Mapping[str, Any], entry: str) -> dict[str, Any]:
        """What Optuna would have sampled for some of the parameters.

        Args:
            values: by the parameters' names; constants may be among them.
            entry: where they stand, for messages.

        Raises:
            EntryError: there is no such parameter, or it is never that; or not there beside the others; or
                they violate a constraint.
        """
        if self.is_open:
            return dict(values)
        sampled = {}
        for name, value in values.items():
            found = self.encode_one(name, value, f"{entry}.{name}")
            if name in self.variables:
                sampled[self.variables[name].key] = found
        self._check_together(values, entry)
        return sampled

    def encode_one(self, name: str, value: Any, entry: str) -> Any:
        """What Optuna would have sampled for one parameter; a constant's value.

        Raises:
            EntryError: there is no such parameter, or it is never that.
        """
        if self.is_open:
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

    def _check_together(self, values: Mapping[str, Any], entry: str) -> None:
        known = {
            name: parameter.value
            for name, parameter in self.parameters.items()
            if isinstance(parameter, Constant)
        } | dict(values)
        for name in values:
            for condition in self._nodes[name].conditions:
                if condition.name in known and not condition.holds(known):
                    wanted = " or ".join(map(short_repr, condition.values))
                    raise EntryError(
                        f"{entry}.{name}",
                        f"{name} is there only if {condition.name} is {wanted}, and it is "
                        f"{short_repr(known[condition.name])}; leave it out",
                    )
        for constraint in self.constraints:
            if all(name in known for name in constraint.names) and self.rejecting(known) is constraint:
                raise EntryError(entry, f"violates the constraint {constraint.text}")

    def defaults(self) -> dict[str, Any]:
        """The configuration of all defaults: of parameters that have one and are there beside the others."""
        found: dict[str, Any] = {}
        for name, node in self._nodes.items():
            if isinstance(node.parameter, Constant):
                if node.is_active(found):
                    found[name] = node.parameter.value
            elif node.parameter.has_default and node.is_active(found):
                found[name] = node.parameter.default
        return {name: found[name] for name in self.variables if name in found}

    @cached_property
    def grid(self) -> Grid | None:
        """All configurations in their order, or None if there is no end of them."""
        if self.endless or self.is_open:
            return None
        return Grid(self._nodes, self.variables, self.rejecting if self.constraints else None)

    @property
    def endless(self) -> list[str]:
        """The parameters that have no end of values."""
        return [name for name, variable in self.variables.items() if variable.axis is None]

    @property
    def grid_size(self) -> int | None:
        """How many configurations the space has, or None if there is no end of them."""
        return None if self.grid is None else self.grid.size

    def check_grid(self) -> Grid:
        """The grid of a sampler that tries every configuration.

        Raises:
            EntryError: a parameter has no end of values.
        """
        if self.is_open:
            raise EntryError(
                "sampler.type",
                "a grid needs declared parameters; declare them instead of define-by-run, or write random",
            )
        if self.grid is None:
            raise EntryError(
                f"parameters.{self.endless[0]}",
                "a grid needs an end: give it a step, or values: [...], or another sampler",
            )
        return self.grid


def suggest(trial: optuna.Trial, name: str, distribution: BaseDistribution) -> Any:
    """Have Optuna sample one parameter for a trial, or give what the trial has already.

    Raises:
        ValueError: Optuna cannot: the same name has stood for other choices.
    """
    match distribution:
        case FloatDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_float(name, low, high, step=step, log=log)
        case IntDistribution(low=low, high=high, step=step, log=log):
            return trial.suggest_int(name, low, high, step=step, log=log)
        case CategoricalDistribution(choices=choices):
            return trial.suggest_categorical(name, choices)
    raise AssertionError(distribution)
