"""Parameters of a search space: a constant, a choice among values, a range of numbers, another distribution,
or a group of parameters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Discriminator,
    Field,
    PlainSerializer,
    Tag,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_validator,
)

from sweep.errors import suggestion
from sweep.sweepfile.base import Model, file_keys
from sweep.sweepfile.foreign_keys import unknown_of_parameter
from sweep.sweepfile.types import Flag, Number, PositiveNumber, Scalar, invalid, is_sound, same, show


def _conditions(raw: Any) -> Any:
    if not isinstance(raw, Mapping) or not raw:
        raise invalid(
            f"expected conditions such as {{optimizer: sgd}} or {{optimizer: [sgd, adam]}}, got {show(raw)}"
        )
    conditions: dict[str, tuple[Any, ...]] = {}
    for name, wanted in raw.items():
        if not isinstance(name, str):
            raise invalid(f"{show(name)} is no parameter's name", key=name)
        values = tuple(wanted) if isinstance(wanted, (list, tuple)) else (wanted,)
        if not values:
            raise invalid("is empty; name at least one value", key=name)
        for value in values:
            if not isinstance(value, Scalar):
                raise invalid(f"{show(value)} is no scalar; name values of {name}", key=name)
        conditions[name] = values
    return conditions


def _dump_conditions(conditions: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    return {name: values[0] if len(values) == 1 else list(values) for name, values in conditions.items()}


Conditions = Annotated[
    dict[str, tuple[Any, ...]],
    BeforeValidator(_conditions),
    PlainSerializer(_dump_conditions),
    Field(
        description="Other parameters and the value, or values, that each must have for this one to be there"
    ),
]


class Conditional(Model):
    """What can depend on other parameters: it is there only if each of those has one of the values named."""

    when: Conditions | None = None

    @classmethod
    def _unknown(cls, key: Any, raw: dict[Any, Any]) -> str:
        return unknown_of_parameter(key, raw, file_keys(cls))


class Constant(Conditional):
    """A parameter that every trial gets with the same value. A bare scalar in the file is one."""

    value: Any

    @model_validator(mode="after")
    def _check(self) -> Constant:
        _check_plain(self.value, "value")
        return self


def _check_plain(value: Any, key: str) -> None:
    """See that a value is the same after a journey through YAML or JSON."""
    if isinstance(value, list):
        for item in value:
            _check_plain(item, key)
    elif isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                raise invalid(f"key {show(name)} has to be a word; put it in quotes", key=key)
            _check_plain(item, key)
    elif not isinstance(value, Scalar):
        raise invalid(f"{show(value)} is neither a number, a word, a list nor a mapping", key=key)
    elif not is_sound(value):
        raise invalid(f"{show(value)} cannot be used; give a finite number or a word", key=key)


class Searched(Conditional):
    """What a sampler chooses. `default` is the value it has in a configuration enqueued as `defaults`."""

    default: Any = None

    @property
    def has_default(self) -> bool:
        """Whether the file names one; null can be a choice."""
        # A model that was dumped whole names it too: null is one only where it can be.
        return "default" in self.model_fields_set and (
            self.default is not None or can_be(self, None)  # type: ignore[arg-type]
        )

    def _check_default(self) -> None:
        assert isinstance(self, Range | Choice | Distribution)
        if self.has_default and not can_be(self, self.default):
            raise invalid(f"{show(self.default)} cannot be; {reach(self)}", key="default")


class Choice(Searched):
    """A parameter that takes one of `values`, which have no order between them.

    `probabilities`, one for each value, make some more likely than others; they are shares of their sum.
    """

    values: list[Any]
    probabilities: list[PositiveNumber] | None = None

    @model_validator(mode="after")
    def _check(self) -> Choice:
        if not self.values:
            raise invalid("is empty; give at least one value", key="values")
        for index, value in enumerate(self.values):
            _check_plain(value, "values")
            # 1, 1.0 and true are equal in Python: Optuna could not tell them apart.
            if value in self.values[:index]:
                raise invalid(f"{show(value)} is there twice; write each value once", key="values")
        if self.probabilities is not None and len(self.probabilities) != len(self.values):
            raise invalid(
                f"has {len(self.probabilities)} numbers for {len(self.values)} values; give one for each",
                key="probabilities",
            )
        self._check_default()
        return self


_LARGEST_INT = 2**53
"""Samplers compute with floats, which tell whole numbers apart up to here."""
_MOST_STEPS = 10**7
"""So many steps of a float may lie between 0 and a bound: Optuna takes a value for one of a range if it is a
whole number of steps to 1e-8, and with more steps the rounding of floats alone is as large as that."""


class Range(Searched):
    """Numbers from `min` to `max`, both included: whole ones if both bounds are whole.

    `log` samples the logarithm uniformly; `step` keeps to `min`, `min + step`, and so on. Each value in `or`
    is as likely as the whole range is: `{min: 1e-5, max: 0.1, log: true, or: [0]}` is 0 half of the time.
    """

    min: Number
    max: Number
    log: Flag = False
    step: Number | None = None
    alternatives: Annotated[
        list[Any] | None, Field(validation_alias=AliasChoices("or"), serialization_alias="or")
    ] = None

    @property
    def is_int(self) -> bool:
        return isinstance(self.min, int) and isinstance(self.max, int)

    @model_validator(mode="after")
    def _check(self) -> Range:
        if self.min > self.max:
            raise invalid(f"max {self.max} is below min {self.min}; swap them", key="max")
        if self.is_int and max(abs(self.min), abs(self.max)) > _LARGEST_INT:
            raise invalid("whole numbers reach to 2**53 (about 9e15) here; use floats", key="max")
        if self.log and self.min <= 0:
            raise invalid(
                f"log needs a min above 0, got {self.min}; "
                + ("use min: 1" if self.is_int else "use a small one such as 1e-6")
                + (", with or: [0] beside it" if self.min == 0 else ", or leave log out"),
                key="min",
            )
        if self.step is not None:
            self._check_step(self.step)
        if self.alternatives is not None:
            self._check_alternatives(self.alternatives)
        self._check_default()
        return self

    def _check_step(self, step: int | float) -> None:
        if self.log:
            raise invalid("step and log exclude each other; leave one out", key="step")
        if step <= 0:
            raise invalid(f"must be greater than 0, got {step}", key="step")
        if self.is_int and not isinstance(step, int):
            raise invalid(
                f"{step} is not whole but min and max are; write min: {float(self.min)}, or a whole step",
                key="step",
            )
        # In decimals: from 0.2 to 0.3 it is a little less than 0.1 in floats.
        if Decimal(str(step)) > Decimal(str(self.max)) - Decimal(str(self.min)):
            raise invalid(
                f"{step} is larger than the whole range ({self.min} to {self.max}); make it smaller",
                key="step",
            )
        largest = max(abs(self.min), abs(self.max))
        if not self.is_int and largest / step > _MOST_STEPS:
            raise invalid(
                f"{step} is too fine for floats as large as {largest}; write at least "
                f"{10.0 ** math.ceil(math.log10(largest / _MOST_STEPS)):g}, or leave it out",
                key="step",
            )

    def _check_alternatives(self, values: list[Any]) -> None:
        if not values:
            raise invalid("is empty; give values beside the range, for example or: [0]", key="or")
        for index, value in enumerate(values):
            if not isinstance(value, Scalar) or not is_sound(value):
                raise invalid(f"{show(value)} cannot be used; give finite numbers or words", key="or")
            if any(value == other for other in values[:index]):
                raise invalid(f"{show(value)} is there twice; write each value once", key="or")
            if not isinstance(value, (bool, str)) and value is not None and self.min <= value <= self.max:
                raise invalid(f"{show(value)} is in the range already; leave it out", key="or")


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
"""Distributions that have a name, and their keys beside it. They are those of W&B's sweeps, names and all."""

