"""Samplers a sweep file can name, with Optuna's options. Optuna's `n_` prefix may be written or left out.

An option that is not given is None here and not passed on, so that Optuna's own default holds. Options that
Optuna has deprecated are left out.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Tag, model_validator

from sweep.errors import suggestion
from sweep.sweepfile.base import Model
from sweep.sweepfile.custom_class import TAG, CustomClass, check_class_name
from sweep.sweepfile.pruners import optuna_alias, tag, typed
from sweep.sweepfile.types import Flag, NonNegativeInteger, Number, PositiveInteger, invalid, show


class _Sampler(Model):
    """How configurations are chosen. `seed` makes their sequence repeatable."""

    seed: NonNegativeInteger | None = None


def _size(value: Any) -> Any:
    if value < 2:
        raise invalid(f"must be at least 2, got {show(value)}")
    return value


def _probability(value: Any) -> Any:
    if not 0 <= value <= 1:
        raise invalid(f"must lie between 0 and 1, got {show(value)}")
    return value


def _one_of(*words: str) -> BeforeValidator:
    def check(value: Any) -> Any:
        if value not in words:
            raise invalid(f"unknown: {show(value)}; {suggestion(value, words)}")
        return value

    return BeforeValidator(check)


Size = Annotated[PositiveInteger, AfterValidator(_size)]
Probability = Annotated[Number, AfterValidator(_probability)]
StartupTrials = Annotated[NonNegativeInteger | None, optuna_alias("startup_trials")]


class TpeSampler(_Sampler):
    """Tree-structured Parzen estimators (Bergstra et al., 2011): any space, any number of objectives."""

    type: Literal["tpe"] = "tpe"
    startup_trials: StartupTrials = None
    ei_candidates: Annotated[PositiveInteger | None, optuna_alias("ei_candidates")] = None
    multivariate: Flag | None = None
    group: Flag | None = None
    constant_liar: Flag | None = None

    @model_validator(mode="after")
    def _fits(self) -> TpeSampler:
        if self.group and self.multivariate is False:
            raise invalid("needs multivariate: true, or leave multivariate out", key="group")
        return self


class GpSampler(_Sampler):
    """Gaussian processes: few, costly trials."""

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
    def _fits(self) -> CmaEsSampler:
        given = [key for key in ("use_separable_cma", "with_margin", "lr_adapt") if getattr(self, key)]
        if len(given) > 1:
            raise invalid(f"cannot be combined with {given[0]}; leave one out", key=given[1])
        return self


CROSSOVERS = ("uniform", "blxalpha", "spx", "sbx", "vsbx", "undx")
MUTATIONS = ("polynomial",)
_THREE_PARENTS = ("spx", "undx")


class _Genetic(_Sampler):
    population_size: Size | None = None
    mutation: Annotated[str, _one_of(*MUTATIONS)] | None = None
    mutation_prob: Probability | None = None
    crossover: Annotated[str, _one_of(*CROSSOVERS)] | None = None
    crossover_prob: Probability | None = None
    swapping_prob: Probability | None = None

    DEFAULT_POPULATION_SIZE: ClassVar[int] = 50

    @model_validator(mode="after")
    def _fits(self) -> _Genetic:
        if self.crossover in _THREE_PARENTS and self.population_size == 2:
            raise invalid(f"must be at least 3: {self.crossover} has three parents", key="population_size")
        return self


class Nsga2Sampler(_Genetic):
    """NSGA-II (Deb et al., 2002), a genetic algorithm: several objectives, thousands of trials."""

    type: Literal["nsga2"] = "nsga2"


class Nsga3Sampler(_Genetic):
    """NSGA-III (Deb and Jain, 2014): as NSGA-II, for more than three objectives."""

    type: Literal["nsga3"] = "nsga3"
    dividing_parameter: PositiveInteger | None = None


class QmcSampler(_Sampler):
    """Low-discrepancy sequences: random sampling that covers the space more evenly."""

    type: Literal["qmc"] = "qmc"
    qmc_type: Annotated[str, _one_of("sobol", "halton")] | None = None
    scramble: Flag | None = None


class RandomSampler(_Sampler):
    """Every configuration on its own."""

    type: Literal["random"] = "random"


class GridSampler(_Sampler):
    """Every configuration exactly once, in the file's order."""

    type: Literal["grid"] = "grid"


class BruteForceSampler(_Sampler):
    """Every configuration exactly once."""

    type: Literal["brute_force"] = "brute_force"


_HUB = re.compile(r"hub:[A-Za-z0-9_\-]+(/[A-Za-z0-9_\-]+)*(:[A-Za-z_]\w*)?")


class CustomSampler(CustomClass):
    """A sampler of one's own, `package.module:Class`, or OptunaHub's, `hub:name` or `hub:name:Class`."""

    seed: NonNegativeInteger | None = None

    @model_validator(mode="after")
    def _names_a_class(self) -> CustomSampler:
        if not self.type.startswith("hub:"):
            check_class_name(self.type)
        elif not _HUB.fullmatch(self.type):
            raise invalid(f"{self.type!r} names no package; write for example hub:auto_sampler", key="type")
        return self


SAMPLERS: dict[str, type[_Sampler]] = {
    "tpe": TpeSampler,
    "gp": GpSampler,
    "cmaes": CmaEsSampler,
    "nsga2": Nsga2Sampler,
    "nsga3": Nsga3Sampler,
    "qmc": QmcSampler,
    "random": RandomSampler,
    "grid": GridSampler,
    "brute_force": BruteForceSampler,
}
OPTUNAS_SAMPLERS = {
    "TPESampler": "tpe",
    "GPSampler": "gp",
    "CmaEsSampler": "cmaes",
    "NSGAIISampler": "nsga2",
    "NSGAIIISampler": "nsga3",
    "QMCSampler": "qmc",
    "RandomSampler": "random",
    "GridSampler": "grid",
    "BruteForceSampler": "brute_force",
}
"""Optuna's classes, and our `type`."""


def _sampler(raw: Any) -> Any:
    if isinstance(raw, dict):
        raw = {"type": "tpe", **raw}
    return typed(raw, SAMPLERS)


Sampler = Annotated[
    Annotated[
        Annotated[TpeSampler, Tag("tpe")]
        | Annotated[GpSampler, Tag("gp")]
        | Annotated[CmaEsSampler, Tag("cmaes")]
        | Annotated[Nsga2Sampler, Tag("nsga2")]
        | Annotated[Nsga3Sampler, Tag("nsga3")]
        | Annotated[QmcSampler, Tag("qmc")]
        | Annotated[RandomSampler, Tag("random")]
        | Annotated[GridSampler, Tag("grid")]
        | Annotated[BruteForceSampler, Tag("brute_force")]
        | Annotated[CustomSampler, Tag(TAG)],
        Discriminator(tag),
    ],
    BeforeValidator(_sampler),
]
"""How configurations are chosen."""
