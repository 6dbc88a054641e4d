"""The sweep file's `pruner`: Optuna's pruners and their options, with or without Optuna's prefix `n_`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, WithJsonSchema, model_validator

from sweep.sweepfile.base import Model, optuna_alias, require_one_of
from sweep.sweepfile.custom_class import (
    BUILT_IN,
    CUSTOM,
    CustomClass,
    as_typed_mapping,
    check_class_name,
    custom_or_built_in,
    models_by_type,
    or_type_name,
)
from sweep.sweepfile.types import (
    Flag,
    NonEmptyStr,
    NonNegativeInteger,
    NonNegativeNumber,
    Number,
    PositiveInteger,
    Probability,
    as_integer,
    invalid,
)


class NoPruner(Model):
    type: Literal["none"]


class _Pruner(Model):
    """What the pruner sees: reports of `metric`, by default the first, at their steps or counted from 0."""

    metric: NonEmptyStr | None = None
    steps: Literal["counted"] | None = None


_StartupTrials = Annotated[NonNegativeInteger, optuna_alias("startup_trials")]
_WarmupSteps = Annotated[NonNegativeInteger, optuna_alias("warmup_steps")]
_MinTrials = Annotated[PositiveInteger, optuna_alias("min_trials")]


class MedianPruner(_Pruner):
    """Stops a trial whose best value so far is worse than the median of the others' at its step."""

    type: Literal["median"]
    startup_trials: _StartupTrials = 5
    warmup_steps: _WarmupSteps = 0
    interval_steps: PositiveInteger = 1
    min_trials: _MinTrials = 1


class PercentilePruner(_Pruner):
    """Keeps the best `percentile` percent at each step: 75 stops the worst quarter."""

    type: Literal["percentile"]
    percentile: Annotated[
        Number, Field(ge=0, le=100), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 100})
    ]
    startup_trials: _StartupTrials = 5
    warmup_steps: _WarmupSteps = 0
    interval_steps: PositiveInteger = 1
    min_trials: _MinTrials = 1


Resource = Annotated[
    Annotated[PositiveInteger, Tag("<number>")] | Annotated[Literal["auto"], Tag("<auto>")],
    Discriminator(lambda value: "<auto>" if value == "auto" else "<number>"),
]
ReductionFactor = Annotated[int, Field(ge=2), BeforeValidator(as_integer)]


class AshaPruner(_Pruner):
    """Asynchronous successive halving (Li et al., 2018): the best 1/reduction_factor of a rung continue."""

    type: Literal["asha"]
    min_resource: Resource = "auto"
    reduction_factor: ReductionFactor = 4
    min_early_stopping_rate: NonNegativeInteger = 0
    bootstrap_count: NonNegativeInteger = 0

    @model_validator(mode="after")
    def _check(self) -> AshaPruner:
        if self.bootstrap_count > 0 and self.min_resource == "auto":
            raise invalid("needs min_resource to be a number", key="bootstrap_count")
        return self


class HyperbandPruner(_Pruner):
    """Several brackets of successive halving (Li et al., 2017); `max_resource` is a trial's last step."""

    type: Literal["hyperband"]
    min_resource: PositiveInteger = 1
    max_resource: Resource = "auto"
    reduction_factor: ReductionFactor = 3
    bootstrap_count: NonNegativeInteger = 0

    @model_validator(mode="after")
    def _check(self) -> HyperbandPruner:
        if self.max_resource == "auto":
            if self.bootstrap_count > 0:
                raise invalid("needs max_resource to be a number", key="bootstrap_count")
        elif int(self.max_resource) < self.min_resource:
            raise invalid(
                f"must not be less than min_resource ({self.min_resource}), got {self.max_resource}",
                key="max_resource",
            )
        return self


class ThresholdPruner(_Pruner):
    """Stops a trial that reports a value below `lower`, above `upper`, or NaN."""

    model_config = ConfigDict(json_schema_extra=require_one_of(("lower", "upper")))

    type: Literal["threshold"]
    lower: Number | None = None
    upper: Number | None = None
    warmup_steps: _WarmupSteps = 0
    interval_steps: PositiveInteger = 1

    @model_validator(mode="after")
    def _check(self) -> ThresholdPruner:
        if self.lower is None and self.upper is None:
            raise invalid("needs lower, upper, or both")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise invalid(f"must not be greater than upper ({self.upper}), got {self.lower}", key="lower")
        return self


