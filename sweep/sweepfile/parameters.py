"""The parameters of a search space: a constant, a choice, a range, or a named distribution."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    PlainSerializer,
    StrictStr,
    WithJsonSchema,
    model_validator,
)

from sweep.errors import suggestion
from sweep.sweepfile.base import Model, file_keys
from sweep.sweepfile.foreign_keys import parameter_key_error
from sweep.sweepfile.types import (
    SCALAR_SCHEMA,
    Flag,
    Number,
    OrForms,
    PlainValue,
    PositiveNumber,
    ScalarValue,
    check_unique,
    invalid,
    is_valid_scalar,
    same_value,
    short_repr,
)


def _as_tuple(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


def _dump_conditions(conditions: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    return {name: values[0] if len(values) == 1 else list(values) for name, values in conditions.items()}


_Values = Annotated[
    tuple[ScalarValue, ...], Field(min_length=1), BeforeValidator(_as_tuple), OrForms(SCALAR_SCHEMA)
]
Conditions = Annotated[dict[StrictStr, _Values], Field(min_length=1), PlainSerializer(_dump_conditions)]


class Conditional(Model):
    """A parameter or group that can depend on other parameters.

    `when` names other parameters and the value, or values, that each must have for this one to be active.
    """

    when: Conditions | None = None

    @classmethod
    def _unknown_key(cls, key: Any, raw: dict[Any, Any]) -> str:
        return parameter_key_error(key, raw, file_keys(cls))


class Constant(Conditional):
    """A parameter with the same value in every trial. A scalar in the file is its short form."""

    value: PlainValue

    def allows(self, value: Any) -> bool:
        """Whether the parameter can have a value."""
        return same_value(self.value, value)

    @property
    def values_text(self) -> str:
        """The possible values, for a message."""
        return f"it is always {short_repr(self.value)}"


class _Sampled(Conditional):
    """A parameter that a sampler chooses. `default` is its value in the configuration `enqueue: defaults`."""

    default: Any = None

    def allows(self, value: Any) -> bool:
        """Whether the parameter can have a value."""
        raise NotImplementedError

    @property
    def values_text(self) -> str:
        """The possible values, for a message."""
        raise NotImplementedError

    @property
    def has_default(self) -> bool:
        """Whether the file names a default; it can be null if null is one of the values."""
        # A dump with all fields sets `default` too: it counts only where null is possible.
        return "default" in self.model_fields_set and (self.default is not None or self.allows(None))

    def _check_default(self) -> None:
        if self.has_default and not self.allows(self.default):
            raise invalid(
                f"{short_repr(self.default)} is not a possible value; {self.values_text}", key="default"
            )


_LEAST_SHARE = 1e-12
"""Values share the floats from 0 to 1: no sampler hits a smaller share, which can even have no width."""


class Choice(_Sampled):
    """A parameter that has one of `values`, which are not ordered.

    `probabilities`, one for each value, are weights: a value's probability is its share of their sum.
    """

    values: Annotated[list[PlainValue], Field(min_length=1)]
    probabilities: list[PositiveNumber] | None = None

    @model_validator(mode="after")
    def _check(self) -> Choice:
        # W&B's rules allow true and 1. For other sweeps, `SweepSpec` rejects them.
        check_unique(self.values, "values", distinguishes_bools=True)
        if self.probabilities is not None and len(self.probabilities) != len(self.values):
            raise invalid(
                f"has {len(self.probabilities)} numbers for {len(self.values)} values; give one for each",
                key="probabilities",
            )
        least = min(self.probabilities or [1])
        if least < _LEAST_SHARE * sum(self.probabilities or [1]):
            raise invalid(
                f"{least} is so small a share of their sum that its value is never sampled; leave both out",
                key="probabilities",
            )
        self._check_default()
        return self

    def allows(self, value: Any) -> bool:
        return any(same_value(value, other) for other in self.values)

    @property
    def values_text(self) -> str:
        return f"it is one of {', '.join(map(short_repr, self.values))}"


_LARGEST_INT = 2**53
"""Samplers compute with floats, which represent whole numbers exactly up to this one."""
_MAX_STEPS = 10**7
"""The largest number of steps between 0 and a bound of a float range. Optuna accepts a value if its number of
steps is whole to 1e-8, and with more steps the rounding error of floats is as large as that."""


class Range(_Sampled):
    """Numbers from `min` to `max`, both included: integers if both bounds are whole.

    `log` samples the logarithm uniformly; `step` allows only `min`, `min + step`, and so on. Each value in
    `or` is as likely as the whole range: `{min: 1e-5, max: 0.1, log: true, or: [0]}` is 0 half of the time.
    """

    min: Number
    max: Number
    log: Flag = False
    step: Number | None = None
    alternatives: Annotated[
        Annotated[list[ScalarValue], Field(min_length=1)] | None,
        Field(validation_alias=AliasChoices("or"), serialization_alias="or"),
    ] = None

    @property
    def is_int(self) -> bool:
        return isinstance(self.min, int) and isinstance(self.max, int)

    @model_validator(mode="after")
    def _check(self) -> Range:
        if self.min > self.max:
            raise invalid(f"max {self.max} is below min {self.min}; swap them", key="max")
        if self.is_int and max(abs(self.min), abs(self.max)) > _LARGEST_INT:
            raise invalid("whole numbers are limited to 2**53 (about 9e15); use floats", key="max")
        if self.log and self.min <= 0:
            raise invalid(
                f"log needs a min above 0, got {self.min}; "
                + ("use min: 1" if self.is_int else "use a small one such as 1e-6")
                + (", and add or: [0]" if self.min == 0 else ", or leave log out"),
                key="min",
            )
        if self.is_int and isinstance(self.step, float) and self.step.is_integer():
            self.__dict__["step"] = int(self.step)
        if self.step is not None:
            self._check_step(self.step)
        if self.alternatives is not None:
            self._check_alternatives(self.alternatives)
        self._check_default()
        return self

    def _check_step(self, step: int | float) -> None:
        if self.log:
            raise invalid("step cannot be combined with log; leave one out", key="step")
        if step <= 0:
            raise invalid(f"must be greater than 0, got {step}", key="step")
        if self.is_int and not isinstance(step, int):
            raise invalid(
                f"{step} is not whole but min and max are; write min: {float(self.min)}, or a whole step",
                key="step",
            )
        # Compared as decimals: in floats, 0.3 - 0.2 is slightly less than 0.1.
        if Decimal(str(step)) > Decimal(str(self.max)) - Decimal(str(self.min)):
            raise invalid(
                f"{step} is larger than the whole range ({self.min} to {self.max}); make it smaller",
                key="step",
            )
        largest = max(abs(self.min), abs(self.max))
        if not self.is_int and largest / step > _MAX_STEPS:
            raise invalid(
                f"{step} is too fine for floats as large as {largest}; write at least "
                f"{10.0 ** math.ceil(math.log10(largest / _MAX_STEPS)):g}, or leave it out",
                key="step",
            )

    def allows(self, value: Any) -> bool:
        return any(same_value(value, other) for other in self.alternatives or ()) or self._contains(value)

    def _contains(self, value: Any) -> bool:
        """Whether the range itself has a value."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        if not self.min <= value <= self.max:
            return False
        if self.is_int:
            return value == int(value) and (int(value) - self.min) % (self.step or 1) == 0
        steps = (value - self.min) / (self.step or 1)
        return self.step is None or abs(steps - round(steps)) < 1e-6

    @property
    def values_text(self) -> str:
        step = f" in steps of {self.step}" if self.step is not None else ""
        others = "".join(f", or {short_repr(value)}" for value in self.alternatives or ())
        kind = "a whole number" if self.is_int else "a number"
        return f"it is {kind} from {self.min} to {self.max}{step}{others}"

    def _check_alternatives(self, values: list[Any]) -> None:
        check_unique(values, "or")
        for value in values:
            if self._contains(value):
                raise invalid(f"{short_repr(value)} is already in the range; leave it out", key="or")


