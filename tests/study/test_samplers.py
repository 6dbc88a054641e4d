"""From a sampler in the sweep file to Optuna's, and a sweep with each of them."""

from __future__ import annotations

import sys
import textwrap
import types
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import (
    CmaEsSampler,
    GPSampler,
    NSGAIIISampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
    nsgaii,
)
from optuna.trial import TrialState

from sweep.controller.controller import Controller
from sweep.errors import EntryError
from sweep.messages import Outcome
from sweep.space import SearchSpace
from sweep.space.grid import Grid
from sweep.study import grid_sampler, samplers
from sweep.study.bounded_tpe import BoundedTPESampler
from sweep.study.constrained_sampler import ConstrainedSampler
from sweep.study.grid_sampler import GridSampler
from sweep.study.pruners import make_pruner
from sweep.study.pruning import Pruning
from sweep.study.requested import RequestedTrials
from sweep.study.samplers import check_sampler, make_sampler, sampler_notes
from sweep.sweepfile import SweepSpec
from sweep.sweepfile.parameters import Range
from sweep.system.directory import SweepDirectory

NUMBERS = {"x": {"min": 0.0, "max": 1.0}, "n": {"min": 1, "max": 6}}
MIXED = {**NUMBERS, "a": {"values": ["b", "c"]}}
STEPS = {"n": {"min": 1, "max": 6}, "a": {"values": ["b", "c", "d"]}}


def make_spec(sampler: Any, parameters: Any = NUMBERS, **keys: Any) -> SweepSpec:
    return SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metric": {"name": "loss", "goal": "minimize"},
            "sampler": sampler,
            "parameters": parameters,
            **keys,
        }
    )


def make(sampler: Any, parameters: Any = NUMBERS, sampled_so_far: int = 0, objectives: int = 1) -> Any:
    """Optuna's sampler, without the one that asks it."""
    spec = make_spec(sampler, parameters)
    made = make_sampler(spec.sampler, SearchSpace(spec.parameters), 7, sampled_so_far, objectives)
    return made._sampler if isinstance(made, ConstrainedSampler) else made


def note(sampler: Any, parameters: Any = NUMBERS, **keys: Any) -> str:
    spec = make_spec(sampler, parameters, **keys)
    return "\n".join(sampler_notes(spec, SearchSpace(spec.parameters)))


Look = Callable[[Any], Any]

OPTIONS: list[tuple[dict[str, Any], type, Look, Any]] = [
    ({"type": "tpe", "startup_trials": 3}, BoundedTPESampler, lambda s: s._n_startup_trials, 3),
    ({"type": "tpe", "ei_candidates": 5}, BoundedTPESampler, lambda s: s._n_ei_candidates, 5),
    ({"type": "tpe", "multivariate": False}, BoundedTPESampler, lambda s: s._multivariate, False),
    ({"type": "tpe", "group": True}, BoundedTPESampler, lambda s: s._group, True),
    ({"type": "tpe", "constant_liar": False}, BoundedTPESampler, lambda s: s._constant_liar, False),
    ({"type": "gp", "startup_trials": 3}, GPSampler, lambda s: s._n_startup_trials, 3),
    ({"type": "gp", "deterministic_objective": True}, GPSampler, lambda s: s._deterministic, True),
    ({"type": "cmaes", "startup_trials": 3}, CmaEsSampler, lambda s: s._n_startup_trials, 3),
    ({"type": "cmaes", "popsize": 4}, CmaEsSampler, lambda s: s._popsize, 4),
    (
        {"type": "cmaes", "consider_pruned_trials": True},
        CmaEsSampler,
        lambda s: s._consider_pruned_trials,
        True,
    ),
    ({"type": "cmaes", "use_separable_cma": True}, CmaEsSampler, lambda s: s._use_separable_cma, True),
    ({"type": "cmaes", "with_margin": True}, CmaEsSampler, lambda s: s._with_margin, True),
    ({"type": "cmaes", "lr_adapt": True}, CmaEsSampler, lambda s: s._lr_adapt, True),
    *(
        (options, class_, look, value)
        for type_, class_ in (("nsga2", NSGAIISampler), ("nsga3", NSGAIIISampler))
        for options, look, value in (
            ({"type": type_, "population_size": 9}, lambda s: s.population_size, 9),
            (
                {"type": type_, "mutation": "polynomial"},
                lambda s: type(s._child_generation_strategy._mutation),
                nsgaii.PolynomialMutation,
            ),
            (
                {"type": type_, "mutation_prob": 0.5},
                lambda s: s._child_generation_strategy._mutation_prob,
                0.5,
            ),
            *(
                (
                    {"type": type_, "crossover": word},
                    lambda s: type(s._child_generation_strategy._crossover),
                    crossover,
                )
                for word, crossover in samplers._CROSSOVERS.items()
            ),
            (
                {"type": type_, "crossover_prob": 0.5},
                lambda s: s._child_generation_strategy._crossover_prob,
                0.5,
            ),
            (
                {"type": type_, "swapping_prob": 0.1},
                lambda s: s._child_generation_strategy._swapping_prob,
                0.1,
            ),
            (
                {"type": type_, "swapping_prob": 0.1, "crossover": "uniform"},
                lambda s: s._child_generation_strategy._crossover._swapping_prob,
                0.1,
            ),
        )
    ),
    (
        {"type": "nsga3", "dividing_parameter": 5},
        NSGAIIISampler,
        lambda s: s._elite_population_selection_strategy._dividing_parameter,
        5,
    ),
    ({"type": "qmc", "qmc_type": "halton"}, QMCSampler, lambda s: s._qmc_type, "halton"),
    ({"type": "qmc", "scramble": True}, QMCSampler, lambda s: s._scramble, True),
    ({"type": "random"}, RandomSampler, lambda s: None, None),
    ({"type": "grid"}, GridSampler, lambda s: None, None),
]


