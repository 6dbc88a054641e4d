"""Pruners a sweep file can name, with Optuna's options. Optuna's `n_` prefix may be written or left out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Discriminator, Field, Tag, model_validator

from sweep.errors import suggestion
from sweep.sweepfile.base import Model
from sweep.sweepfile.custom_class import TAG, CustomClass, check_class_name, is_custom
from sweep.sweepfile.types import (
    Flag,
    NonEmptyStr,
    NonNegativeInteger,
    NonNegativeNumber,
    Number,
    PositiveInteger,
    invalid,
    show,
)


def optuna_alias(name: str) -> Any:
    return Field(validation_alias=AliasChoices(name, f"n_{name}"))


class NoPruner(Model):
    type: Literal["none"]


class _Pruner(Model):
    """`metric` is the one whose reports it judges, the first unless given."""

    metric: NonEmptyStr | None = None


class MedianPruner(_Pruner):
    """Stops a trial whose best value so far is worse than the median of the others' at the same step."""

    type: Literal["median"]
    startup_trials: Annotated[NonNegativeInteger, optuna_alias("startup_trials")] = 5
    warmup_steps: Annotated[NonNegativeInteger, optuna_alias("warmup_steps")] = 0
    interval_steps: PositiveInteger = 1
    min_trials: Annotated[PositiveInteger, optuna_alias("min_trials")] = 1


def _percentile(value: Any) -> Any:
    if not 0 <= value <= 100:
        raise invalid(f"must lie between 0 and 100, got {show(value)}")
    return value


class PercentilePruner(_Pruner):
    """Keeps the best `percentile` percent at each step: 75 stops the worst quarter."""

    type: Literal["percentile"]
    percentile: Annotated[Number, AfterValidator(_percentile)]
    startup_trials: Annotated[NonNegativeInteger, optuna_alias("startup_trials")] = 5
    warmup_steps: Annotated[NonNegativeInteger, optuna_alias("warmup_steps")] = 0
    interval_steps: PositiveInteger = 1
    min_trials: Annotated[PositiveInteger, optuna_alias("min_trials")] = 1


