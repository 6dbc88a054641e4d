"""Configurations are sampled in a thread, before trials need them."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweep.space import SearchSpace
from sweep.study.rungs_pruner import BracketsPruner
from sweep.study.samplers import make_sampler
from sweep.study.sampling_ahead import SamplingAhead
from sweep.sweepfile import SweepSpec
from tests.commands import PATIENCE

PARAMETERS = {"x": {"min": 0.0, "max": 1.0}, "y": {"min": 0.0, "max": 1.0}, "n": {"min": 1, "max": 8}}
SAMPLERS: list[dict[str, Any]] = [
    {"type": "tpe"},
    {"type": "tpe", "multivariate": True},
    {"type": "gp", "startup_trials": 6},
    {"type": "cmaes"},
    {"type": "nsga2", "population_size": 4},
    {"type": "nsga3", "population_size": 4},
    {"type": "qmc"},
]


def make(sampler: dict[str, Any], ahead: bool = True, **keys: Any) -> tuple[BaseSampler, SearchSpace]:
    keys = {"parameters": PARAMETERS, "constraints": ["x + y <= 1.5"], **keys}
    spec = SweepSpec.model_validate(
        {
            "name": "demo",
            "objective": "a.py:f",
            "metric": {"name": "loss", "goal": "minimize"},
            "sampler": sampler,
            **keys,
        }
    )
    space = SearchSpace.of(spec)
    return make_sampler(spec.sampler, space, 1, 0, ahead=ahead), space


def make_ahead(sampler: dict[str, Any], **keys: Any) -> tuple[SamplingAhead, SearchSpace]:
    made, space = make(sampler, **keys)
    assert isinstance(made, SamplingAhead)
    return made, space


def ask(sampler: SamplingAhead, study: optuna.Study) -> optuna.Trial:
    trial = None
    while trial is None:
        trial = sampler.ask(study)
    return trial


def run(sampler: SamplingAhead, space: SearchSpace, study: optuna.Study, count: int) -> list[dict[str, Any]]:
    """Run trials on one slot."""
    configurations = []
    for _ in range(count):
        trial = ask(sampler, study)
        params = space.suggest(trial)
        sampler.prepare(study)
        study.tell(trial, params["x"] ** 2 + params["y"])
        configurations.append(params)
    return configurations


def kinds(keys: Iterable[str]) -> set[str]:
    """Attributes without the number of a part or of a generation: `NSGAIISampler:parent:3`."""
    return {key.rstrip("0123456789") for key in keys}


class Recorder(RandomSampler):
    """Records what a sampler sees, and waits for permission to sample."""

    def __init__(self) -> None:
        super().__init__(seed=1)
        self.states: list[list[str]] = []
        self.threads: set[str] = set()
        self.may_sample = threading.Event()
        self.may_sample.set()
        self.when_sampling: Callable[[optuna.Study, FrozenTrial], None] = lambda study, trial: None

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {"x": optuna.distributions.FloatDistribution(0, 1)}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        assert self.may_sample.wait(PATIENCE)
        self.states.append([each.state.name for each in study.get_trials(deepcopy=False)])
        self.threads.add(threading.current_thread().name)
        self.when_sampling(study, trial)
        return {"x": self._rng.rng.random()}


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_one_slot_and_a_seed_give_the_same_configurations_again(sampler: dict[str, Any]) -> None:
    runs = []
    for _ in range(2):
        ahead, space = make_ahead(sampler)
        study = optuna.create_study(sampler=ahead)
        runs.append(run(ahead, space, study, 16))
    assert runs[0] == runs[1]
    assert all(params["x"] + params["y"] <= 1.5 for params in runs[0])
    assert len({tuple(params.values()) for params in runs[0]}) == 16


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_how_long_the_sampler_takes_does_not_change_what_it_samples(
    sampler: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A quick one is asked in the thread of the trial."""
    runs = []
    for quick in (0.0, math.inf):
        monkeypatch.setattr("sweep.study.sampling_ahead._QUICK", quick)
        ahead, space = make_ahead(sampler)
        study = optuna.create_study(sampler=ahead)
        trials = [ask(ahead, study) for _ in range(2)]
        for number in range(14):
            params = space.suggest(trials[0])
            ahead.prepare(study)
            if number == 11:  # the configuration that is being sampled is not used
                study.enqueue_trial({"x": 0.75})
            extra = trials[0].suggest_float("extra", 0, 1)  # as a define-by-run objective does
            study.tell(trials.pop(0), params["x"] ** 2 + extra)
            trials.append(ask(ahead, study))
        runs.append([trial.params for trial in study.trials])
    assert runs[0] == runs[1]