_SHORT = {
    "uniform": "{min: 0.0, max: 1.0}, with a point in the numbers",
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
"""W&B's other names, and what is written for them here."""


_LEAST_SHAPE = 1e-3
"""Beyond it, and its inverse, floats cannot tell a beta distribution from a few single points."""
_LEAST_Q = 1e-100
"""What is divided by less leaves the range of floats."""


def _check_name(value: Any, key: str | None = None) -> None:
    if isinstance(value, str) and value in _SHORT:
        raise invalid(f"instead of {value!r} write {_SHORT[value]}", key=key)
    if not isinstance(value, str) or value not in DISTRIBUTIONS:
        near = suggestion(value, [*DISTRIBUTIONS, *_SHORT])
        raise invalid(f"{show(value)} is no distribution; {near}", key=key)


def _distribution(value: Any) -> Any:
    _check_name(value)
    return value


class Distribution(Searched):
    """Numbers from a distribution with a name.

    `normal`, and `log_normal`, whose logarithm is normal, take `mu` (0) and `sigma` (1); `beta` takes `a` and
    `b`. Those that begin with `q_` are rounded to a multiple of `q` (1), half to even, which may lie outside
    the bounds; they are whole numbers if `q` is.
    """

    distribution: Annotated[
        Literal[
            "normal",
            "log_normal",
            "beta",
            "q_uniform",
            "q_log_uniform_values",
            "q_normal",
            "q_log_normal",
            "q_beta",
        ],
        BeforeValidator(_distribution),
    ]
    min: Number | None = None
    max: Number | None = None
    mu: Number = 0
    sigma: PositiveNumber = 1
    a: PositiveNumber | None = None
    b: PositiveNumber | None = None
    q: PositiveNumber = 1

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
            raise invalid("its values would leave the range of floats; mu and sigma are those of the log")
        for key in ("a", "b"):
            value = getattr(self, key)
            if key in keys and not _LEAST_SHAPE <= value <= 1 / _LEAST_SHAPE:
                raise invalid(
                    f"must be at least {_LEAST_SHAPE:g} and at most {1 / _LEAST_SHAPE:g}, got {show(value)}",
                    key=key,
                )
        if "q" in keys and self.q < _LEAST_Q:
            raise invalid(f"is too small, got {self.q}; write at least {_LEAST_Q:g}", key="q")
        self._check_default()
        return self


def _parameters(raw: Any) -> Any:
    if isinstance(raw, dict):
        if not raw:
            raise invalid("is empty; give at least one, for example lr: {min: 1e-4, max: 1e-1, log: true}")
        for name in raw:
            if not isinstance(name, str) or not name or name != name.strip():
                raise invalid(f"{show(name)} cannot name a parameter; put a word in quotes", key=name)
            if name.endswith(":u"):  # the study has such names for what stands for a parameter
                raise invalid(
                    f"{show(name)} cannot name a parameter, for it ends with ':u'; rename it", key=name
                )
    return raw


class Group(Conditional):
    """Parameters under a common name: `sgd` with `parameters: {momentum: ...}` has `sgd.momentum`. Its `when`
    counts for all of them."""

    parameters: Annotated[dict[str, Parameter], BeforeValidator(_parameters)]


_FORMS: dict[str, type[Model]] = {
    "group": Group,
    "distribution": Distribution,
    "choice": Choice,
    "constant": Constant,
    "range": Range,
}
_MARKS = {
    "parameters": "group",
    "distribution": "distribution",
    "values": "choice",
    "value": "constant",
    "min": "range",
    "max": "range",
    "log": "range",
    "step": "range",
    "or": "range",
    "probabilities": "choice",
}
"""What form a parameter has: that of the first of these keys which it has."""
_KEYS = list(dict.fromkeys(key for model in _FORMS.values() for key in file_keys(model)))


def _form(raw: Any) -> str | None:
    """Which form a raw parameter has, by its keys; a model built in Python by its class."""
    if isinstance(raw, Model):
        return next(form for form, model in _FORMS.items() if isinstance(raw, model))
    return next((form for key, form in _MARKS.items() if key in raw), None)


def _normalise(raw: Any) -> Any:
    if isinstance(raw, Model):
        return raw
    if isinstance(raw, Scalar):
        return {"value": raw}
    if isinstance(raw, list):
        raise invalid(
            f"is a list; write {{values: {show(raw)}}} to search it, or {{value: {show(raw)}}} to pass it on"
        )
    if not isinstance(raw, dict):
        raise invalid(f"expected a parameter such as {{min: 0.0, max: 1.0}}, got {show(raw)}")
    form = _form(raw)
    if form is None:
        if not raw:
            raise invalid("is empty; give {min, max}, {values: [...]} or a value")
        key = next((key for key in raw if key not in _KEYS), None)
        if key is not None:
            raise invalid(unknown_of_parameter(key, raw, _KEYS), key=key)
        if "mu" in raw or "sigma" in raw:
            raise invalid(
                "has no distribution; write distribution: normal, or log_normal, beside mu and sigma"
            )
        raise invalid("says nothing of its values; give {min, max}, {values: [...]} or a value")
    if form == "distribution":
        _check_name(
            raw["distribution"], "distribution"
        )  # a name of W&B's comes with keys that do not go with others
    keys = file_keys(_FORMS[form])
    for key in raw:
        if key in _KEYS and key not in keys:
            raise invalid(f"{key!r} does not go with {_form_key(form)}; leave one out", key=key)
    return raw


def _form_key(form: str) -> str:
    """How a message names a form: by the key that makes it."""
    names = {"range": "'min' and 'max'", "choice": "'values'", "constant": "'value'", "group": "'parameters'"}
    return names.get(form, f"{form!r}")


def _tag(raw: Any) -> str:
    """A form in pydantic's paths, where it must not look like a key."""
    return f"<{_form(raw)}>"


Leaf = Range | Choice | Constant | Distribution
"""A parameter that is no group."""

Parameter = Annotated[
    Annotated[Range, Tag("<range>")]
    | Annotated[Choice, Tag("<choice>")]
    | Annotated[Constant, Tag("<constant>")]
    | Annotated[Distribution, Tag("<distribution>")]
    | Annotated[Group, Tag("<group>")],
    Discriminator(_tag),
    BeforeValidator(_normalise),
]


def can_be(parameter: Leaf, value: Any) -> bool:
    """Whether a parameter can have a value, as far as its sweep file tells."""
    if isinstance(parameter, Constant):
        return same(parameter.value, value)
    if isinstance(parameter, Choice):
        return any(same(value, own) for own in parameter.values)
    if isinstance(parameter, Range) and any(same(value, own) for own in parameter.alternatives or ()):
        return True
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    if isinstance(parameter, Range):
        if not parameter.min <= value <= parameter.max or (parameter.is_int and value != int(value)):
            return False
        steps = (value - parameter.min) / (parameter.step or 1)
        return parameter.step is None or abs(steps - round(steps)) < 1e-6
    return is_sound(value)


def reach(parameter: Leaf) -> str:
    """What values a parameter can have, in words."""
    if isinstance(parameter, Constant):
        return f"it is always {show(parameter.value)}"
    if isinstance(parameter, Choice):
        return f"it is one of {', '.join(map(show, parameter.values))}"
    if isinstance(parameter, Range):
        step = f" in steps of {parameter.step}" if parameter.step is not None else ""
        others = "".join(f", or {show(value)}" for value in parameter.alternatives or ())
        kind = "a whole number" if parameter.is_int else "a number"
        return f"it is {kind} from {parameter.min} to {parameter.max}{step}{others}"
    return f"it is a number from its distribution, {parameter.distribution}"


def check_tree(parameters: Mapping[str, Parameter]) -> Mapping[str, Parameter]:
    """See that names are there once and that conditions make sense (`sweep.sweepfile.tree`)."""
    from sweep.sweepfile.tree import flatten, in_order

    in_order(flatten(parameters))
    return parameters


DEFINE_BY_RUN = "define-by-run"


class DefineByRun(dict[str, Parameter]):
    """No parameter is declared: the objective asks for its parameters while it runs, as Optuna's do."""


def _or_define_by_run(value: Any, declared: ValidatorFunctionWrapHandler) -> Any:
    if value == DEFINE_BY_RUN or isinstance(value, DefineByRun):
        return DefineByRun()
    if isinstance(value, str):
        raise invalid(f"expected parameters by name, or {suggestion(value, [DEFINE_BY_RUN])}")
    return declared(value)


Parameters = Annotated[
    dict[str, Parameter],
    BeforeValidator(_parameters),
    AfterValidator(check_tree),
    WrapValidator(_or_define_by_run),
]

Group.model_rebuild()


def dump_parameters(parameters: Iterable[tuple[str, Parameter]]) -> dict[str, Any]:
    """Parameters as a sweep file writes them."""
    return {name: parameter.model_dump(exclude_unset=True) for name, parameter in parameters}