def _resource(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise invalid(f"expected a positive whole number or auto, got {show(value)}")


Resource = Annotated[int | Literal["auto"], BeforeValidator(_resource)]


def _reduction(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int) or value < 2:
        raise invalid(f"expected a whole number of at least 2, got {show(value)}")
    return value


Reduction = Annotated[int, BeforeValidator(_reduction)]


class AshaPruner(_Pruner):
    """Asynchronous successive halving (Li et al., 2018): of each rung, the best 1/reduction_factor go on."""

    type: Literal["asha"]
    min_resource: Resource = "auto"
    reduction_factor: Reduction = 4
    min_early_stopping_rate: NonNegativeInteger = 0
    bootstrap_count: NonNegativeInteger = 0

    @model_validator(mode="after")
    def _fits(self) -> AshaPruner:
        if self.bootstrap_count > 0 and self.min_resource == "auto":
            raise invalid("needs min_resource to be a number", key="bootstrap_count")
        return self


class HyperbandPruner(_Pruner):
    """Several brackets of successive halving (Li et al., 2017); `max_resource` is a trial's last step."""

    type: Literal["hyperband"]
    min_resource: PositiveInteger = 1
    max_resource: Resource = "auto"
    reduction_factor: Reduction = 3
    bootstrap_count: NonNegativeInteger = 0

    @model_validator(mode="after")
    def _fits(self) -> HyperbandPruner:
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

    type: Literal["threshold"]
    lower: Number | None = None
    upper: Number | None = None
    warmup_steps: Annotated[NonNegativeInteger, optuna_alias("warmup_steps")] = 0
    interval_steps: PositiveInteger = 1

    @model_validator(mode="after")
    def _fits(self) -> ThresholdPruner:
        if self.lower is None and self.upper is None:
            raise invalid("needs lower, upper or both")
        if self.lower is not None and self.upper is not None and self.lower > self.upper:
            raise invalid(f"must not be greater than upper ({self.upper}), got {self.lower}", key="lower")
        return self


def _significance(value: Any) -> Any:
    if not 0 <= value <= 1:
        raise invalid(f"must lie between 0 and 1, got {show(value)}")
    return value


class WilcoxonPruner(_Pruner):
    """Stops a trial that is significantly worse than the best one, where steps are instances of a problem.

    Its result has to be the mean over the instances.
    """

    type: Literal["wilcoxon"]
    p_threshold: Annotated[Number, AfterValidator(_significance)] = 0.1
    startup_steps: Annotated[NonNegativeInteger, optuna_alias("startup_steps")] = 2


def _factor(value: Any) -> Any:
    if value <= 1:
        raise invalid(f"must be greater than 1, got {show(value)}")
    return value


class BandsPruner(_Pruner):
    """What W&B calls hyperband: after some numbers of reports (bands), the best 1/eta of all trials go on.

    Bands are min_iter, min_iter * eta, min_iter * eta^2 and so on, or max_iter / eta, max_iter / eta^2 and so
    on, `s` of them. With `strict`, a trial's value at the band counts, otherwise its best so far.
    """

    type: Literal["bands"]
    min_iter: PositiveInteger | None = None
    max_iter: PositiveInteger | None = None
    s: PositiveInteger | None = None
    eta: Annotated[Number, AfterValidator(_factor)] = 3
    strict: Flag = False

    @model_validator(mode="after")
    def _fits(self) -> BandsPruner:
        if self.min_iter is None and self.max_iter is None:
            raise invalid("needs min_iter, or max_iter and s")
        if self.max_iter is None:
            if self.s is not None:
                raise invalid("belongs to max_iter; leave it out", key="s")
            return self
        if self.min_iter is not None:
            raise invalid("excludes max_iter; leave one out", key="min_iter")
        if self.s is None:
            raise invalid("is missing: how many bands there are below max_iter", key="s")
        if self.max_iter < self.eta:
            raise invalid(f"must be at least eta ({self.eta}), got {self.max_iter}", key="max_iter")
        return self


class CustomPruner(CustomClass):
    """A pruner of one's own: `package.module:Class`."""

    metric: NonEmptyStr | None = None

    @model_validator(mode="after")
    def _names_a_class(self) -> CustomPruner:
        check_class_name(self.type)
        return self


WRAPPABLE: dict[str, type[Model]] = {
    "median": MedianPruner,
    "percentile": PercentilePruner,
    "asha": AshaPruner,
    "hyperband": HyperbandPruner,
    "threshold": ThresholdPruner,
    "wilcoxon": WilcoxonPruner,
    "bands": BandsPruner,
}


def typed(raw: Any, types: Any) -> Any:
    """`median` is short for `{type: median}`; the type has to be one of `types`, or a class of one's own."""
    if raw is None:
        raw = "none"
    if isinstance(raw, str):
        raw = {"type": raw}
    if not isinstance(raw, dict):
        return raw
    if "type" not in raw:
        raise invalid("'type' is missing; possible: " + ", ".join(types))
    if is_custom(raw["type"]):
        return raw
    if raw["type"] not in list(types):
        raise invalid(f"unknown type {show(raw['type'])}; {suggestion(raw['type'], types)}", key="type")
    return raw


def tag(value: Any) -> Any:
    """Which model of a union a value belongs to."""
    type_ = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return TAG if is_custom(type_) else type_


def _wrapped(raw: Any) -> Any:
    if raw in ("none", {"type": "none"}):
        raise invalid("would never stop a trial; leave wrapped out to stop all that lose patience")
    if raw in ("patient", {"type": "patient"}) or (isinstance(raw, dict) and raw.get("type") == "patient"):
        raise invalid(f"cannot be patient too; possible: {', '.join(WRAPPABLE)}")
    if isinstance(raw, dict) and raw.get("metric") is not None:
        raise invalid("belongs to the pruner around it; write it beside patience", key="metric")
    return raw if raw is None else typed(raw, WRAPPABLE)


_Wrappable = (
    Annotated[MedianPruner, Tag("median")]
    | Annotated[PercentilePruner, Tag("percentile")]
    | Annotated[AshaPruner, Tag("asha")]
    | Annotated[HyperbandPruner, Tag("hyperband")]
    | Annotated[ThresholdPruner, Tag("threshold")]
    | Annotated[WilcoxonPruner, Tag("wilcoxon")]
    | Annotated[BandsPruner, Tag("bands")]
    | Annotated[CustomPruner, Tag(TAG)]
)


class PatientPruner(_Pruner):
    """Stops a trial that `wrapped` would stop, if it has not become better for `patience` reports.

    Without `wrapped`, that is enough. Better by less than `min_delta` is not better.
    """

    type: Literal["patient"]
    patience: NonNegativeInteger
    min_delta: NonNegativeNumber = 0.0
    wrapped: Annotated[Annotated[_Wrappable, Discriminator(tag)] | None, BeforeValidator(_wrapped)] = None


PRUNERS: dict[str, type[Model]] = {"none": NoPruner, **WRAPPABLE, "patient": PatientPruner}
OPTUNAS_PRUNERS = {
    "NopPruner": "none",
    "MedianPruner": "median",
    "PercentilePruner": "percentile",
    "SuccessiveHalvingPruner": "asha",
    "HyperbandPruner": "hyperband",
    "ThresholdPruner": "threshold",
    "WilcoxonPruner": "wilcoxon",
    "PatientPruner": "patient",
}
"""Optuna's classes, and our `type`."""


def _pruner(raw: Any) -> Any:
    return typed(raw, PRUNERS)


Pruner = Annotated[
    Annotated[
        Annotated[NoPruner, Tag("none")] | Annotated[PatientPruner, Tag("patient")] | _Wrappable,
        Discriminator(tag),
    ],
    BeforeValidator(_pruner),
]
