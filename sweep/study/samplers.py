"""Creates Optuna's sampler from the sampler in a sweep file."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import Any

from optuna import samplers
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, nsgaii
from optuna.samplers.nsgaii import BaseCrossover

from sweep.errors import EntryError
from sweep.space import SearchSpace
from sweep.space.space import EXHAUSTIVE
from sweep.study.bounded_tpe import BoundedTPESampler
from sweep.study.constrained_sampler import ConstrainedSampler, check_feasible
from sweep.study.custom_sampler import make_custom_sampler
from sweep.study.distinct import DistinctSampler
from sweep.study.grid_sampler import GridSampler
from sweep.study.private import replace_random_sampler
from sweep.study.sampling_ahead import SamplingAhead
from sweep.study.seeds import derive_seed
from sweep.sweepfile import SweepSpec
from sweep.sweepfile import samplers as spec
from sweep.sweepfile.base import optuna_options
from sweep.sweepfile.samplers import Sampler

_REQUIRED_PACKAGES = {"gp": ("torch", "scipy"), "cmaes": ("cmaes", "scipy"), "qmc": ("scipy",)}
_JOINT_ONLY = (spec.GpSampler, spec.CmaEsSampler, spec.Nsga2Sampler, spec.Nsga3Sampler, spec.QmcSampler)
_IGNORES_LIMITS = (spec.CmaEsSampler, spec.QmcSampler, spec.RandomSampler)
_IGNORES_PRUNED = (spec.GpSampler, spec.Nsga2Sampler, spec.Nsga3Sampler)
_MOST_GP_VALUES = 10**8
"""Whole numbers in a range: Optuna's GPSampler takes 2.5 GB for these."""
_MANY_FOR_GP = 1000
"""So many trials: the next suggestion of Optuna's GPSampler takes 9 seconds."""
_CROSSOVERS: dict[str, type[BaseCrossover]] = {
    "uniform": nsgaii.UniformCrossover,
    "blxalpha": nsgaii.BLXAlphaCrossover,
    "spx": nsgaii.SPXCrossover,
    "sbx": nsgaii.SBXCrossover,
    "vsbx": nsgaii.VSBXCrossover,
    "undx": nsgaii.UNDXCrossover,
}


def make_sampler(
    sampler: Sampler,
    space: SearchSpace,
    seed: int,
    sampled_so_far: int,
    objectives: int = 1,
    reported: int = 0,
    ahead: bool = False,
) -> BaseSampler:
    """Create the sampler for a session of a sweep. It repeats no configuration of a continuous space.

    Args:
        sampler: the sampler in the sweep file.
        space: the search space.
        seed: the sweep's seed.
        sampled_so_far: a number that grows with each trial and each parameter that is sampled. A sampler's
            state is not stored, so with the same seed a resumed sweep would repeat its first suggestions; the
            number changes the seed.
        objectives: the number of objectives.
        reported: the index of the objective that trials report and are pruned by.
        ahead: whether to sample in a thread, before a trial needs its configuration. A sampler that takes no
            time is asked directly all the same.

    Raises:
        EntryError: the sampler does not support the search space, or a package that it needs is missing.
    """
    if not isinstance(sampler, spec.CustomSampler):  # a custom sampler is checked when it is constructed
        check_sampler(sampler, space, objectives)
    created = _make_optuna_sampler(sampler, space, seed, sampled_so_far, reported)
    if sampler.type in EXHAUSTIVE:  # the grid contains each feasible configuration once
        return created
    chosen: BaseSampler
    if space.is_define_by_run:
        chosen = DistinctSampler(created)
    else:
        chosen = ConstrainedSampler(created, space, derive_seed(seed, "constraints", sampled_so_far))
    if not ahead or (isinstance(sampler, spec.RandomSampler) and not space.constraints):
        return chosen
    is_optunas = created.after_trial.__module__.startswith("optuna.")  # it only stores constraints
    # A custom sampler can wait for anything. `gp` trains a model for the first time after random suggestions.
    is_steady = not isinstance(sampler, spec.CustomSampler | spec.GpSampler)
    return SamplingAhead(chosen, learns_in_after_trial=not is_optunas, is_steady=is_steady)


def check_sampler(sampler: Sampler, space: SearchSpace, objectives: int = 1) -> None:
    """Check quickly whether a sampler supports a search space.

    Optuna would raise an error in the middle of a sweep, or sample at random instead.

    Raises:
        EntryError: as `make_sampler`.
    """
    if sampler.type not in EXHAUSTIVE:
        check_feasible(space)
    for package in _REQUIRED_PACKAGES.get(sampler.type, ()):
        if find_spec(package) is None:
            raise EntryError(
                "sampler.type", f"{sampler.type} needs the package {package}; pip install {package}"
            )
    match sampler:
        case spec.CustomSampler():
            make_custom_sampler(sampler, 0)
        case spec.GridSampler() | spec.BruteForceSampler():
            space.check_grid()
        case spec.CmaEsSampler():
            _check_cmaes(space, objectives)
        case spec.GpSampler():
            _check_gp(space)


def _check_gp(space: SearchSpace) -> None:
    for name, distribution in space.distributions.items():
        if isinstance(distribution, IntDistribution):
            size = (distribution.high - distribution.low) // distribution.step + 1
            if size > _MOST_GP_VALUES:
                raise EntryError(
                    f"parameters.{name}",
                    f"has {size:,} values, and gp needs memory for each; write min: "
                    f"{float(distribution.low)} for floats, a larger step, or another sampler, such as tpe",
                )


