"""From a sampler in the sweep file to Optuna's sampler."""

from __future__ import annotations

import hashlib
import inspect
import random
import warnings
from bisect import bisect_left
from collections.abc import Collection, Sequence
from importlib.util import find_spec
from typing import Any

import optuna
from optuna import samplers
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, nsgaii
from optuna.samplers.nsgaii import BaseCrossover
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from sweep.errors import EntryError, suggestion
from sweep.space import SearchSpace
from sweep.space.space import EXHAUSTIVE
from sweep.study.constrained_sampler import ConstrainedSampler, check_feasible
from sweep.study.resubmission import is_resubmission
from sweep.sweepfile import SweepSpec
from sweep.sweepfile import samplers as spec
from sweep.sweepfile.base import optuna_options
from sweep.sweepfile.samplers import Sampler
from sweep.system.importing import check_class, construct, load_class, one_line, subclasses


def make_sampler(
    sampler: Sampler,
    space: SearchSpace,
    seed: int,
    trials_so_far: int,
    objectives: int = 1,
    pruned_by: int = 0,
) -> BaseSampler:
    """The sampler for what is left of a sweep.

    Args:
        sampler: the sweep file's.
        space: what it samples.
        seed: the sweep's.
        trials_so_far: a sampler's state is not stored; seeded anew with the same seed, a resumed sweep would
            repeat its first suggestions.
        objectives: how many the sweep has.
        pruned_by: the place, among these, of the one that trials report and are pruned by.

    Raises:
        EntryError: it cannot serve the space, or something that it needs is not there.
    """
    if not isinstance(sampler, spec.CustomSampler):  # this one is checked by being made
        check_sampler(sampler, space, objectives)
    own_seed = derive_seed(seed, "sampler", trials_so_far)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        made = _make(sampler, space, seed, own_seed, pruned_by if objectives > 1 else None)
    if space.constraints and sampler.type not in EXHAUSTIVE:  # a grid leaves out what does not fit
        return ConstrainedSampler(made, space, own_seed)
    return made


def check_sampler(sampler: Sampler, space: SearchSpace, objectives: int = 1) -> None:
    """See, quickly, that a sampler can serve a space: Optuna would say so in the middle of a sweep, or sample
    at random instead.

    Raises:
        EntryError: as `make_sampler`.
    """
    if sampler.type not in EXHAUSTIVE:
        check_feasible(space)
    for package in _NEEDS.get(sampler.type, ()):
        if find_spec(package) is None:
            raise EntryError(
                "sampler.type", f"{sampler.type} needs the package {package}; pip install {package}"
            )
    match sampler:
        case spec.CustomSampler():
            _make_own(sampler, 0)
        case spec.GridSampler() | spec.BruteForceSampler():
            space.check_grid()
        case spec.CmaEsSampler():
            _check_cmaes(space, objectives)
        case spec.QmcSampler():
            _check_qmc(sampler, space)


def sampler_notes(sweep: SweepSpec, space: SearchSpace) -> list[str]:
    """What the author of a sweep file may want to know about its sampler."""
    sampler = sweep.sampler
    notes = []
    if space.is_conditional:
        if isinstance(sampler, spec.TpeSampler) and (sampler.group is False or sampler.multivariate is False):
            notes.append("tpe samples conditional parameters one by one; with group: true jointly")
        if isinstance(sampler, _JOINT_ONLY):
            notes.append(
                f"{sampler.type} samples parameters with conditions at random; tpe takes them into account"
            )
    if isinstance(sampler, spec.Nsga2Sampler | spec.Nsga3Sampler):
        size = sampler.population_size or sampler.DEFAULT_POPULATION_SIZE
        if sweep.stop.trials is not None and sweep.stop.trials <= size:
            notes.append(
                f"{sampler.type} samples its first generation at random: all {sweep.stop.trials} trials; "
                f"write a population_size (now {size}) of a fraction of stop.trials"
            )
    if sweep.limits and isinstance(sampler, _IGNORES_LIMITS):
        notes.append(f"{sampler.type} learns nothing from limits on metrics; tpe does")
    if sweep.pruner.type != "none" and _ignores_pruned(sampler):
        notes.append(f"{sampler.type} learns nothing from pruned trials; tpe does")
    return notes


