"""What Optuna samples for a parameter, and how that is translated into the parameter's value and back.

Optuna knows ranges and plain choices. Anything else is sampled as a number from 0 to 1, a latent one, so that
every sampler serves it; or, a choice among lists or mappings, by words that stand for them.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
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

_LATENT = FloatDistribution(0.0, 1.0)


class Listing(Sequence[Any]):
    """Values that are computed when asked for: there may be billions of them.

    Args:
        size: how many there are.
        nth: gives each, by its number from 0.
    """

    def __init__(self, size: int, nth: Callable[[int], Any]) -> None:
        self._size = size
        self._nth = nth

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: Any) -> Any:
        return self._nth(range(self._size)[index])


_MOST_LISTED = 100_000
"""So many values can be a choice in Optuna, which writes all of them down for each trial."""


class Variable(ABC):
    """A parameter that is no constant, as Optuna sees it.

    Args:
        name: the parameter's.

    Attributes:
        key: Optuna's name for it. A number that is not the parameter's value does not bear its name.
        is_plain: whether Optuna's value is the parameter's.
    """

    is_plain: bool = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.key = name

    @property
    @abstractmethod
    def distribution(self) -> BaseDistribution:
        """What Optuna samples."""

    def decode(self, sampled: Any) -> Any:
        """The parameter's value for what Optuna sampled."""
        return sampled

    def encode(self, value: Any) -> Any:
        """What Optuna would have sampled for a value.

        Raises:
            ValueError: the parameter never has it.
        """
        return value

    @property
    @abstractmethod
    def axis(self) -> Sequence[Any] | None:
        """All values in order, None if there is no end of them."""


class _Range(Variable):
    """A range of numbers."""

    def __init__(self, name: str, parameter: Range) -> None:
        super().__init__(name)
        self._parameter = parameter

    @cached_property
    def distribution(self) -> BaseDistribution:
        parameter, size = self._parameter, size_of(self._parameter)
        # Optuna would cut a range to whole steps too, but with a warning at every trial.
        last = parameter.max if size is None else nth(parameter, size - 1)
        if parameter.is_int:
            step = int(parameter.step or 1)
            return IntDistribution(int(parameter.min), int(last), log=parameter.log, step=step)
        return FloatDistribution(float(parameter.min), float(last), log=parameter.log, step=parameter.step)

    def decode(self, sampled: Any) -> Any:
        if self._parameter.step is None or self._parameter.is_int:
            return sampled
        # Optuna multiplies in floats: 3 steps of 0.1 are 0.30000000000000004, on which no condition holds.
        return nth(self._parameter, round((sampled - self._parameter.min) / self._parameter.step))

    def encode(self, value: Any) -> Any:
        if not self._parameter.allows(value):
            raise ValueError
        if self._parameter.step is not None:
            steps = (value - self._parameter.min) / self._parameter.step
            if abs(steps - round(steps)) > 1e-6 or round(steps) >= (size_of(self._parameter) or 0):
                raise ValueError
            return nth(self._parameter, round(steps))
        return int(value) if self._parameter.is_int else float(value)

    @property
    def axis(self) -> Sequence[Any] | None:
        return range_axis(self._parameter)


class _Choice(Variable):
    """A choice among values. JSON words stand for them if there are lists or mappings, or values that Optuna
    would not tell apart: true beside 1."""

    def __init__(self, name: str, values: Sequence[Any]) -> None:
        super().__init__(name)
        self._values = values
        plain = [value for value in values if isinstance(value, Scalar)]
        self.is_plain = len(set(plain)) == len(values)
        self._codes = list(values) if self.is_plain else [json.dumps(value) for value in values]

    @cached_property
    def distribution(self) -> BaseDistribution:
        return CategoricalDistribution(self._codes)

    def decode(self, sampled: Any) -> Any:
        index = next(index for index, code in enumerate(self._codes) if same_value(code, sampled))
        return self._values[index]

    def encode(self, value: Any) -> Any:
        for own, code in zip(self._values, self._codes, strict=True):
            if same_value(own, value):
                return code
        raise ValueError

    @property
    def axis(self) -> Sequence[Any]:
        return self._values


class _Latent(Variable):
    """Sampled as a number from 0 to 1."""

    is_plain = False
    distribution = _LATENT

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.key = f"{name}:u"


class _WeightedChoice(_Latent):
    """A choice whose values are not equally likely: each has its share of the latent number."""

    def __init__(self, name: str, values: Sequence[Any], weights: Sequence[float]) -> None:
        super().__init__(name)
        self._values = values
        total = sum(weights)
        self._ends = [end / total for end in accumulate(weights)]

    def decode(self, sampled: Any) -> Any:
        return self._values[min(bisect_right(self._ends, sampled), len(self._values) - 1)]

    def encode(self, value: Any) -> Any:
        for index, own in enumerate(self._values):
            if same_value(own, value):
                return ((self._ends[index - 1] if index else 0.0) + self._ends[index]) / 2
        raise ValueError

    @property
    def axis(self) -> Sequence[Any]:
        return self._values