@pytest.mark.parametrize(
    ("sampler", "class_", "look", "value"),
    OPTIONS,
    ids=lambda value: "" if callable(value) else str(value)[:60],
)
@pytest.mark.filterwarnings("error")
def test_every_option_reaches_optunas_sampler(
    sampler: dict[str, Any], class_: type, look: Look, value: Any
) -> None:
    made = make(sampler, STEPS if sampler["type"] == "grid" else NUMBERS)
    assert type(made) is class_
    assert look(made) == value


def test_an_option_that_is_not_set_has_optunas_default() -> None:
    ours, optunas = make("tpe"), TPESampler()
    for name in ("_n_startup_trials", "_n_ei_candidates", "_multivariate", "_group", "_constant_liar"):
        assert getattr(ours, name) == getattr(optunas, name)


SAMPLERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "tpe", "startup_trials": 3}, MIXED),
    ({"type": "tpe", "startup_trials": 3, "group": True}, MIXED),
    ({"type": "gp", "startup_trials": 5}, MIXED),
    ({"type": "cmaes", "popsize": 4}, NUMBERS),
    ({"type": "cmaes", "popsize": 4, "with_margin": True}, {"x": NUMBERS["x"], "only": {"values": ["a"]}}),
    ({"type": "nsga2", "population_size": 4}, MIXED),
    ({"type": "nsga3", "population_size": 4, "crossover": "undx"}, NUMBERS),
    ({"type": "qmc", "scramble": True}, MIXED),
    ({"type": "qmc", "qmc_type": "halton"}, MIXED),
    ({"type": "random"}, MIXED),
    ({"type": "grid"}, STEPS),
    ({"type": "brute_force"}, STEPS),
]


def sweep(spec: SweepSpec, directory: SweepDirectory, most: int = 99) -> list[dict[str, Any]]:
    """The configurations that one session of a sweep samples."""
    controller = Controller(spec, directory, slots=1)
    seen: list[dict[str, Any]] = []
    while len(seen) < most and (assignment := controller.next_step(None).assignment) is not None:
        seen.append(assignment.params)
        value = float(sum(value for value in assignment.params.values() if not isinstance(value, str)))
        controller.finish(Outcome(assignment.number, assignment.attempt, "returned", value))
    return seen


def new_directory(path: Path) -> SweepDirectory:
    path.mkdir()
    return SweepDirectory(path)