def test_a_quick_sampler_takes_no_thread_after_the_first_time(recorder: Recorder) -> None:
    ahead = SamplingAhead(recorder, is_steady=True)
    study = optuna.create_study(sampler=ahead)
    ask(ahead, study)
    assert recorder.threads == {"sampler"}, "it is not known yet how long it takes"
    recorder.threads.clear()
    ahead.prepare(study)
    assert len(recorder.states) == 1, "it is asked when a trial needs the configuration"
    ask(ahead, study)
    assert recorder.threads == {threading.current_thread().name}
    recorder.threads.clear()
    recorder.when_sampling = lambda study, trial: time.sleep(0.05)
    for _ in range(2):
        ask(ahead, study)
    assert recorder.threads == {threading.current_thread().name, "sampler"}, "it has become slow"


def test_gp_and_custom_samplers_are_never_expected_to_be_quick() -> None:
    """The first suggestions of `gp` are random, the next one trains a model; the others can do anything."""
    assert make_ahead({"type": "tpe"})[0]._is_steady
    assert not make_ahead({"type": "gp"})[0]._is_steady
    assert not make_ahead({"type": "optuna.samplers:TPESampler"})[0]._is_steady


@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_the_sampler_stores_what_it_stores_without_a_thread(sampler: dict[str, Any]) -> None:
    ahead, space = make_ahead(sampler)
    direct, _ = make(sampler, ahead=False)
    studies = [optuna.create_study(sampler=each) for each in (ahead, direct)]
    run(ahead, space, studies[0], 14)
    for _ in range(14):
        trial = studies[1].ask()
        params = space.suggest(trial)
        studies[1].tell(trial, params["x"] ** 2 + params["y"])
    of_trials = [{key for each in study.trials for key in each.system_attrs} for study in studies]
    of_study = [study._storage.get_study_system_attrs(study._study_id).keys() for study in studies]
    assert kinds(of_trials[0]) == kinds(of_trials[1])
    assert kinds(of_study[0]) == kinds(of_study[1])


def test_random_sampling_and_grids_take_no_thread() -> None:
    for sampler in ("random", "grid", "brute_force"):
        made, _ = make({"type": sampler}, parameters={"x": {"values": [1, 2]}}, constraints=[])
        assert not isinstance(made, SamplingAhead)


def test_a_slow_sampler_makes_nobody_wait(recorder: Recorder) -> None:
    ahead = SamplingAhead(recorder)
    study = optuna.create_study(sampler=ahead)
    recorder.may_sample.clear()
    assert ahead.ask(study) is None
    assert ahead.ask(study) is None
    assert not study.trials, "no trial starts before it has its configuration"
    study.add_trial(create_trial(state=TrialState.FAIL))  # others use the study meanwhile
    recorder.may_sample.set()
    assert 0 <= ask(ahead, study).suggest_float("x", 0, 1) <= 1
    assert recorder.threads == {"sampler"}


def test_the_sampler_sees_the_running_trials_with_their_parameters(recorder: Recorder) -> None:
    ahead = SamplingAhead(recorder)
    study = optuna.create_study(sampler=ahead)
    seen: list[dict[str, Any]] = []
    recorder.when_sampling = lambda study, trial: seen.append(study.trials[0].params)
    first = ask(ahead, study)
    x = first.suggest_float("x", 0, 1)
    ahead.prepare(study)
    study.tell(first, 1.0)
    ask(ahead, study)
    assert recorder.states == [["RUNNING"], ["RUNNING", "RUNNING"]]
    assert seen == [{}, {"x": x}]


def test_enqueued_trials_come_first_with_their_values(recorder: Recorder) -> None:
    ahead, space = make_ahead({"type": "tpe"})
    study = optuna.create_study(sampler=ahead)
    ahead.prepare(study)
    study.enqueue_trial({"x": 0.25})
    study.enqueue_trial({"y": 0.125, "n": 2})
    runs = run(ahead, space, study, 4)
    assert runs[0]["x"] == 0.25
    assert (runs[1]["y"], runs[1]["n"]) == (0.125, 2)
    assert len(study.trials) == 4


