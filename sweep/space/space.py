"""`SearchSpace`: the parameters of a sweep as Optuna distributions and back as a trial's parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from sweep.errors import EntryError
from sweep.spec.parameters import Choice, Constant, Parameter, Range


class SearchSpace:
    """The parameters of a sweep.

    Args:
        parameters: the sweep file's `parameters`, in its order.
    """

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        self.parameters = dict(parameters)

    @cached_property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What Optuna samples: one distribution for each parameter that is no constant."""
        return {
            name: _distribution(parameter)
            for name, parameter in self.parameters.items()
            if not isinstance(parameter, Constant)
        }

    @property
    def is_conditional(self) -> bool:
        """Whether some parameters are there only in some configurations."""
        return False

    def complete(self, sampled: Mapping[str, Any]) -> dict[str, Any]:
        """All parameters of a trial, in the file's order: `sampled` ones and constants."""
        return {
            name: parameter.value if isinstance(parameter, Constant) else sampled[name]
            for name, parameter in self.parameters.items()
        }

    @property
    def grid_size(self) -> int | None:
        """How many configurations the space has, or None if there is no end of them."""
        sizes = [_size(parameter) for parameter in self.parameters.values()]
        return None if None in sizes else math.prod(size for size in sizes if size is not None)

    def grid_axes(self) -> dict[str, Sequence[Any]]:
        """All values of every parameter that is no constant.

        Raises:
            EntryError: a parameter has no end of them.
        """
        return {name: _axis(name, self.parameters[name]) for name in self.distributions}


def _axis(name: str, parameter: Parameter) -> Sequence[Any]:
    if isinstance(parameter, Constant):
        return [parameter.value]
    if isinstance(parameter, Choice):
        return list(parameter.values)
    size = _size(parameter)
    if size is None:
        raise EntryError(
            f"parameters.{name}", "a grid needs an end: give it a step, or values: [...], or another sampler"
        )
    return [_nth(parameter, index) for index in range(size)]


def _nth(parameter: Range, index: int) -> int | float:
    """The value `index` steps above min. In decimals, as Optuna does it: 3 steps of 0.1 are 0.3."""
    value = Decimal(str(parameter.min)) + index * Decimal(str(parameter.step or 1))
    return int(value) if parameter.is_int else float(value)


def _size(parameter: Parameter) -> int | None:
    if isinstance(parameter, Constant):
        return 1
    if isinstance(parameter, Choice):
        return len(parameter.values)
    if parameter.step is None and not parameter.is_int:
        return None
    width = Fraction(str(parameter.max)) - Fraction(str(parameter.min))
    return int(width // Fraction(str(parameter.step or 1))) + 1


def _distribution(parameter: Choice | Range) -> BaseDistribution:
    if isinstance(parameter, Choice):
        return CategoricalDistribution(parameter.values)
    size = _size(parameter)
    # Optuna would cut a range to whole steps too, but with a warning at every trial.
    last = parameter.max if size is None else _nth(parameter, size - 1)
    if parameter.is_int:
        step = int(parameter.step or 1)
        return IntDistribution(int(parameter.min), int(last), log=parameter.log, step=step)
    return FloatDistribution(float(parameter.min), float(last), log=parameter.log, step=parameter.step)