@pytest.mark.parametrize(("sampler", "parameters"), SAMPLERS, ids=lambda value: str(value)[:60])
def test_every_sampler_is_reproducible_with_the_same_seed(
    tmp_path: Path, sampler: dict[str, Any], parameters: dict[str, Any]
) -> None:
    spec = make_spec({**sampler, "seed": 3}, parameters, stop={"trials": 15})
    first = sweep(spec, new_directory(tmp_path / "a"))
    assert len(first) == 15
    assert first == sweep(spec, new_directory(tmp_path / "b"))
    assert len({str(params) for params in first}) > 5


@pytest.mark.parametrize(("sampler", "parameters"), SAMPLERS[:-2], ids=lambda value: str(value)[:60])
def test_a_sampler_does_not_restart_on_resume(
    tmp_path: Path, sampler: dict[str, Any], parameters: dict[str, Any]
) -> None:
    spec = make_spec({**sampler, "seed": 3}, parameters, stop={"trials": 15})
    directory = new_directory(tmp_path / "a")
    seen = [str(params) for session in range(3) for params in sweep(spec, directory, most=1)]
    assert len(set(seen)) == 3


def test_a_low_discrepancy_sequence_continues_on_resume(tmp_path: Path) -> None:
    spec = make_spec({"type": "qmc", "scramble": True, "seed": 3}, stop={"trials": 12})
    directory = new_directory(tmp_path / "a")
    interrupted = sweep(spec, directory, most=5) + sweep(spec, directory)
    assert interrupted == sweep(spec, new_directory(tmp_path / "b"))


# Grids.


def ask_grid(study: optuna.Study, space: SearchSpace) -> Any:
    return space.suggest(study.ask())


def test_a_grid_builds_each_configuration_once_and_inspects_each_trial_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            calls[name] += 1
            return function(*arguments)

        return call

    monkeypatch.setattr(Grid, "point", counted("point", Grid.point))
    monkeypatch.setattr(
        grid_sampler, "is_resubmission", counted("is_resubmission", grid_sampler.is_resubmission)
    )
    space = SearchSpace.of(make_spec("grid", {name: {"values": [1, 2]} for name in "abcd"}))
    study = optuna.create_study(sampler=GridSampler(space))
    found = [ask_grid(study, space) for _ in range(16)]
    assert len({str(params) for params in found}) == 16
    assert calls == {"point": 16, "is_resubmission": 16}


def test_a_grid_continues_after_resubmissions_in_every_study() -> None:
    space = SearchSpace.of(make_spec("grid", {"n": {"min": 1, "max": 9}}))
    sampler = GridSampler(space)
    storage = optuna.storages.InMemoryStorage()
    one = optuna.create_study(study_name="demo", storage=storage, sampler=sampler)
    found = [ask_grid(one, space)["n"]]
    one.tell(0, state=TrialState.FAIL)
    assert RequestedTrials(one).resubmit([0]) == [0]
    found += [ask_grid(one, space)["n"] for _ in range(2)]
    assert found == [1, 1, 2]
    resumed = optuna.load_study(study_name="demo", storage=storage, sampler=GridSampler(space))
    beside = optuna.load_study(study_name="demo", storage=storage, sampler=sampler)
    other = optuna.create_study(sampler=sampler)
    studies = (resumed, other, beside, one, other)
    assert [ask_grid(study, space)["n"] for study in studies] == [3, 1, 4, 5, 2]


def test_a_trial_keeps_its_place_in_the_grid_when_others_are_sampled_first() -> None:
    space = SearchSpace.of(make_spec("grid", {"n": {"min": 1, "max": 9}}))
    study = optuna.create_study(sampler=GridSampler(space))
    failed, slow = study.ask(), study.ask()
    space.suggest(failed)
    study.tell(failed, state=TrialState.FAIL)
    RequestedTrials(study).resubmit([0])
    found = [ask_grid(study, space)["n"] for _ in range(2)]
    assert found == [1, 3]
    assert space.suggest(slow) == {"n": 2}


# Errors before the sweep starts.