def test_a_trial_that_was_enqueued_while_another_was_sampled_leaves_no_trace_of_that(
    recorder: Recorder,
) -> None:
    ahead = SamplingAhead(recorder)
    study = optuna.create_study(sampler=ahead)
    recorder.when_sampling = lambda study, trial: study._storage.set_trial_system_attr(
        trial._trial_id, "sampled as", len(recorder.states)
    )
    ahead.prepare(study)
    study.enqueue_trial({})
    ask(ahead, study)
    assert [trial.system_attrs["sampled as"] for trial in study.trials] == [2]


def test_a_sampler_can_store_attributes_and_enqueue_trials(recorder: Recorder) -> None:
    def store(study: optuna.Study, trial: FrozenTrial) -> None:
        study.set_user_attr("count", study.user_attrs.get("count", 0) + 1)
        study._storage.set_trial_user_attr(trial._trial_id, "own", trial.number)
        study._storage.set_trial_user_attr(study.trials[0]._trial_id, "first", trial.number)
        if trial.number == 1:
            study.enqueue_trial({"x": 0.75})

    ahead = SamplingAhead(recorder)
    study = optuna.create_study(sampler=ahead)
    recorder.when_sampling = store
    trials = [ask(ahead, study) for _ in range(2)]
    assert study.user_attrs == {"count": 2}
    assert [trial.user_attrs.get("own") for trial in study.trials] == [0, 1, None]
    assert study.trials[0].user_attrs["first"] == 1
    assert study.trials[2].system_attrs["fixed_params"] == {"x": 0.75}
    ahead.prepare(study)
    study.tell(trials[0], 1.0)
    assert ask(ahead, study).number == 2, "what it stored for a trial that has finished is dropped"


def test_an_error_of_the_sampler_is_raised_when_a_trial_needs_the_configuration(recorder: Recorder) -> None:
    ahead = SamplingAhead(recorder)
    study = optuna.create_study(sampler=ahead)

    def fail(study: optuna.Study, trial: FrozenTrial) -> None:
        raise SystemExit("no such region")

    recorder.when_sampling = fail
    ahead.prepare(study)
    with pytest.raises(SystemExit, match="no such region"):
        ask(ahead, study)
    assert not study.trials


def test_the_sampler_is_never_used_by_two_threads(recorder: Recorder) -> None:
    """A define-by-run objective suggests parameters while the next trial is sampled."""
    ahead = SamplingAhead(recorder)
    study = optuna.create_study(sampler=ahead)
    trial = ask(ahead, study)
    recorder.may_sample.clear()
    ahead.prepare(study)
    threading.Timer(0.1, recorder.may_sample.set).start()
    trial.suggest_float("another", 0, 1)
    assert len(recorder.states) == 2, "the other thread has finished before"


@pytest.mark.parametrize("learns", [False, True])
def test_after_trial_waits_for_the_sampler_only_if_it_is_the_users(recorder: Recorder, learns: bool) -> None:
    ahead = SamplingAhead(recorder, learns_in_after_trial=learns)
    study = optuna.create_study(sampler=ahead)
    trial = ask(ahead, study)
    recorder.may_sample.clear()
    ahead.prepare(study)
    threading.Timer(0.1, recorder.may_sample.set).start()
    study.tell(trial, 1.0)
    assert len(recorder.states) == (2 if learns else 1)


def test_hyperband_shows_the_sampler_the_trials_of_one_bracket(recorder: Recorder) -> None:
    pruner = BracketsPruner(min_resource=1, max_resource=9, reduction_factor=3)
    ahead = SamplingAhead(recorder)
    study = optuna.create_study(sampler=ahead, pruner=pruner, study_name="demo")
    trial = ask(ahead, study)
    trial.report(1.0, 1)
    trial.should_prune()
    for _ in range(11):
        study.tell(ask(ahead, study), 1.0)
    brackets = [pruner._get_bracket_id(study, each) for each in study.trials]
    expected = [sum(brackets[:number].count(own) for own in [brackets[number]]) for number in range(2, 12)]
    assert [len(states) - 1 for states in recorder.states[2:]] == expected
