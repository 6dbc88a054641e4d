"""`BoundedTPESampler`: it learns from a bounded number of trials, and until then it is Optuna's TPE."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from sweep.study import tpe_history
from sweep.study.bounded_tpe import BoundedTPESampler

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
SPACE = {"x": FloatDistribution(0, 1), "y": FloatDistribution(1e-5, 1, log=True)}


def joint(trial: Trial) -> float:
    return trial.suggest_float("x", 0, 1) + trial.suggest_int("n", 1, 100)


def integers(trial: Trial) -> float:
    steps = trial.suggest_float("rate", 0, 1, step=0.1) + trial.suggest_categorical("c", [1, 2, 3])
    return trial.suggest_int("n", 1, 100_000) / 1000 + trial.suggest_int("m", 1, 512, log=True) * steps


def conditional(trial: Trial) -> float:
    if trial.suggest_categorical("kind", ["a", "b"]) == "a":
        return trial.suggest_float("x", 0, 1)
    return trial.suggest_float("y", -1, 1) ** 2


def constrained(trial: Trial) -> float:
    x = trial.suggest_float("x", 0, 1)
    trial.set_constraint("small", x - 0.5)
    return -x


def pruned(trial: Trial) -> float:
    x = trial.suggest_float("x", 0, 1)
    for step in range(3):
        trial.report(x, step)
        if x > 0.3 * step and trial.number % 3:
            raise optuna.TrialPruned
    return x


def failing(trial: Trial) -> float:
    x = trial.suggest_float("x", 0, 1)
    if trial.number % 4 == 0:
        raise ValueError
    return x


def two_objectives(trial: Trial) -> tuple[float, float]:
    x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
    return x, 1 - x + y


def optimize(
    sampler: TPESampler, objective: Callable[[Trial], Any], trials: int, **options: Any
) -> list[Any]:
    """The parameters of trials of which three run at once and the second one never ends."""
    study = optuna.create_study(sampler=sampler, **options)
    study.ask()
    live: list[tuple[Trial, Any, TrialState]] = []
    for _ in range(trials):
        trial = study.ask()
        try:
            live.append((trial, objective(trial), TrialState.COMPLETE))
        except optuna.TrialPruned:
            live.append((trial, None, TrialState.PRUNED))
        except ValueError:
            live.append((trial, None, TrialState.FAIL))
        if len(live) == 3:
            finished, values, state = live.pop(trial.number % 3)
            study.tell(finished, values, state)
    return [trial.params for trial in study.get_trials(deepcopy=False)]


@pytest.mark.parametrize(
    ("objective", "options", "of_study"),
    [
        (joint, {}, {}),
        (joint, {"multivariate": False}, {"direction": "maximize"}),
        (joint, {"constant_liar": False}, {}),
        (integers, {}, {}),
        (integers, {"multivariate": False}, {}),
        (conditional, {"group": True}, {}),
        (conditional, {}, {}),
        (constrained, {}, {}),
        (pruned, {}, {}),
        (pruned, {}, {"pruner": optuna.pruners.HyperbandPruner(max_resource=3)}),
        (failing, {}, {}),
        (two_objectives, {}, {"directions": ["minimize", "minimize"]}),
        (two_objectives, {"multivariate": True}, {"directions": ["minimize", "maximize"]}),
    ],
)
def test_in_a_short_study_its_suggestions_are_those_of_optunas_tpe(
    objective: Callable[[Trial], Any], options: dict[str, Any], of_study: dict[str, Any]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = optimize(BoundedTPESampler(seed=3, history=60, **options), objective, 60, **of_study)
        theirs = optimize(TPESampler(seed=3, **options), objective, 60, **of_study)
    assert ours == theirs


class _Seen(BoundedTPESampler):
    """Notes the trials from which each suggestion was made."""

    def _fit_anew(self, study: Any, running: list[FrozenTrial], space: Any) -> Any:
        self.seen = [*self._history.trials, *running]
        return super()._fit_anew(study, running, space)


def finished(count: int, *, directions: int = 1, pruned: bool = False) -> list[FrozenTrial]:
    generator = random.Random(count)
    trials = []
    for number in range(count):
        values = [generator.random() for _ in range(directions)]
        outcome: dict[str, Any] = {"values": values}
        if pruned and number % 2:
            outcome = {"state": TrialState.PRUNED, "intermediate_values": {number % 7: values[0]}}
        params = {"x": generator.random(), "y": 10 ** -(5 * generator.random())}
        trials.append(create_trial(params=params, distributions=SPACE, **outcome))
    return trials


def seen(trials: list[FrozenTrial], sampler: _Seen, *, at_once: int, running: int = 0) -> list[FrozenTrial]:
    """The trials from which the suggestion is made that follows these trials."""
    directions = ["minimize"] * len(next(trial for trial in trials if trial.values).values)
    study = optuna.create_study(sampler=sampler, directions=directions)
    for _ in range(running):
        study.ask(SPACE)
    for start in range(0, len(trials), at_once):
        study.add_trials(trials[start : start + at_once])
        sampler.infer_relative_search_space(study, trials[0])
    study.ask(SPACE)
    return [trial for trial in sampler.seen if trial.state.is_finished()]


@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("pruned", [False, True])
def test_in_a_long_study_it_learns_from_a_fixed_number_of_trials(directions: int, pruned: bool) -> None:
    sampler = _Seen(seed=1, history=100)
    kept = seen(finished(700, directions=directions, pruned=pruned), sampler, at_once=50)
    assert len(kept) == 100
    assert [trial.number for trial in kept] == sorted(trial.number for trial in kept)


def test_it_keeps_the_best_and_the_latest_trials() -> None:
    trials = finished(700)
    kept = {trial.value for trial in seen(trials, _Seen(seed=1, history=100), at_once=50)}
    assert {trial.value for trial in sorted(trials, key=lambda trial: trial.values[0])[:10]} <= kept
    assert {trial.value for trial in trials[-90:]} <= kept


@pytest.mark.parametrize("options", [{}, {"multivariate": False}])
def test_trials_that_sample_one_parameter_in_turn_know_each_other_as_with_optunas_tpe(
    options: dict[str, Any],
) -> None:
    def interleave(sampler: TPESampler) -> list[Any]:
        study = optuna.create_study(sampler=sampler)
        for _ in range(30):
            first, second = study.ask(), study.ask()
            values = [trial.suggest_float(name, 0, 1) for name in "xy" for trial in (first, second)]
            study.tell(second, values[1])
            study.tell(first, values[0] + first.suggest_float("z", 0, 1))
        return [trial.params for trial in study.get_trials(deepcopy=False)]

    ours = interleave(BoundedTPESampler(seed=3, history=60, **options))
    assert ours == interleave(TPESampler(seed=3, **options))


def test_further_suggestions_for_the_same_trial_are_optunas_without_being_fitted_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A constraint can reject many configurations in turn."""

    def suggestions(sampler: TPESampler) -> list[Any]:
        study = optuna.create_study(sampler=sampler)
        study.add_trials(finished(40))
        number = study.ask(SPACE).number
        trial = study.trials[number]
        return [sampler.sample_relative(study, trial, SPACE) for _ in range(20)]

    fits: list[Any] = []
    fit = BoundedTPESampler._fit_anew
    monkeypatch.setattr(
        BoundedTPESampler, "_fit_anew", lambda *arguments: fits.append(arguments) or fit(*arguments)
    )
    ours = suggestions(BoundedTPESampler(seed=3))
    assert ours == suggestions(TPESampler(seed=3))
    assert len(fits) == 1