_NEEDS = {"gp": ("torch", "scipy"), "cmaes": ("cmaes", "scipy"), "qmc": ("scipy",)}
_JOINT_ONLY = (
    spec.GpSampler,
    spec.CmaEsSampler,
    spec.Nsga2Sampler,
    spec.Nsga3Sampler,
    spec.QmcSampler,
)
_IGNORES_LIMITS = (spec.CmaEsSampler, spec.QmcSampler, spec.RandomSampler)
_MOST_SOBOL = 21201
"""Dimensions for which scipy has direction numbers."""
_CROSSOVERS: dict[str, type[BaseCrossover]] = {
    "uniform": nsgaii.UniformCrossover,
    "blxalpha": nsgaii.BLXAlphaCrossover,
    "spx": nsgaii.SPXCrossover,
    "sbx": nsgaii.SBXCrossover,
    "vsbx": nsgaii.VSBXCrossover,
    "undx": nsgaii.UNDXCrossover,
}


def _make(
    sampler: Sampler, space: SearchSpace, seed: int, own_seed: int, pruned_by: int | None
) -> BaseSampler:
    if isinstance(sampler, spec.CustomSampler):
        return _make_own(sampler, own_seed)
    given = {**optuna_options(sampler), "seed": own_seed}
    match sampler:
        case spec.TpeSampler():
            if space.is_conditional and sampler.group is None and sampler.multivariate is not False:
                given["group"] = True
            if given.get("group"):
                given["multivariate"] = True  # it is in any case; with several objectives Optuna warns
            return samplers.TPESampler(**given) if pruned_by is None else _MultiTpe(pruned_by, **given)
        case spec.GpSampler():
            return samplers.GPSampler(**given, warn_independent_sampling=False)
        case spec.CmaEsSampler():
            return samplers.CmaEsSampler(**given, warn_independent_sampling=False)
        case spec.Nsga2Sampler():
            return samplers.NSGAIISampler(**_genes(given))
        case spec.Nsga3Sampler():
            return samplers.NSGAIIISampler(**_genes(given))
        case spec.QmcSampler():
            # How far the sequence has come is kept in the study, by seed: another one would begin it anew.
            given["seed"] = derive_seed(seed, "sampler")
            others = samplers.RandomSampler(own_seed)
            return samplers.QMCSampler(**given, independent_sampler=others, warn_independent_sampling=False)
        case spec.RandomSampler():
            return samplers.RandomSampler(own_seed)
        case spec.GridSampler():
            return GridSampler(space)
        case spec.BruteForceSampler():
            return GridSampler(space, derive_seed(seed, "sampler"))


def _genes(given: dict[str, Any]) -> dict[str, Any]:
    """The options of a genetic sampler, with what its words stand for."""
    given = dict(given)
    if (name := given.get("crossover")) is not None:
        # Optuna hands swapping_prob to the crossover that it chooses itself only.
        swapping = {"swapping_prob": given["swapping_prob"]} if "swapping_prob" in given else {}
        given["crossover"] = _CROSSOVERS[name](**(swapping if name == "uniform" else {}))
    if "mutation" in given:
        given["mutation"] = nsgaii.PolynomialMutation()
    return given


def _make_own(sampler: spec.CustomSampler, seed: int) -> BaseSampler:
    key = "sampler.type"
    class_: type[BaseSampler]
    if sampler.type.startswith("hub:"):
        class_ = _load_from_hub(key, sampler.type)
    else:
        class_ = load_class(key, sampler.type, BaseSampler)  # type: ignore[type-abstract]
    given = sampler.options
    if "seed" in _parameters(class_):
        given["seed"] = seed
    return construct("sampler", sampler.type, class_, given)


def _load_from_hub(key: str, text: str) -> type[BaseSampler]:
    package, _, name = text.removeprefix("hub:").partition(":")
    try:
        import optunahub

        module = optunahub.load_module(f"samplers/{package}")
    except ModuleNotFoundError as error:
        raise EntryError(key, f"{text!r} needs the package {error.name}; pip install {error.name}") from None
    except Exception as error:  # noqa: BLE001 - git, HTTP, the package itself
        raise EntryError(
            key,
            f"{text!r} cannot be fetched from OptunaHub: {one_line(error)}; see https://hub.optuna.org for "
            "names, and whether this machine reaches github.com",
        ) from None
    names = subclasses(module, BaseSampler)
    names = [each for each in getattr(module, "__all__", names) if each in names] or names
    if name:
        if name not in names:
            raise EntryError(key, f"{text!r}: {package} has no sampler {name!r}; {suggestion(name, names)}")
    elif len(names) != 1:
        raise EntryError(
            key,
            f"{text!r} has {len(names) or 'no'} samplers"
            + (f"; write hub:{package}:{names[0]}, or another of {', '.join(names)}" if names else ""),
        )
    return check_class(key, text, getattr(module, name or names[0]), BaseSampler)  # type: ignore[type-abstract]


