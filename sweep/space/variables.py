"""`Variable`: what Optuna samples for a parameter, and the conversion to the parameter's value and back.

Optuna has ranges and plain choices. Every other distribution is sampled as a number from 0 to 1 and
transformed, so that every sampler supports it. A choice among lists or mappings is sampled as JSON strings.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import accumulate
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from sweep.errors import EntryError
from sweep.sweepfile.parameters import Choice, Constant, Distribution, Leaf, Range
from sweep.sweepfile.types import Scalar, same_value

_UNIT_INTERVAL = FloatDistribution(0.0, 1.0)
_MAX_CHOICES = 100_000
"""The size up to which values become a choice in Optuna, which stores all of them with each trial."""


class LazySequence(Sequence[Any]):
    """Values that are computed on access, because there can be billions of them.

    Args:
        size: the number of values.
        nth: computes a value from its index.
    """

    def __init__(self, size: int, nth: Callable[[int], Any]) -> None:
        self._size = size
        self._nth = nth

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: Any) -> Any:
        chosen = range(self._size)[index]
        return [self._nth(each) for each in chosen] if isinstance(chosen, range) else self._nth(chosen)


class Variable(ABC):
    """A parameter that is not constant, as Optuna sees it.

    Args:
        name: the parameter's name.

    Attributes:
        key: the name under which Optuna samples it. It differs if Optuna's value is not the parameter's.
        is_plain: whether Optuna's value is the parameter's value.
        distribution: Optuna's distribution.
        axis: all values in order; None if they are unbounded.
    """

    is_plain: bool = True
    distribution: BaseDistribution
    axis: Sequence[Any] | None

    def __init__(self, name: str) -> None:
        self.name = name
        self.key = name

    @abstractmethod
    def decode(self, sampled: Any) -> Any:
        """The parameter's value for a value that Optuna sampled."""

    @abstractmethod
    def encode(self, value: Any) -> Any:
        """The value that Optuna would have sampled for a value of the parameter.

        Raises:
            ValueError: the parameter cannot have this value.
        """

    def position(self, value: Any) -> int:
        """The index of a value in `axis`.

        Raises:
            ValueError: it is not one of them.
        """
        return _index(self.axis or (), value)