DISTRIBUTIONS: dict[str, tuple[str, ...]] = {
    "normal": ("mu", "sigma"),
    "log_normal": ("mu", "sigma"),
    "beta": ("a", "b"),
    "q_uniform": ("min", "max", "q"),
    "q_log_uniform_values": ("min", "max", "q"),
    "q_normal": ("mu", "sigma", "q"),
    "q_log_normal": ("mu", "sigma", "q"),
    "q_beta": ("a", "b", "q"),
}
"""The named distributions and their keys, both as in W&B's sweeps."""

_FOREIGN_DISTRIBUTIONS = {
    "uniform": "{min: 0.0, max: 1.0}, with a decimal point",
    "int_uniform": "{min: 1, max: 8}, whole numbers",
    "log_uniform_values": "{min: 1e-5, max: 0.1, log: true}",
    "inv_log_uniform_values": "{min: 1e-5, max: 0.1, log: true}, which is the same",
    "categorical": "{values: [...]}",
    "categorical_w_probabilities": "{values: [...], probabilities: [...]}",
    "constant": "{value: ...}",
    "log_uniform": "{min: 1e-5, max: 0.1, log: true}; log_uniform's own bounds are exponents of e",
    "inv_log_uniform": "{min: 1e-5, max: 0.1, log: true}; inv_log_uniform's own bounds are exponents of e",
    "q_log_uniform": "q_log_uniform_values; q_log_uniform's own bounds are exponents of e",
}
"""W&B's other distributions, and what to write instead."""