class _Alternatives(_Latent):
    """Single values beside a range: each has as large a share of the latent number as the range has."""

    def __init__(self, name: str, parameter: Range) -> None:
        from sweep.space.quantiles import range_quantile

        super().__init__(name)
        self._parameter = parameter
        self._values = parameter.alternatives or []
        self._quantile = range_quantile(parameter, size_of(parameter), lambda index: nth(parameter, index))
        self._share = 1 / (len(self._values) + 1)

    def decode(self, sampled: Any) -> Any:
        index = int(sampled / self._share)
        if index < len(self._values):
            return self._values[index]
        rest = min(max(sampled / self._share - len(self._values), 0.0), 1.0)
        number = self._quantile.value(rest)
        if self._parameter.is_int:
            return int(number)
        return min(max(_tidy(number), float(self._parameter.min)), float(self._parameter.max))

    def encode(self, value: Any) -> Any:
        for index, own in enumerate(self._values):
            if same_value(own, value):
                return (index + 0.5) * self._share
        plain = _Range(self.name, self._parameter).encode(value)
        return (len(self._values) + self._quantile.share(plain)) * self._share

    @property
    def axis(self) -> Sequence[Any] | None:
        numbers = range_axis(self._parameter)
        if numbers is None:
            return None
        first = len(self._values)
        return Listing(first + len(numbers), lambda n: self._values[n] if n < first else numbers[n - first])


class _Named(_Latent):
    """A distribution with a name: the latent number is the share of it that lies below."""

    def __init__(self, name: str, parameter: Distribution) -> None:
        from sweep.space.quantiles import quantile

        super().__init__(name)
        self._parameter = parameter
        self._quantile = quantile(parameter)

    def decode(self, sampled: Any) -> Any:
        number = self._quantile.value(sampled)
        if not self._parameter.distribution.startswith("q_"):
            return _tidy(number)
        rounded = round(number / self._parameter.q) * self._parameter.q
        return int(rounded) if self._parameter.is_int else _tidy(rounded)

    def encode(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError
        sampled = min(max(self._quantile.share(float(value)), 0.0), 1.0)
        if abs(self.decode(sampled) - value) > 1e-6 * max(1.0, abs(value)):
            raise ValueError
        return sampled

    @property
    def axis(self) -> Sequence[Any] | None:
        """As W&B's sweeps have it: q_uniform goes from min by steps of q, below max."""
        if self._parameter.distribution != "q_uniform":
            return None
        low, high, step = (
            Fraction(str(number)) for number in (self._parameter.min, self._parameter.max, self._parameter.q)
        )
        count = max(1, -((low - high) // step))
        if count > 2**53:
            return None
        kind = int if isinstance(self._parameter.min, int) and self._parameter.is_int else float
        return Listing(int(count), lambda index: kind(low + index * step))


def _tidy(number: float) -> float:
    """Without the last digits, in which a value that was given differs after its way there and back."""
    return float(f"{number:.12g}")


def variable(name: str, parameter: Leaf, for_grid: bool = False) -> Variable | None:
    """What Optuna samples for a parameter; None for a constant.

    Args:
        name: the parameter's.
        parameter: what it is.
        for_grid: whether its values are to be tried one after the other; those of named distributions need
            not be values that these have, and no value is more likely than others.
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
        found: Variable = _Alternatives(name, parameter)
    else:
        found = _Named(name, parameter)
    axis = found.axis if for_grid else None
    if axis is None:
        return found
    if len(axis) > _MOST_LISTED:
        raise EntryError(
            f"parameters.{name}",
            f"has {len(axis)} values, and a grid takes up to {_MOST_LISTED} of such a parameter; "
            "give it fewer, or write another sampler",
        )
    return _Choice(name, list(axis))


def size_of(parameter: Range) -> int | None:
    """How many values a range has, None without an end."""
    if parameter.step is None and not parameter.is_int:
        return 1 if parameter.min == parameter.max else None
    width = Fraction(str(parameter.max)) - Fraction(str(parameter.min))
    return int(width // Fraction(str(parameter.step or 1))) + 1


def nth(parameter: Range, index: int) -> int | float:
    """The value `index` steps above min. In decimals, as Optuna does it: 3 steps of 0.1 are 0.3."""
    value = Decimal(str(parameter.min)) + index * Decimal(str(parameter.step or 1))
    return int(value) if parameter.is_int else float(value)


def range_axis(parameter: Range) -> Sequence[Any] | None:
    """All values of a range, None without an end of them."""
    size = size_of(parameter)
    if size is None:
        return None
    if parameter.is_int and (parameter.step or 1) == 1:
        return range(int(parameter.min), int(parameter.max) + 1)
    return Listing(size, lambda index: nth(parameter, index))