def test_cmaes_rejects_choices_by_name() -> None:
    with pytest.raises(EntryError, match=r"sampler\.type: cmaes samples numbers only, and a would be"):
        make("cmaes", MIXED)
    make("cmaes", {**NUMBERS, "only": {"values": ["a"]}})


def test_cmaes_rejects_several_objectives() -> None:
    with pytest.raises(EntryError, match=r"sampler\.type: cmaes supports one objective, not 2"):
        make("cmaes", objectives=2)


def test_gp_refuses_a_range_of_more_whole_numbers_than_fit_into_the_memory() -> None:
    sampler = make_spec("gp").sampler
    with pytest.raises(
        EntryError, match=r"^parameters\.x: has 1,000,000,001 values, .* write min: 0\.0 for "
    ):
        check_sampler(sampler, SearchSpace({"x": Range(min=0, max=10**9)}))
    for parameter in (Range(min=0, max=10**9, step=100), Range(min=0.0, max=1e9)):
        check_sampler(sampler, SearchSpace({"x": parameter}))


@pytest.mark.parametrize("sampler", ["grid", "brute_force"])
def test_an_unbounded_grid_is_rejected(sampler: str) -> None:
    with pytest.raises(EntryError, match=r"parameters\.x: has infinitely many values"):
        make(sampler)


@pytest.mark.parametrize(
    ("sampler", "package"), [("gp", "torch"), ("gp", "scipy"), ("cmaes", "cmaes"), ("qmc", "scipy")]
)
def test_a_package_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, sampler: str, package: str
) -> None:
    monkeypatch.setattr(samplers, "find_spec", lambda name: None if name == package else object())
    with pytest.raises(EntryError, match=rf"{sampler} needs the package {package}; pip install {package}"):
        check_sampler(make_spec(sampler).sampler, SearchSpace({}))


# Conditional parameters.


@pytest.fixture
def conditional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SearchSpace, "is_conditional", True)


@pytest.mark.usefixtures("conditional")
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("options", "multivariate", "group"),
    [
        ({}, True, True),
        ({"group": False}, None, False),
        ({"multivariate": False}, False, False),
        ({"multivariate": True}, True, True),
    ],
)
def test_tpe_samples_conditional_parameters_jointly_unless_told_otherwise(
    options: dict[str, Any], multivariate: Any, group: bool
) -> None:
    made = make({"type": "tpe", **options})
    assert (made._multivariate, made._group) == (multivariate, group)


@pytest.mark.usefixtures("conditional")
@pytest.mark.parametrize(
    ("sampler", "said"),
    [
        ("tpe", ""),
        ({"type": "tpe", "group": False}, "tpe samples conditional parameters one by one"),
        ("gp", "gp samples conditional parameters at random"),
        ("cmaes", "cmaes samples conditional parameters at random"),
        ("nsga2", "nsga2 samples conditional parameters at random"),
        ("qmc", "qmc samples conditional parameters at random"),
        ("random", ""),
    ],
)
def test_samplers_that_sample_conditional_parameters_at_random_are_noted(sampler: Any, said: str) -> None:
    found = note(sampler)
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_a_long_sweep_with_gp_is_noted() -> None:
    assert "tpe stays quick" in note("gp", stop={"trials": 1001})
    assert note("gp", stop={"trials": 1000}) == ""
    assert note("tpe", stop={"trials": 10_000}) == ""


def test_a_population_larger_than_the_sweep_is_noted() -> None:
    assert "at random: all 50 trials" in note("nsga2", stop={"trials": 50})
    assert note({"type": "nsga2", "population_size": 10}, stop={"trials": 50}) == ""
    assert note("nsga3") == ""


def test_samplers_that_ignore_pruned_trials_are_noted() -> None:
    assert note("gp", pruner="median") == "gp learns nothing from pruned trials; tpe does"
    assert note({"type": "cmaes", "consider_pruned_trials": True}, pruner="median") == ""
    assert note("tpe", pruner="median") == ""


# Custom classes.

OWN = """
import optuna

class Mine(optuna.samplers.RandomSampler):
    def __init__(self, depth, width=1, seed=None):
        if depth < 0:
            raise ValueError("no such depth")
        super().__init__(seed)
        self.given = (depth, width, seed)

class Seedless(optuna.samplers.RandomSampler):
    def __init__(self):
        super().__init__(0)

class Other: ...
"""