class WilcoxonPruner(_Pruner):
    """Stops a trial that is significantly worse than the best one, where steps are instances of a problem.

    The objective's result must be the mean over the instances.
    """

    type: Literal["wilcoxon"]
    p_threshold: Probability = 0.1
    startup_steps: Annotated[NonNegativeInteger, optuna_alias("startup_steps")] = 2


class BandsPruner(_Pruner):
    """W&B's hyperband: after certain numbers of reports (bands), the best 1/eta of all trials continue.

    Bands are min_iter, min_iter * eta, min_iter * eta^2 and so on, or the first `s` of max_iter / eta,
    max_iter / eta^2 and so on. With `strict`, a trial's value at the band counts, otherwise its best so far.
    """

    model_config = ConfigDict(json_schema_extra=require_one_of(("min_iter", "max_iter")))

    type: Literal["bands"]
    min_iter: PositiveInteger | None = None
    max_iter: PositiveInteger | None = None
    s: PositiveInteger | None = None
    eta: Annotated[Number, Field(gt=1), WithJsonSchema({"type": "number", "exclusiveMinimum": 1})] = 3
    strict: Flag = False

    @model_validator(mode="after")
    def _check(self) -> BandsPruner:
        if self.min_iter is None and self.max_iter is None:
            raise invalid("needs min_iter, or max_iter and s")
        if self.max_iter is None:
            if self.s is not None:
                raise invalid("is only used with max_iter; leave it out", key="s")
            return self
        if self.min_iter is not None:
            raise invalid("cannot be combined with max_iter; leave one out", key="min_iter")
        if self.s is None:
            raise invalid("is missing; write the number of bands below max_iter", key="s")
        if self.max_iter < self.eta:
            raise invalid(f"must be at least eta ({self.eta}), got {self.max_iter}", key="max_iter")
        return self


class CustomPruner(CustomClass):
    """A custom pruner: `package.module:Class`."""

    metric: NonEmptyStr | None = None

    @model_validator(mode="after")
    def _check(self) -> CustomPruner:
        check_class_name(self.type)
        return self


_Wrappable = (
    MedianPruner
    | PercentilePruner
    | AshaPruner
    | HyperbandPruner
    | ThresholdPruner
    | WilcoxonPruner
    | BandsPruner
)
WRAPPABLE: dict[str, type[Model]] = models_by_type(_Wrappable)
_WITHOUT_OPTIONS = ("median", "asha", "hyperband", "wilcoxon")


def _wrapped(raw: Any) -> Any:
    type_ = raw.get("type") if isinstance(raw, dict) else raw
    if type_ == "none":
        raise invalid(
            "would never stop a trial; leave wrapped out to stop every trial that runs out of patience"
        )
    if type_ == "patient":
        raise invalid(f"cannot be another patient pruner; possible: {', '.join(WRAPPABLE)}")
    for key in ("metric", "steps"):
        if isinstance(raw, dict) and raw.get(key) is not None:
            raise invalid("belongs to the outer pruner; write it next to patience", key=key)
    return raw if raw is None else as_typed_mapping(raw, WRAPPABLE)


class PatientPruner(_Pruner):
    """Stops a trial that `wrapped` would stop, if it has not improved for `patience` reports.

    Without `wrapped`, it stops every such trial. An improvement by less than `min_delta` does not count.
    """

    type: Literal["patient"]
    patience: NonNegativeInteger
    min_delta: NonNegativeNumber = 0.0
    wrapped: Annotated[
        Annotated[
            Annotated[_Wrappable, Field(discriminator="type"), Tag(BUILT_IN)]
            | Annotated[CustomPruner, Tag(CUSTOM)],
            Discriminator(custom_or_built_in),
        ]
        | None,
        BeforeValidator(_wrapped),
        or_type_name(*_WITHOUT_OPTIONS),
    ] = None


PRUNERS: dict[str, type[Model]] = {"none": NoPruner, **WRAPPABLE, "patient": PatientPruner}


def _pruner(raw: Any) -> Any:
    return as_typed_mapping(raw, PRUNERS)


Pruner = Annotated[
    Annotated[NoPruner | PatientPruner | _Wrappable, Field(discriminator="type"), Tag(BUILT_IN)]
    | Annotated[CustomPruner, Tag(CUSTOM)],
    Discriminator(custom_or_built_in),
    BeforeValidator(_pruner),
    or_type_name("none", *_WITHOUT_OPTIONS),
]
"""Which trials are stopped early."""