class _Range(Variable):
    """A range of numbers."""

    def __init__(self, name: str, parameter: Range) -> None:
        super().__init__(name)
        self._parameter = parameter
        low, high, step = parameter.min, parameter.max, parameter.step
        if parameter.is_int:
            self.axis = range(int(low), int(high) + 1, int(step or 1))
        elif step is None:
            self.axis = [float(low)] if low == high else None
        else:
            width = Fraction(str(high)) - Fraction(str(low))
            self.axis = LazySequence(int(width // Fraction(str(step))) + 1, self._nth)
        # Optuna would cut a range to whole steps too, but with a warning in every trial.
        last = high if self.axis is None else self.axis[-1]
        self._sampled_low, self._sampled_step = float(low), step
        if self.axis is not None and step is not None and not parameter.is_int:
            self._sampled_low, last, self._sampled_step = _exact_steps(low, step, len(self.axis) - 1)
        self.distribution = (
            IntDistribution(int(low), int(last), log=parameter.log, step=int(step or 1))
            if parameter.is_int
            else FloatDistribution(self._sampled_low, float(last), log=parameter.log, step=self._sampled_step)
        )

    def decode(self, sampled: Any) -> Any:
        if self._sampled_step is None or self._parameter.is_int:
            return sampled
        # Optuna multiplies floats: 3 steps of 0.1 are 0.30000000000000004, which no condition equals.
        return self._nth(round((sampled - self._sampled_low) / self._sampled_step))

    def encode(self, value: Any) -> Any:
        parameter = self._parameter
        if not parameter.allows(value):
            raise ValueError
        if self._sampled_step is None or parameter.step is None or parameter.is_int:
            return int(value) if parameter.is_int else float(value)
        index = round((value - parameter.min) / parameter.step)
        return _after_steps(self._sampled_low, self._sampled_step, index)

    def position(self, value: Any) -> int:
        return _position(self.axis or (), self._parameter.min, self._parameter.step or 1, value)

    def _nth(self, index: int) -> float:
        return _after_steps(self._parameter.min, self._parameter.step, index)


def _after_steps(low: Any, step: Any, index: int) -> float:
    """The value `index` steps above `low`, in decimals: 3 steps of 0.1 are 0.3."""
    return float(Decimal(str(low)) + index * Decimal(str(step)))


def _exact_steps(low: float, step: float, count: int) -> tuple[float, float, float]:
    """The lowest value, the highest one and the step of a range as Optuna samples it.

    Optuna divides a range by its step in decimals. Where the highest value has more digits than a float, the
    division leaves a rest, and Optuna warns in every trial or never samples that value. Such a range is
    sampled with bounds and a step of 15 digits.
    """
    high = _after_steps(low, step, count)
    exact_low, exact_step = Decimal(str(low)), Decimal(str(step))
    if Decimal(str(high)) != exact_low + count * exact_step:
        digit = Decimal(1).scaleb(max(exact_low.adjusted(), Decimal(str(high)).adjusted()) - 14)
        low, step = float(exact_low.quantize(digit)), float(exact_step.quantize(digit))
    return low, _after_steps(low, step, count), step


class _Choice(Variable):
    """A choice among values.

    Optuna samples JSON strings if some values are lists or mappings, or if Optuna would not distinguish them:
    true and 1.
    """

    def __init__(self, name: str, values: Sequence[Any]) -> None:
        super().__init__(name)
        self._values = self.axis = values
        plain = [value for value in values if isinstance(value, Scalar)]
        self.is_plain = len(set(plain)) == len(values)
        self._codes = list(values) if self.is_plain else [json.dumps(value) for value in values]
        self.distribution = CategoricalDistribution(self._codes)

    def decode(self, sampled: Any) -> Any:
        return self._values[_index(self._codes, sampled)]

    def encode(self, value: Any) -> Any:
        return self._codes[_index(self._values, value)]


class _Transformed(Variable):
    """A parameter that is sampled as a number from 0 to 1."""

    is_plain = False
    distribution = _UNIT_INTERVAL

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.key = f"{name}:u"


class _WeightedChoice(_Transformed):
    """A choice with probabilities: each value has its share of the unit interval."""

    def __init__(self, name: str, values: Sequence[Any], weights: Sequence[float]) -> None:
        super().__init__(name)
        self._values = self.axis = values
        total = sum(weights)
        self._ends = [end / total for end in accumulate(weights)]

    def decode(self, sampled: Any) -> Any:
        return self._values[min(bisect_right(self._ends, sampled), len(self._values) - 1)]

    def encode(self, value: Any) -> Any:
        index = _index(self._values, value)
        return ((self._ends[index - 1] if index else 0.0) + self._ends[index]) / 2


class _RangeOrValues(_Transformed):
    """A range with alternatives: each of them has as large a share of the unit interval as the range."""

    def __init__(self, name: str, parameter: Range) -> None:
        from sweep.space.quantiles import range_quantile

        super().__init__(name)
        self._parameter = parameter
        self._values = parameter.alternatives or []
        self._range = _Range(name, parameter)
        self._quantile = range_quantile(parameter, self._range.axis)
        self._share = 1 / (len(self._values) + 1)
        self.axis = None
        if (numbers := self._range.axis) is not None:
            self.axis = _chain(self._values, numbers)

    def decode(self, sampled: Any) -> Any:
        index = int(sampled / self._share)
        if index < len(self._values):
            return self._values[index]
        rest = min(max(sampled / self._share - len(self._values), 0.0), 1.0)
        number = self._quantile.value(rest)
        if self._range.axis is not None:
            return number
        return min(max(_rounded(number), float(self._parameter.min)), float(self._parameter.max))

    def encode(self, value: Any) -> Any:
        try:
            return (_index(self._values, value) + 0.5) * self._share
        except ValueError:
            share = self._quantile.share(self._range.encode(value))
            return (len(self._values) + share) * self._share

    def position(self, value: Any) -> int:
        try:
            return _index(self._values, value)
        except ValueError:
            return len(self._values) + self._range.position(value)


class _Named(_Transformed):
    """A named distribution: the sampled number is the cumulative probability of the value."""

    def __init__(self, name: str, parameter: Distribution) -> None:
        from sweep.space.quantiles import quantile

        super().__init__(name)
        self._parameter = parameter
        self._quantile = quantile(parameter)
        self.axis = self._grid() if parameter.distribution == "q_uniform" else None

    def decode(self, sampled: Any) -> Any:
        number = self._quantile.value(sampled)
        if not self._parameter.distribution.startswith("q_"):
            return _rounded(number)
        rounded = round(number / self._parameter.q) * self._parameter.q
        return int(rounded) if self._parameter.is_int else _rounded(rounded)

    def encode(self, value: Any) -> Any:
        if not self._parameter.allows(value):
            raise ValueError
        sampled = min(max(self._quantile.share(float(value)), 0.0), 1.0)
        # The last digits of a large value are lost, whatever the scale.
        if abs(self.decode(sampled) - value) > 1e-6 * self._scale(value) + 1e-8 * abs(value):
            raise ValueError
        return sampled

    def position(self, value: Any) -> int:
        return _position(self.axis or (), self._parameter.min, self._parameter.q, value)

    def _scale(self, value: Any) -> float:
        """How far apart values are that differ: a small value of a log-normal distribution is not 0."""
        if self._parameter.distribution.startswith("q_"):
            return self._parameter.q
        return self._parameter.sigma if self._parameter.distribution == "normal" else abs(value)

    def _grid(self) -> Sequence[Any] | None:
        """As in W&B's sweeps: q_uniform has the values from min in steps of q, below max."""
        low, high, step = (
            Fraction(str(number)) for number in (self._parameter.min, self._parameter.max, self._parameter.q)
        )
        count = max(1, -((low - high) // step))
        if count > 2**53:
            return None
        kind = int if isinstance(self._parameter.min, int) and self._parameter.is_int else float
        return LazySequence(int(count), lambda index: kind(low + index * step))


def variable(name: str, parameter: Leaf, for_grid: bool = False) -> Variable | None:
    """Create the variable that Optuna samples for a parameter; None for a constant.

    Args:
        name: the parameter's name.
        parameter: its entry in the sweep file.
        for_grid: whether its values are tried one after the other. Then transformed parameters become plain
            choices: the grid values of a named distribution need not be possible samples of it.
    """
    if isinstance(parameter, Constant):
        return None
    if isinstance(parameter, Choice):
        if parameter.probabilities is None:
            return _Choice(name, parameter.values)
        return _WeightedChoice(name, parameter.values, [float(weight) for weight in parameter.probabilities])
    if isinstance(parameter, Range):
        if parameter.alternatives is None:
            return _Range(name, parameter)
        sampled_variable: Variable = _RangeOrValues(name, parameter)
    else:
        sampled_variable = _Named(name, parameter)
    axis = sampled_variable.axis if for_grid else None
    if axis is None:
        return sampled_variable
    if len(axis) > _MAX_CHOICES:
        raise EntryError(
            f"parameters.{name}",
            f"has {len(axis)} values, but a grid supports up to {_MAX_CHOICES} for such a parameter; "
            "give it fewer, or write another sampler",
        )
    return _Choice(name, list(axis))


def _chain(first: Sequence[Any], second: Sequence[Any]) -> LazySequence:
    count = len(first)
    return LazySequence(count + len(second), lambda n: first[n] if n < count else second[n - count])


def _index(values: Sequence[Any], value: Any) -> int:
    """The index of a value, where true and 1 are different; raises ValueError if it is missing."""
    for index, candidate in enumerate(values):
        if same_value(candidate, value):
            return index
    raise ValueError


def _position(axis: Sequence[Any], low: Any, step: Any, value: Any) -> int:
    """The index of a value among billions in equal steps; raises ValueError if it is missing."""
    if isinstance(value, (int, float)):
        # Compared as decimals, which are exact.
        index = round((Fraction(str(value)) - Fraction(str(low))) / Fraction(str(step)))
        if 0 <= index < len(axis) and same_value(axis[index], value):
            return index
    raise ValueError


def _rounded(number: float) -> float:
    """Round off the last digits, which differ after a value has been encoded and decoded."""
    return float(f"{number:.12g}")