@pytest.fixture
def own(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module `own_sampler` in the current folder."""
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != ""])
    (project / "own_sampler.py").write_text(OWN)
    (project / "broken_sampler.py").write_text("import there_is_no_such_package\n")
    (project / "raising_sampler.py").write_text("\n1 / 0\n")
    monkeypatch.delitem(sys.modules, "own_sampler", raising=False)
    return project


@pytest.mark.usefixtures("own")
def test_a_custom_sampler_gets_its_options_and_a_seed() -> None:
    made = make({"type": "own_sampler:Mine", "depth": 3})
    assert made.given[:2] == (3, 1)
    assert made.given[2] not in (
        None,
        make({"type": "own_sampler:Mine", "depth": 3}, sampled_so_far=1).given[2],
    )
    make({"type": "own_sampler:Seedless", "seed": 3})


@pytest.mark.usefixtures("own")
def test_a_custom_sampler_runs_a_sweep(tmp_path: Path) -> None:
    spec = make_spec({"type": "own_sampler:Mine", "depth": 3, "seed": 1}, MIXED, stop={"trials": 15})
    assert len(sweep(spec, new_directory(tmp_path / "a"))) == 15


@pytest.mark.usefixtures("own")
@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ({"type": "owm_sampler:Mine"}, "sampler.type: 'owm_sampler:Mine': there is no module 'owm_sampler'"),
        ({"type": "own_sampler.x:Mine"}, "sampler.type: 'own_sampler.x:Mine': there is no module"),
        (
            {"type": "own_sampler:Nine"},
            "sampler.type: 'own_sampler:Nine': own_sampler has no 'Nine'; did you",
        ),
        (
            {"type": "own_sampler:Other"},
            "sampler.type: 'own_sampler:Other' is not a sampler; name a subclass of ",
        ),
        ({"type": "broken_sampler:A"}, "sampler.type: 'broken_sampler:A': broken_sampler needs 'there_is_no"),
        (
            {"type": "raising_sampler:A"},
            "sampler.type: 'raising_sampler:A': raising_sampler cannot be imported",
        ),
        (
            {"type": "own_sampler:Mine"},
            "sampler: 'own_sampler:Mine' cannot be constructed with these options: TypeE",
        ),
        (
            {"type": "own_sampler:Mine", "depth": -1},
            "sampler: 'own_sampler:Mine' cannot be constructed with these op",
        ),
    ],
)
def test_a_mistake_in_a_custom_class_is_one_error(sampler: dict[str, Any], message: str) -> None:
    spec = make_spec(sampler)
    with pytest.raises(EntryError) as error:
        check_sampler(spec.sampler, SearchSpace(spec.parameters))
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


# OptunaHub.


def test_a_missing_optunahub_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optunahub", None)
    with pytest.raises(
        EntryError, match=r"'hub:auto_sampler' needs the package optunahub; pip install optunahub"
    ):
        make("hub:auto_sampler")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A fake optunahub with the packages `one` and `two`."""

    def load_module(package: str) -> types.ModuleType:
        if package not in ("samplers/one", "samplers/two"):
            raise ConnectionError("github.com cannot be\nreached")
        module = types.ModuleType(f"optunahub_registry.package.{package.replace('/', '.')}")
        code = "import optuna\nclass First(optuna.samplers.RandomSampler): ...\n"
        if package.endswith("two"):
            code += "class Second(optuna.samplers.RandomSampler): ...\n"
        exec(textwrap.dedent(code), module.__dict__)
        return module

    fake = types.ModuleType("optunahub")
    fake.load_module = load_module  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "optunahub", fake)
    return fake


