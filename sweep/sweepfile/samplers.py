"""The sweep file's `sampler`: Optuna's samplers and their options, with or without Optuna's prefix `n_`.

An option that is not set is None and not passed to Optuna, so that Optuna's default applies. Options that
Optuna has deprecated are not accepted.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from sweep.sweepfile.base import Model, optuna_alias
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
from sweep.sweepfile.types import Flag, NonNegativeInteger, PositiveInteger, Probability, as_integer, invalid


class _Sampler(Model):
    """How configurations are chosen. `seed` makes their sequence reproducible."""

    # `type` has a default in Python; in a file only tpe does not need it.
    model_config = ConfigDict(json_schema_extra={"required": ["type"]})

    seed: NonNegativeInteger | None = None


Size = Annotated[int, Field(ge=2), BeforeValidator(as_integer)]
StartupTrials = Annotated[NonNegativeInteger | None, optuna_alias("startup_trials")]


class TpeSampler(_Sampler):
    """Tree-structured Parzen estimators (Bergstra et al., 2011): any space, any number of objectives."""

    model_config = ConfigDict(json_schema_extra=None)

    type: Literal["tpe"] = "tpe"
    startup_trials: StartupTrials = None
    ei_candidates: Annotated[PositiveInteger | None, optuna_alias("ei_candidates")] = None
    multivariate: Flag | None = None
    group: Flag | None = None
    constant_liar: Flag | None = None

    @model_validator(mode="after")
    def _check(self) -> TpeSampler:
        if self.group and self.multivariate is False:
            raise invalid("needs multivariate: true, or leave multivariate out", key="group")
        return self


class GpSampler(_Sampler):
    """Gaussian processes: for few, expensive trials."""

    type: Literal["gp"] = "gp"
    startup_trials: StartupTrials = None
    deterministic_objective: Flag | None = None


class CmaEsSampler(_Sampler):
    """CMA-ES (Hansen, 2016): numbers only, one objective."""

    type: Literal["cmaes"] = "cmaes"
    startup_trials: StartupTrials = None
    popsize: Size | None = None
    consider_pruned_trials: Flag | None = None
    use_separable_cma: Flag | None = None
    with_margin: Flag | None = None
    lr_adapt: Flag | None = None

    @model_validator(mode="after")
    def _check(self) -> CmaEsSampler:
        given = [key for key in ("use_separable_cma", "with_margin", "lr_adapt") if getattr(self, key)]
        if len(given) > 1:
            raise invalid(f"cannot be combined with {given[0]}; leave one out", key=given[1])
        return self


Crossover = Literal["uniform", "blxalpha", "spx", "sbx", "vsbx", "undx"]
Mutation = Literal["polynomial"]
CROSSOVERS, MUTATIONS = get_args(Crossover), get_args(Mutation)
_WITH_THREE_PARENTS = ("spx", "undx")


class _GeneticSampler(_Sampler):
    population_size: Size | None = None
    mutation: Mutation | None = None
    mutation_prob: Probability | None = None
    crossover: Crossover | None = None
    crossover_prob: Probability | None = None
    swapping_prob: Probability | None = None

    DEFAULT_POPULATION_SIZE: ClassVar[int] = 50

    @model_validator(mode="after")
    def _check(self) -> _GeneticSampler:
        if self.crossover in _WITH_THREE_PARENTS and self.population_size == 2:
            raise invalid(f"must be at least 3: {self.crossover} has three parents", key="population_size")
        return self


class Nsga2Sampler(_GeneticSampler):
    """NSGA-II (Deb et al., 2002), a genetic algorithm: several objectives, thousands of trials."""

    type: Literal["nsga2"] = "nsga2"


class Nsga3Sampler(_GeneticSampler):
    """NSGA-III (Deb and Jain, 2014): as NSGA-II, for more than three objectives."""

    type: Literal["nsga3"] = "nsga3"
    dividing_parameter: PositiveInteger | None = None


class QmcSampler(_Sampler):
    """Low-discrepancy sequences: random sampling that covers the space more evenly."""

    type: Literal["qmc"] = "qmc"
    qmc_type: Literal["sobol", "halton"] | None = None
    scramble: Flag | None = None


class RandomSampler(_Sampler):
    """Independent random configurations."""

    type: Literal["random"] = "random"


class GridSampler(_Sampler):
    """Every configuration exactly once, in the file's order."""

    type: Literal["grid"] = "grid"


class BruteForceSampler(_Sampler):
    """Every configuration exactly once."""

    type: Literal["brute_force"] = "brute_force"


_HUB = re.compile(r"hub:[A-Za-z0-9_\-]+(/[A-Za-z0-9_\-]+)*(:[A-Za-z_]\w*)?")


class CustomSampler(CustomClass):
    """A custom sampler, `package.module:Class`, or OptunaHub's, `hub:name` or `hub:name:Class`."""

    seed: NonNegativeInteger | None = None

    @model_validator(mode="after")
    def _check(self) -> CustomSampler:
        if not self.type.startswith("hub:"):
            check_class_name(self.type)
        elif not _HUB.fullmatch(self.type):
            raise invalid(
                f"{self.type!r} is not the name of a package; write for example hub:auto_sampler", key="type"
            )
        return self


_BuiltIn = (
    TpeSampler
    | GpSampler
    | CmaEsSampler
    | Nsga2Sampler
    | Nsga3Sampler
    | QmcSampler
    | RandomSampler
    | GridSampler
    | BruteForceSampler
)
SAMPLERS: dict[str, type[_Sampler]] = models_by_type(_BuiltIn)


def _sampler(raw: Any) -> Any:
    return as_typed_mapping({"type": "tpe", **raw} if isinstance(raw, dict) else raw, SAMPLERS)


Sampler = Annotated[
    Annotated[_BuiltIn, Field(discriminator="type"), Tag(BUILT_IN)] | Annotated[CustomSampler, Tag(CUSTOM)],
    Discriminator(custom_or_built_in),
    BeforeValidator(_sampler),
    or_type_name(*SAMPLERS),
]
"""How configurations are chosen."""
