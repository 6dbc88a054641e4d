"""Pruners that keep running state decide as those that look at all trials, and do not look at all trials."""

from __future__ import annotations

import warnings
from array import array
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna import pruners
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweep.study.bands_pruner import BandsPruner
from sweep.study.percentile_pruner import LastValuePercentilePruner, _percentile
from sweep.study.pruning import Pruning
from sweep.study.rungs_pruner import BracketsPruner, RungsPruner
from sweep.study.wilcoxon_pruner import BestTrialWilcoxonPruner

pytestmark = pytest.mark.filterwarnings("ignore")

Make = Callable[[], BasePruner]

PAIRS: dict[str, tuple[Make, Make]] = {
    "median": (
        lambda: pruners.MedianPruner(n_startup_trials=1, n_min_trials=2),
        lambda: LastValuePercentilePruner(50, n_startup_trials=1, n_min_trials=2),
    ),
    "percentile": (
        lambda: pruners.PercentilePruner(30, n_startup_trials=0, n_warmup_steps=1, interval_steps=2),
        lambda: LastValuePercentilePruner(30, n_startup_trials=0, n_warmup_steps=1, interval_steps=2),
    ),
    "asha": (
        lambda: pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2, bootstrap_count=1),
        lambda: RungsPruner(min_resource=1, reduction_factor=2, bootstrap_count=1),
    ),
    "asha auto": (
        lambda: pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2),
        lambda: RungsPruner(reduction_factor=2),
    ),
    "hyperband": (
        lambda: pruners.HyperbandPruner(max_resource=6, reduction_factor=2),
        lambda: BracketsPruner(max_resource=6, reduction_factor=2),
    ),
    "hyperband auto": (
        lambda: pruners.HyperbandPruner(max_resource=6, reduction_factor=2),
        lambda: BracketsPruner(reduction_factor=2),
    ),
    "wilcoxon": (
        lambda: pruners.WilcoxonPruner(p_threshold=0.4),
        lambda: BestTrialWilcoxonPruner(p_threshold=0.4),
    ),
    "patient": (
        lambda: pruners.PatientPruner(pruners.MedianPruner(n_startup_trials=1), patience=1),
        lambda: pruners.PatientPruner(LastValuePercentilePruner(50, n_startup_trials=1), patience=1),
    ),
}

VALUE = st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, float("nan"), float("inf"), float("-inf")])
EVENT = st.tuples(
    st.sampled_from(["start", *["report"] * 8, "complete", "prune", "fail", "resume"]),
    st.integers(0, 3),
    VALUE,
)


class Twin:
    """One study, to which the same things happen as to its twin."""

    def __init__(self, make: Make, direction: Any) -> None:
        self._make = make
        self.study = optuna.create_study(direction=direction, study_name="twin", pruner=make())
        self.live: list[optuna.Trial] = []

    def apply(self, kind: str, index: int, value: float) -> bool | None:
        """Apply an event; returns the verdict after a report."""
        if kind == "resume":
            self.study.pruner = self._make()
            self.live = [optuna.Trial(self.study, trial._trial_id) for trial in self.live]
        elif kind == "start" or not self.live:
            self.live.append(self.study.ask())
        elif kind == "report":
            trial = self.live[index % len(self.live)]
            trial.report(value, len(self.study.trials[trial.number].intermediate_values))
            return trial.should_prune()
        else:
            trial = self.live.pop(index % len(self.live))
            values = self.study.trials[trial.number].intermediate_values
            state = {"prune": TrialState.PRUNED, "fail": TrialState.FAIL}.get(kind, TrialState.COMPLETE)
            is_complete = state == TrialState.COMPLETE
            result = values.get(len(values) - 1, 0.0)
            self.study.tell(trial, np.nan_to_num(result) if is_complete else None, state)
        return None

    @property
    def attributes(self) -> list[dict[str, Any]]:
        return [trial.system_attrs for trial in self.study.trials]


@pytest.mark.parametrize("name", [name for name in PAIRS if name not in ("median", "percentile", "patient")])
@given(
    events=st.lists(EVENT, min_size=10, max_size=60),
    direction=st.sampled_from(["minimize", "maximize"]),
)
@settings(max_examples=30, deadline=None)
def test_each_verdict_is_optunas(name: str, events: list[Any], direction: str) -> None:
    if name.endswith("auto"):  # what the first trial shows is as good as if it had been given
        events = [("start", 0, 0.0), *[("report", 0, 1.0)] * 6, ("complete", 0, 1.0), *events]
    if name == "hyperband auto":  # a new session derives other brackets
        events = [event for event in events if event[0] != "resume"]
    check_verdicts(name, events, direction, obeys=name != "wilcoxon")


@pytest.mark.parametrize("name", ["median", "percentile", "patient"])
@given(
    events=st.lists(EVENT, min_size=10, max_size=60),
    direction=st.sampled_from(["minimize", "maximize"]),
)
@settings(max_examples=30, deadline=None)
def test_each_verdict_is_optunas_if_complete_trials_have_all_steps(
    name: str, events: list[Any], direction: str
) -> None:
    # Only then the last value up to a step is the value at the step.
    check_verdicts(name, events, direction, complete_at=6)


