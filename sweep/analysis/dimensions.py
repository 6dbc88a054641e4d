"""`Dimension`: a parameter as the surrogate of the metric sees it, as a position from 0 to 1 or a choice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

from sweep.analysis.view import SweepView
from sweep.space import SearchSpace
from sweep.space.variables import Variable
from sweep.sweepfile.parameters import Choice, Leaf, Range

_MOST_CHOICES = 1000
"""Numbers with other values among them are a choice if there are at most so many values."""


@dataclass(frozen=True)
class Dimension:
    """A parameter that is not a constant.

    Args:
        name: the parameter's name.
        key: the name under which Optuna samples it.
        encode: the position from 0 to 1 for what Optuna sampled; for a choice its index.
        decode: the parameter's value at a position; for a choice at an index.
        choices: the values of a choice; None for numbers.
        is_log: whether positions are on a logarithmic scale.
        is_unordered: whether the values at neighbouring positions can have nothing in common: a range with
            other values in front of it.
    """

    name: str
    key: str
    encode: Callable[[Any], float]
    decode: Callable[[float], Any]
    choices: Sequence[Any] | None = None
    is_log: bool = False
    is_unordered: bool = False

    @property
    def is_choice(self) -> bool:
        return self.choices is not None


def dimensions(view: SweepView, trials: Iterable[FrozenTrial]) -> list[Dimension]:
    """The parameters of a sweep that are not constant, in the file's order.

    With define-by-run, the distributions of the trials are the space: a range that differs between trials
    covers all of them, and a name with numbers and choices counts as the kind that it has first.
    """
    if not view.spec.is_define_by_run:
        space = SearchSpace.of(view.spec)
        found = [_of_variable(each, space.parameters[name]) for name, each in space.variables.items()]
        return [dimension for dimension in found if dimension is not None]
    seen: dict[str, list[BaseDistribution]] = {}
    for trial in trials:
        for name, distribution in trial.distributions.items():
            known = seen.setdefault(name, [distribution])
            if known[-1] is not distribution and known[-1] != distribution:
                known.append(distribution)
    merged = ((name, _merged(distributions)) for name, distributions in seen.items())
    return [_of_distribution(name, name, one) for name, one in merged if not one.single()]


def _of_variable(variable: Variable, parameter: Leaf) -> Dimension | None:
    distribution = variable.distribution
    if isinstance(distribution, CategoricalDistribution):
        values = list(variable.axis or ())
        if len(values) < 2:
            return None
        codes = {code: float(index) for index, code in enumerate(distribution.choices)}
        return Dimension(
            variable.name,
            variable.key,
            lambda sampled: codes.get(sampled, math.nan),
            lambda index: values[int(index)],
            values,
        )
    if variable.is_plain or variable.key == variable.name:
        if distribution.single():
            return None
        plain = _of_distribution(variable.name, variable.key, distribution)
        return Dimension(
            variable.name,
            variable.key,
            plain.encode,
            lambda position: variable.decode(plain.decode(position)),
            is_log=plain.is_log,
        )
    axis, is_unordered = variable.axis, not _ascends(parameter)
    if axis is not None and len(axis) <= _MOST_CHOICES and is_unordered:
        values = list(axis)
        positions = {repr(value): float(index) for index, value in enumerate(values)}
        return Dimension(
            variable.name,
            variable.key,
            lambda sampled: positions[repr(variable.decode(sampled))],
            lambda index: values[int(index)],
            values,
        )
    return Dimension(variable.name, variable.key, float, variable.decode, is_unordered=is_unordered)


def _ascends(parameter: Leaf) -> bool:
    """Whether a parameter that is sampled as a number from 0 to 1 has larger values for larger numbers."""
    if isinstance(parameter, Choice):
        values = parameter.values
    elif isinstance(parameter, Range):
        values = [*(parameter.alternatives or ()), parameter.min]
    else:
        return True
    return all(map(_is_number, values)) and values == sorted(values)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _merged(distributions: Sequence[BaseDistribution]) -> BaseDistribution:
    """One distribution that covers all those of the first one's kind."""
    first = distributions[0]
    if isinstance(first, CategoricalDistribution):
        same = [other for other in distributions if isinstance(other, CategoricalDistribution)]
        return CategoricalDistribution(list(dict.fromkeys(choice for one in same for choice in one.choices)))
    numeric = [one for one in distributions if isinstance(one, (FloatDistribution, IntDistribution))]
    low, high = min(one.low for one in numeric), max(one.high for one in numeric)
    is_log = all(one.log for one in numeric)
    if all(isinstance(one, IntDistribution) for one in numeric):
        return IntDistribution(int(low), int(high), log=is_log)
    return FloatDistribution(low, high, log=is_log)


def _of_distribution(name: str, key: str, distribution: BaseDistribution) -> Dimension:
    if isinstance(distribution, CategoricalDistribution):
        choices = distribution.choices
        codes = {choice: float(index) for index, choice in enumerate(choices)}
        return Dimension(
            name, key, lambda value: codes.get(value, math.nan), lambda index: choices[int(index)], choices
        )
    assert isinstance(distribution, (FloatDistribution, IntDistribution))
    low, high, step, is_log = distribution.low, distribution.high, distribution.step, distribution.log
    is_int = isinstance(distribution, IntDistribution)
    half = (step or 0) / 2 if not is_log or is_int else 0
    # A whole number has the share of the scale that is rounded to it, as in Optuna.
    bottom, top = float(low - half), float(high + half)
    if is_log:
        bottom, top = math.log(bottom), math.log(top)
    width = top - bottom

    def encode(value: Any) -> float:
        if not _is_number(value):
            return math.nan
        return min(max(((math.log(value) if is_log else value) - bottom) / width, 0.0), 1.0)

    def decode(position: float) -> Any:
        scaled = bottom + position * width
        value = math.exp(scaled) if is_log else scaled
        if step is not None and not (is_log and not is_int):
            value = low + round((value - low) / step) * step
        value = min(max(value, low), high)
        return round(value) if is_int else float(value)

    return Dimension(name, key, encode, decode, is_log=is_log)