@pytest.mark.usefixtures("hub")
def test_a_package_of_optunahub_is_loaded() -> None:
    assert type(make({"type": "hub:one", "seed": 2})).__name__ == "First"
    assert type(make("hub:two:Second")).__name__ == "Second"


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize(
    ("type_", "message"),
    [
        (
            "hub:three",
            "'hub:three' cannot be fetched from OptunaHub: ConnectionError: github.com cannot be reached",
        ),
        ("hub:two", "'hub:two' has 2 samplers; write hub:two:First, or another of First, Second"),
        ("hub:two:Secod", "'hub:two:Secod': two has no sampler 'Secod'; did you mean 'Second'?"),
    ],
)
def test_a_missing_package_of_optunahub_is_one_error(type_: str, message: str) -> None:
    with pytest.raises(EntryError) as error:
        make(type_)
    assert str(error.value).startswith(f"sampler.type: {message}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "sampler",
    [
        {"type": "tpe", "startup_trials": 3},
        {"type": "tpe", "startup_trials": 3, "group": True},
        {"type": "gp", "startup_trials": 3},
        {"type": "nsga2", "population_size": 4},
        {"type": "nsga3", "population_size": 4},
        {"type": "qmc"},
        {"type": "random"},
    ],
    ids=str,
)
@pytest.mark.parametrize("pruner", [{"type": "none"}, {"type": "hyperband", "max_resource": 3}], ids=str)
@pytest.mark.filterwarnings("error")
def test_several_objectives_are_sampled_with_some_trials_pruned(sampler: Any, pruner: Any) -> None:
    spec = make_spec(sampler, MIXED, pruner=pruner)
    space = SearchSpace(spec.parameters)
    study = optuna.create_study(
        directions=["minimize", "maximize"],
        sampler=make_sampler(spec.sampler, space, 1, 0, objectives=2, reported=1),
    )
    pruning = Pruning(study, make_pruner(spec.pruner), objective=1)
    for number in range(16):
        trial = study.ask(space.distributions)
        pruning.report(trial, 0, trial.params["x"])
        is_pruned = pruning.should_prune(trial) or number % 4 == 0
        values = None if is_pruned else [trial.params["x"], trial.params["n"]]
        state = TrialState.PRUNED if is_pruned else TrialState.COMPLETE
        study.tell(trial, values, state)
    assert len({str(trial.params) for trial in study.trials}) > 5


def test_tpe_ranks_pruned_trials_by_the_reported_objective() -> None:
    spec = make_spec({"type": "tpe", "startup_trials": 3}, {"x": {"min": 0.0, "max": 1.0}})
    space = SearchSpace(spec.parameters)
    found = []
    for reported in (0, 1):
        study = optuna.create_study(
            directions=["minimize", "maximize"],
            sampler=make_sampler(spec.sampler, space, 1, 0, objectives=2, reported=reported),
        )
        for x in (0.1, 0.2, 0.8, 0.9) * 3:
            study.add_trial(
                optuna.trial.create_trial(
                    state=TrialState.PRUNED,
                    params={"x": x},
                    distributions=space.distributions,
                    intermediate_values={0: x},
                )
            )
        found.append(study.ask(space.distributions).params["x"])
    assert found[0] < 0.5 < found[1]


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_tpe_does_not_model_a_range_of_one_number() -> None:
    pinned = {"min": 0.5, "max": 0.5, "when": {"a": "b"}}
    spec = make_spec({"type": "tpe", "startup_trials": 3}, {**MIXED, "pinned": pinned})
    space = SearchSpace.of(spec)
    study = optuna.create_study(sampler=make_sampler(spec.sampler, space, 1, 0))
    for _ in range(25):
        trial = study.ask()
        params = space.suggest(trial)
        assert params.get("pinned") == (0.5 if params["a"] == "b" else None)
        study.tell(trial, params["x"])


def test_tpe_avoids_violated_constraints() -> None:
    spec = make_spec({"type": "tpe", "startup_trials": 5}, {"x": {"min": 0.0, "max": 1.0}})
    space = SearchSpace(spec.parameters)
    study = optuna.create_study(sampler=make_sampler(spec.sampler, space, 1, 0))
    for _ in range(40):
        trial = study.ask(space.distributions)
        trial.set_constraint("not small", 0.5 - trial.params["x"])  # satisfied if it is not positive
        study.tell(trial, trial.params["x"])
    assert min(study.trials, key=lambda trial: trial.value).params["x"] < 0.5
    assert study.best_trial.params["x"] >= 0.5