def check_verdicts(
    name: str, events: list[Any], direction: str, complete_at: int = 0, obeys: bool = False
) -> None:
    """Check that ours and Optuna's decide the same.

    Args:
        name: the pair of pruners.
        events: what happens to the trials of both.
        direction: that of the studies.
        complete_at: the number of reports of each complete trial; 0 for any number.
        obeys: whether a trial reports nothing more after a verdict to prune it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs, ours = (Twin(make, direction) for make in PAIRS[name])
        for kind, index, value in events:
            steps = []
            if complete_at and ours.live:
                trial = ours.live[index % len(ours.live)]
                steps = ours.study.trials[trial.number].intermediate_values
            if complete_at and kind == "report" and len(steps) >= complete_at:
                continue
            if complete_at and kind == "complete":
                for _ in range(complete_at - len(steps) if ours.live else 0):
                    found = ours.apply("report", index, value)
                    assert found == theirs.apply("report", index, value)
            verdict = ours.apply(kind, index, value)
            assert verdict == theirs.apply(kind, index, value)
            if obeys and verdict:
                assert ours.apply("prune", index, value) == theirs.apply("prune", index, value)
        first = int(name.endswith("auto"))  # no rung was known before the first trial was complete
        assert ours.attributes[first:] == theirs.attributes[first:]


@given(
    values=st.lists(VALUE.filter(lambda value: value == value), min_size=1, max_size=30),
    percentile=st.floats(0, 100),
)
def test_percentiles_of_sorted_values_are_numpys(values: list[float], percentile: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = np.nanpercentile(np.array(values), percentile)
    found = _percentile(array("d", sorted(values)), percentile)
    assert found == expected or (found != found and expected != expected)


# Counted visits.

VISITS: Counter[int] = Counter()


class CountingTrial(FrozenTrial):
    """A trial that counts how often one of its attributes is read."""

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("__"):
            VISITS[object.__getattribute__(self, "__dict__").get("_number", -1)] += 1
        return object.__getattribute__(self, name)


def finished(number: int) -> FrozenTrial:
    trial = create_trial(
        value=float(number % 7),
        intermediate_values={step: float((number + step) % 11) for step in range(9)},
    )
    trial.number = number
    trial.__class__ = CountingTrial
    return trial


class ListStudy:
    """A study that returns the trials of a list, as they are."""

    study_name = "list"
    direction = StudyDirection.MINIMIZE
    _study_id = 0

    def __init__(self, count: int) -> None:
        self.all = [finished(number) for number in range(count)]
        self._storage = self
        self.pruner: BasePruner

    def add_running(self) -> FrozenTrial:
        trial = create_trial(state=TrialState.RUNNING)
        trial.number = trial._trial_id = len(self.all)
        self.all.append(trial)
        return trial

    def get_trials(self, deepcopy: bool = True, states: Any = None) -> list[FrozenTrial]:
        assert not deepcopy
        return self.all if states is None else [trial for trial in self.all if trial.state in states]

    def set_trial_system_attr(self, number: int, key: str, value: Any) -> None:
        self.all[number].system_attrs[key] = value


@pytest.fixture(autouse=True)
def no_visits() -> Iterator[None]:
    VISITS.clear()
    yield
    VISITS.clear()


COUNTED: dict[str, Make] = {
    **{name: pair[1] for name, pair in PAIRS.items()},
    "bands": lambda: BandsPruner(min_iter=1, eta=2),
}


@pytest.mark.parametrize("name", COUNTED)
def test_a_verdict_looks_at_no_finished_trial_again(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study, pruner = ListStudy(2000), COUNTED[name]()
        trial = study.add_running()
        other = study.add_running()
        for step in range(9):
            for running in (trial, other):
                running.intermediate_values[step] = float(step + running.number)
                pruner.prune(study, running)  # type: ignore[arg-type]
            if step == 4:
                VISITS.clear()
    best = 0 if name == "wilcoxon" else None  # it is compared with
    assert sorted(number for number in VISITS if number != best) == []


@pytest.mark.parametrize("keys", [{"direction": "minimize"}, {"directions": ["minimize", "maximize"]}])
@pytest.mark.parametrize("counted", [False, True])
def test_the_view_of_a_pruner_does_not_look_at_finished_trials_again(
    keys: dict[str, Any], counted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = optuna.create_study(**keys)
    pruning = Pruning(study, LastValuePercentilePruner(50), len(study.directions) - 1, counted)
    trials = [finished(number) for number in range(200)]
    for trial in trials:
        trial.values = [1.0] * len(study.directions)
    running = study.ask()
    trials.append(study.trials[0])
    trials[-1].number = 200
    monkeypatch.setattr(study._storage, "get_all_trials", lambda *_, **__: trials)
    pruning.report(running, 0, 1.0)
    pruning.should_prune(running)
    VISITS.clear()
    pruning.report(running, 1, 1.0)
    pruning.should_prune(running)
    assert not VISITS


class CountingReports(dict[int, float]):
    """Reports that count how many of them are read."""

    def __init__(self) -> None:
        self.read = 0

    def items(self) -> Any:
        return self

    def __reversed__(self) -> Iterator[Any]:
        for step in reversed(list(self.keys())):
            self.read += 1
            yield step, self[step]


def test_a_verdict_of_the_percentile_pruner_looks_at_new_reports_only() -> None:
    study, pruner = ListStudy(20), LastValuePercentilePruner(50)
    trial = study.add_running()
    trial.intermediate_values = reports = CountingReports()
    for step in range(300):
        reports[step] = -1.0
        assert not pruner.prune(study, trial)  # type: ignore[arg-type]
    assert reports.read == 300