# Outside these limits, a beta distribution in floats collapses to a few points.
_Shape = Annotated[PositiveNumber, Field(ge=1e-3, le=1e3)]


def check_distribution_name(value: Any, key: str | None = None) -> Any:
    """Ensure that a distribution is known.

    Args:
        value: its name.
        key: the entry below the validated one, for the error.
    """
    if isinstance(value, str) and value in _FOREIGN_DISTRIBUTIONS:
        raise invalid(f"instead of {value!r} write {_FOREIGN_DISTRIBUTIONS[value]}", key=key)
    if not isinstance(value, str) or value not in DISTRIBUTIONS:
        near = suggestion(value, [*DISTRIBUTIONS, *_FOREIGN_DISTRIBUTIONS])
        raise invalid(f"{short_repr(value)} is not a distribution; {near}", key=key)
    return value


LEAST_Q = 1e-100
"""With a smaller `q`, the number of steps exceeds the range of floats."""


class Distribution(_Sampled):
    """Numbers from a named distribution.

    `normal`, and `log_normal`, whose logarithm is normal, take `mu` (0) and `sigma` (1); `beta` takes `a` and
    `b`. The distributions whose name begins with `q_` round to a multiple of `q` (1), half to even; the
    result can lie outside the bounds, and is an integer if `q` is.
    """

    distribution: Annotated[
        str,
        BeforeValidator(check_distribution_name),
        WithJsonSchema({"enum": list(DISTRIBUTIONS), "type": "string"}),
    ]
    min: Number | None = None
    max: Number | None = None
    mu: Number = 0
    sigma: PositiveNumber = 1
    a: _Shape | None = None
    b: _Shape | None = None
    q: Annotated[PositiveNumber, Field(ge=LEAST_Q)] = 1

    @property
    def is_int(self) -> bool:
        return self.distribution.startswith("q_") and isinstance(self.q, int)

    @model_validator(mode="after")
    def _check(self) -> Distribution:
        keys = DISTRIBUTIONS[self.distribution]
        for key in ("min", "max", "mu", "sigma", "a", "b", "q"):
            if key in self.model_fields_set and key not in keys:
                raise invalid(
                    f"{self.distribution} has no {key!r}; it takes {' and '.join(keys)}; leave it out",
                    key=key,
                )
            if key in keys and getattr(self, key) is None:
                raise invalid(f"is missing; {self.distribution} takes {' and '.join(keys)}", key=key)
        if "min" in keys and self.min is not None and self.max is not None:
            if self.min > self.max:
                raise invalid(f"max {self.max} is below min {self.min}; swap them", key="max")
            if "log" in self.distribution and self.min <= 0:
                raise invalid(
                    f"{self.distribution} needs a min above 0, got {self.min}; use a small one such as 1e-6",
                    key="min",
                )
        if "log_normal" in self.distribution and abs(self.mu) + 7 * self.sigma > math.log(1e150):
            raise invalid("its values exceed the range of floats; mu and sigma are those of the logarithm")
        self._check_default()
        return self

    def allows(self, value: Any) -> bool:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and is_valid_scalar(value)

    @property
    def values_text(self) -> str:
        return f"it is a number from its distribution, {self.distribution}"


Leaf = Constant | Choice | Range | Distribution
"""A parameter that is not a group."""