def _parameters(class_: type) -> Collection[str]:
    try:
        return inspect.signature(class_).parameters
    except (TypeError, ValueError):
        return ()


def _check_cmaes(space: SearchSpace, objectives: int) -> None:
    if objectives > 1:
        raise EntryError(
            "sampler.type", f"cmaes knows one objective, not {objectives}; write tpe, nsga2, nsga3 or gp"
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


def _check_qmc(sampler: spec.QmcSampler, space: SearchSpace) -> None:
    if sampler.qmc_type != "halton" and len(space.distributions) > _MOST_SOBOL:
        raise EntryError(
            "sampler.type",
            f"qmc's Sobol sequence has at most {_MOST_SOBOL} dimensions; write qmc_type: halton, or random",
        )


def _ignores_pruned(sampler: Sampler) -> bool:
    if isinstance(sampler, spec.CmaEsSampler):
        return not sampler.consider_pruned_trials
    return isinstance(sampler, spec.GpSampler | spec.Nsga2Sampler | spec.Nsga3Sampler)


def derive_seed(*parts: object) -> int:
    """A number below 2**32 that depends on all `parts`; the same on every machine."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big")


class _MultiTpe(samplers.TPESampler):
    """TPE for several objectives and trials that are pruned by one of them.

    Optuna's own asks for the study's one direction as soon as a pruned trial has reports, and raises: its
    trials cannot report to several objectives. Told the direction of what is reported, it ranks them.

    Args:
        pruned_by: the place of the reported objective.
        options: Optuna's.
    """

    def __init__(self, pruned_by: int, **options: Any) -> None:
        super().__init__(**options)
        self._pruned_by = pruned_by

    def _sample(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        directed: Any = _Directed(study, study.directions[self._pruned_by])
        return super()._sample(directed, trial, search_space)


class _Directed:
    """A study of several objectives that says which direction the reported one has."""

    def __init__(self, study: optuna.Study, direction: StudyDirection) -> None:
        self._study = study
        self.direction = direction

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)


_MOST_SHUFFLED = 1_000_000


class GridSampler(BaseSampler):
    """The n-th trial gets the n-th configuration of the grid: every one exactly once.

    Optuna's own keeps the whole grid in memory, writes the search space into each trial, scans all trials at
    each end of one, and ends a sweep by a call that only `Study.optimize` allows.
    """

    def __init__(self, space: SearchSpace, shuffle: int | None = None) -> None:
        """In the file's order, or in a random one that `shuffle` seeds."""
        self._grid = space.check_grid()
        self._distributions = space.distributions
        self._seen: tuple[optuna.Study | None, int, tuple[int, ...]] = None, 0, ()
        """The study asked last, how many of its trials were looked at, and which of these are reruns.

        A trial is one from its creation on, or never: it has to be looked at once only.
        """
        if self._grid.size == 0:
            raise EntryError("constraints", "no configuration of the grid fulfils them all; widen one")
        self._order: Sequence[int] = range(self._grid.size)
        if shuffle is not None:
            if self._grid.size > _MOST_SHUFFLED:
                raise EntryError(
                    "sampler.type",
                    f"brute_force takes up to {_MOST_SHUFFLED} configurations, and there are "
                    f"{self._grid.size}; use grid, or random",
                )
            self._order = random.Random(shuffle).sample(self._order, len(self._order))

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._distributions

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The whole configuration: Optuna asks for it once, whatever the number of parameters."""
        place = trial.number - self._count_reruns_before(study, trial.number)
        return self._grid.point(self._order[place % len(self._order)])

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        return self.sample_relative(study, trial, {})[param_name]

    def _count_reruns_before(self, study: optuna.Study, number: int) -> int:
        """How many trials before this one repeat a failed one by hand: these have no place in the grid."""
        of, looked_at, reruns = self._seen
        if of is not study:
            looked_at, reruns = 0, ()
        trials = study.get_trials(deepcopy=False)
        reruns += tuple(trial.number for trial in trials[looked_at:] if is_resubmission(trial))
        self._seen = study, len(trials), reruns
        return bisect_left(reruns, number)