def _check_cmaes(space: SearchSpace, objectives: int) -> None:
    if objectives > 1:
        raise EntryError(
            "sampler.type", f"cmaes supports one objective, not {objectives}; write tpe, nsga2, nsga3 or gp"
        )
    choices = [
        name
        for name, distribution in space.distributions.items()
        if isinstance(distribution, CategoricalDistribution) and not distribution.single()
    ]
    if choices:
        raise EntryError(
            "sampler.type",
            f"cmaes samples numbers only, and {', '.join(choices)} would be chosen at random; "
            "give min and max instead of values, or write tpe or gp",
        )


def sampler_notes(sweep: SweepSpec, space: SearchSpace) -> list[str]:
    """Warnings about the sampler for the author of a sweep file."""
    sampler = sweep.sampler
    notes = []
    if space.is_conditional:
        if isinstance(sampler, spec.TpeSampler) and (sampler.group is False or sampler.multivariate is False):
            notes.append("tpe samples conditional parameters one by one; group: true samples them jointly")
        if isinstance(sampler, _JOINT_ONLY):
            notes.append(
                f"{sampler.type} samples conditional parameters at random; tpe takes conditions into account"
            )
    if isinstance(sampler, spec.Nsga2Sampler | spec.Nsga3Sampler):
        size = sampler.population_size or sampler.DEFAULT_POPULATION_SIZE
        if sweep.stop.trials is not None and sweep.stop.trials <= size:
            notes.append(
                f"{sampler.type} samples its first generation at random: all {sweep.stop.trials} trials; "
                f"set population_size (now {size}) to a fraction of stop.trials"
            )
    if isinstance(sampler, spec.GpSampler) and (sweep.stop.trials or 0) > _MANY_FOR_GP:
        notes.append(
            f"gp takes seconds for each suggestion after {_MANY_FOR_GP} trials, and longer with each trial; "
            "tpe stays quick"
        )
    if sweep.limits and isinstance(sampler, _IGNORES_LIMITS):
        notes.append(f"{sampler.type} learns nothing from limits on metrics; tpe does")
    ignores_pruned = isinstance(sampler, _IGNORES_PRUNED) or (
        isinstance(sampler, spec.CmaEsSampler) and not sampler.consider_pruned_trials
    )
    if sweep.pruner.type != "none" and ignores_pruned:
        notes.append(f"{sampler.type} learns nothing from pruned trials; tpe does")
    return notes


def _make_optuna_sampler(
    sampler: Sampler, space: SearchSpace, seed: int, sampled_so_far: int, reported: int = 0
) -> BaseSampler:
    """Create the sampler that `make_sampler` asks for configurations.

    Each generator of random numbers has its own seed: Optuna would give one seed to two of them.

    Args:
        sampler: the sampler in the sweep file.
        space: the search space.
        seed: the sweep's seed.
        sampled_so_far: as for `make_sampler`.
        reported: the index of the objective that trials report.
    """
    session_seed = derive_seed(seed, "sampler", sampled_so_far)
    random = samplers.RandomSampler(derive_seed(seed, "random", sampled_so_far))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return _make(sampler, space, seed, session_seed, random, reported)


def _make(
    sampler: Sampler,
    space: SearchSpace,
    seed: int,
    session_seed: int,
    random: samplers.RandomSampler,
    reported: int,
) -> BaseSampler:
    if isinstance(sampler, spec.CustomSampler):
        return make_custom_sampler(sampler, session_seed)
    options = {**optuna_options(sampler), "seed": session_seed}
    independent: dict[str, Any] = {"independent_sampler": random, "warn_independent_sampling": False}
    match sampler:
        case spec.TpeSampler():
            return replace_random_sampler(_make_tpe(sampler, space, options, reported), random)
        case spec.GpSampler():
            return samplers.GPSampler(**options, **independent)
        case spec.CmaEsSampler():
            return samplers.CmaEsSampler(**options, **independent)
        case spec.Nsga2Sampler():
            return replace_random_sampler(samplers.NSGAIISampler(**_with_operators(options)), random)
        case spec.Nsga3Sampler():
            return replace_random_sampler(samplers.NSGAIIISampler(**_with_operators(options)), random)
        case spec.QmcSampler():
            # The study stores the position in the sequence by seed: another seed would restart it.
            options["seed"] = derive_seed(seed, "sampler")
            return samplers.QMCSampler(**options, **independent)
        case spec.RandomSampler():
            return random
        case spec.GridSampler():
            return GridSampler(space)
        case spec.BruteForceSampler():
            return GridSampler(space, derive_seed(seed, "sampler"))


def _make_tpe(
    sampler: spec.TpeSampler, space: SearchSpace, options: dict[str, Any], reported: int
) -> samplers.TPESampler:
    if space.is_conditional and sampler.group is None and sampler.multivariate is not False:
        options["group"] = True
    if options.get("group"):
        options["multivariate"] = True  # implied; with several objectives Optuna would warn
    return BoundedTPESampler(reported, **options)


def _with_operators(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a genetic sampler, with Optuna's objects for the names of its operators."""
    if (name := options.get("crossover")) is not None:
        # Optuna passes swapping_prob only to its default crossover.
        swapping = {"swapping_prob": options["swapping_prob"]} if "swapping_prob" in options else {}
        options["crossover"] = _CROSSOVERS[name](**(swapping if name == "uniform" else {}))
    if "mutation" in options:
        options["mutation"] = nsgaii.PolynomialMutation()
    return options
