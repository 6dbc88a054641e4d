"""Pruners a sweep file can name, with Optuna's options. Optuna's `n_` prefix may be written or left out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field

from sweep.errors import suggestion
from sweep.spec.base import Model
from sweep.spec.types import NonNegativeInteger, Number, PositiveInteger, mistake, show


def _optuna_alias(name: str) -> Any:
    return Field(validation_alias=AliasChoices(name, f"n_{name}"))


class NoPruner(Model):
    type: Literal["none"]


class MedianPruner(Model):
    """Stops a trial whose best value so far is worse than the median of the others' at the same step."""

    type: Literal["median"]
    startup_trials: Annotated[NonNegativeInteger, _optuna_alias("startup_trials")] = 5
    warmup_steps: Annotated[NonNegativeInteger, _optuna_alias("warmup_steps")] = 0
    interval_steps: PositiveInteger = 1
    min_trials: Annotated[PositiveInteger, _optuna_alias("min_trials")] = 1


def _percentile(value: Any) -> Any:
    if not 0 <= value <= 100:
        raise mistake(f"must lie between 0 and 100, got {show(value)}")
    return value


class PercentilePruner(Model):
    """Keeps the best `percentile` percent at each step: 75 stops the worst quarter."""

    type: Literal["percentile"]
    percentile: Annotated[Number, AfterValidator(_percentile)]
    startup_trials: Annotated[NonNegativeInteger, _optuna_alias("startup_trials")] = 5
    warmup_steps: Annotated[NonNegativeInteger, _optuna_alias("warmup_steps")] = 0
    interval_steps: PositiveInteger = 1
    min_trials: Annotated[PositiveInteger, _optuna_alias("min_trials")] = 1


def _resource(value: Any) -> Any:
    if value == "auto" or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    raise mistake(f"expected a positive whole number or auto, got {show(value)}")


Resource = Annotated[int | Literal["auto"], BeforeValidator(_resource)]


def _reduction(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int) or value < 2:
        raise mistake(f"expected a whole number of at least 2, got {show(value)}")
    return value


Reduction = Annotated[int, BeforeValidator(_reduction)]


class AshaPruner(Model):
    """Asynchronous successive halving (Li et al., 2018): of each rung, the best 1/reduction_factor go on."""

    type: Literal["asha"]
    min_resource: Resource = "auto"
    reduction_factor: Reduction = 4
    min_early_stopping_rate: NonNegativeInteger = 0
    bootstrap_count: NonNegativeInteger = 0


class HyperbandPruner(Model):
    """Several brackets of successive halving (Li et al., 2017); `max_resource` is a trial's last step."""

    type: Literal["hyperband"]
    min_resource: PositiveInteger = 1
    max_resource: Resource = "auto"
    reduction_factor: Reduction = 3
    bootstrap_count: NonNegativeInteger = 0


PRUNERS: dict[str, type[Model]] = {
    "none": NoPruner,
    "median": MedianPruner,
    "percentile": PercentilePruner,
    "asha": AshaPruner,
    "hyperband": HyperbandPruner,
}


def typed(raw: Any, types: Any) -> Any:
    """`median` is short for `{type: median}`; the type has to be one of `types`."""
    if raw is None:
        raw = "none"
    if isinstance(raw, str):
        raw = {"type": raw}
    if not isinstance(raw, dict):
        return raw
    if "type" not in raw:
        raise mistake("'type' is missing; possible: " + ", ".join(types))
    if raw["type"] not in list(types):
        raise mistake(f"unknown type {show(raw['type'])}; {suggestion(raw['type'], types)}", key="type")
    return raw


def _pruner(raw: Any) -> Any:
    return typed(raw, PRUNERS)


Pruner = Annotated[
    Annotated[
        NoPruner | MedianPruner | PercentilePruner | AshaPruner | HyperbandPruner,
        Field(discriminator="type"),
    ],
    BeforeValidator(_pruner),
]