def test_a_finished_trial_is_ranked_and_converted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    for name in ("tpe_rank", "internal_values"):
        function = getattr(tpe_history, name)
        monkeypatch.setattr(
            tpe_history, name, lambda *given, function=function: seen.append(1) or function(*given)
        )
    study = optuna.create_study(sampler=BoundedTPESampler(seed=1))
    study.add_trials(finished(300))
    study.tell(study.ask(SPACE), 1.0)
    seen.clear()
    for _ in range(10):
        study.tell(study.ask(SPACE), 1.0)
    assert len(seen) == 20


def test_all_running_trials_are_known_however_old_they_are() -> None:
    sampler = _Seen(seed=1, history=100)
    seen(finished(500), sampler, at_once=500, running=5)
    running = [trial.number for trial in sampler.seen if trial.state == TrialState.RUNNING]
    assert running[:5] == [0, 1, 2, 3, 4]


def test_a_resumed_study_learns_from_the_trials_from_which_it_would_have_learned() -> None:
    trials = finished(700, pruned=True)
    at_once = seen(trials, _Seen(seed=1, history=100), at_once=700)
    in_turn = seen(trials, _Seen(seed=1, history=100), at_once=7)
    values = [[trial.params for trial in kept] for kept in (at_once, in_turn)]
    assert values[0] == values[1]


def test_parameters_of_trials_that_it_has_dropped_are_still_sampled_jointly() -> None:
    """A branch of the space that only old trials had remains known."""
    sampler = _Seen(seed=1, history=40, multivariate=True, group=True)
    study = optuna.create_study(sampler=sampler)
    old = {"kind": CategoricalDistribution(["a", "b"]), "only_a": FloatDistribution(0, 1)}
    study.add_trial(create_trial(params={"kind": "a", "only_a": 0.5}, distributions=old, value=9))
    study.add_trials(finished(300))
    trial = study.ask()
    assert set(sampler.infer_relative_search_space(study, study.trials[trial.number])) == {
        "kind",
        "only_a",
        "x",
        "y",
    }


def test_the_model_is_used_after_the_random_trials_even_if_these_are_more_than_the_history() -> None:
    sampler = BoundedTPESampler(seed=0, n_startup_trials=60, history=40)
    study = optuna.create_study(sampler=sampler)
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=120)
    later = [trial.params["x"] for trial in study.trials[80:]]
    assert sum(later) / len(later) < 0.2
