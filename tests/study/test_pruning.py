"""Pruning by one of several objectives, and after an interruption."""

from __future__ import annotations

import warnings
from copy import deepcopy
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna import pruners
from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from sweep.study.bands_pruner import BandsPruner
from sweep.study.percentile_pruner import LastValuePercentilePruner
from sweep.study.pruning import Pruning
from sweep.study.rungs_pruner import BracketsPruner, RungsPruner
from sweep.study.wilcoxon_pruner import BestTrialWilcoxonPruner

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


class Sweep:
    """A study with its pruning. `values` of a trial are (its number, the reported metric)."""

    def __init__(self, pruner: BasePruner, path: Path | None = None, **keys: Any) -> None:
        keys = keys or {"directions": ["minimize", "maximize"]}
        storage = None if path is None else JournalStorage(JournalFileBackend(str(path)))
        self.study = optuna.create_study(
            study_name="demo", storage=storage, load_if_exists=True, sampler=RandomSampler(1), **keys
        )
        self.pruning = Pruning(self.study, pruner, objective=len(self.study.directions) - 1)

    def start(self, *reports: float) -> optuna.Trial:
        trial = self.study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        self.report(trial, *reports)
        return trial

    def report(self, trial: optuna.Trial, *reports: float, first: int = 0) -> None:
        for step, value in enumerate(reports, first):
            self.pruning.report(trial, step, value)

    def restore(self, number: int) -> optuna.Trial:
        return optuna.Trial(self.study, self.study.trials[number]._trial_id)

    def finish(self, trial: optuna.Trial, value: float, state: TrialState = TrialState.COMPLETE) -> None:
        values = [float(trial.number), value][-len(self.study.directions) :]
        self.study.tell(trial, values if state == TrialState.COMPLETE else None, state)

    def run(self, *reports: float) -> str:
        """Run a trial that asks after each report; returns "c" (complete) or the step of its pruning."""
        trial = self.start()
        for step, value in enumerate(reports):
            self.pruning.report(trial, step, value)
            if self.pruning.should_prune(trial):
                self.finish(trial, 0.0, TrialState.PRUNED)
                return str(step)
        self.finish(trial, reports[-1])
        return "c"


CURVES = [[float((17 * number + 5 * step * number) % 31) for step in range(9)] for number in range(12)]


def all_pruners() -> list[BasePruner]:
    return [
        pruners.NopPruner(),
        pruners.MedianPruner(n_startup_trials=1),
        pruners.PercentilePruner(75.0, n_startup_trials=2, interval_steps=2),
        pruners.SuccessiveHalvingPruner(),
        pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=2),
        pruners.HyperbandPruner(max_resource=9),
        pruners.ThresholdPruner(lower=3.0),
        pruners.PatientPruner(pruners.MedianPruner(n_startup_trials=1), patience=1),
        pruners.WilcoxonPruner(),
        BandsPruner(min_iter=2, eta=2),
        LastValuePercentilePruner(75, n_startup_trials=2, interval_steps=2),
        RungsPruner(),
        RungsPruner(min_resource=2, reduction_factor=2),
        BracketsPruner(max_resource=9),
        BestTrialWilcoxonPruner(),
    ]


@pytest.mark.parametrize(
    "index", range(len(all_pruners())), ids=lambda i: f"{type(all_pruners()[i]).__name__}-{i}"
)
def test_with_several_objectives_a_pruner_decides_as_with_the_reported_one_alone(index: int) -> None:
    one = Sweep(all_pruners()[index], direction="maximize")
    two = Sweep(all_pruners()[index])
    endings = [one.run(*curve) for curve in CURVES]
    assert [two.run(*curve) for curve in CURVES] == endings
    if index not in (0, 8, 14):
        assert {"c"} < set(endings)


@pytest.mark.parametrize(
    "index", range(len(all_pruners())), ids=lambda i: f"{type(all_pruners()[i]).__name__}-{i}"
)
def test_an_interruption_does_not_change_what_is_pruned(tmp_path: Path, index: int) -> None:
    whole = Sweep(all_pruners()[index], tmp_path / "whole")
    expected = [whole.run(*curve) for curve in CURVES]
    found = []
    for curve in CURVES:  # a new session for each trial, and another one in the middle of it
        trial = Sweep(all_pruners()[index], tmp_path / "parts").start(*[])
        number = trial.number
        ending = "c"
        sweep = Sweep(all_pruners()[index], tmp_path / "parts")
        trial = sweep.restore(number)
        for step, value in enumerate(curve):
            if step == 4:
                sweep = Sweep(all_pruners()[index], tmp_path / "parts")
                trial = sweep.restore(number)
            sweep.report(trial, value, first=step)
            if sweep.pruning.should_prune(trial):
                ending = str(step)
                break
        state = TrialState.COMPLETE if ending == "c" else TrialState.PRUNED
        sweep.finish(trial, curve[-1], state)
        found.append(ending)
    assert found == expected


@pytest.mark.parametrize(
    ("earlier", "now"),
    [
        (RungsPruner(min_resource=4, reduction_factor=2), RungsPruner(min_resource=1, reduction_factor=2)),
        (RungsPruner(min_resource=1, reduction_factor=4), RungsPruner(min_resource=1, reduction_factor=2)),
        (RungsPruner(min_resource=1, reduction_factor=2), BracketsPruner(max_resource=9, reduction_factor=2)),
        (BracketsPruner(max_resource=9), RungsPruner(min_resource=2, reduction_factor=2)),
        (pruners.NopPruner(), RungsPruner(min_resource=1, reduction_factor=2)),
    ],
    ids=["first rung", "factor", "to hyperband", "to asha", "from none"],
)
def test_rungs_that_change_in_a_new_session_are_compared_at_their_own_steps(
    tmp_path: Path, earlier: BasePruner, now: BasePruner
) -> None:
    changed = Sweep(earlier, tmp_path / "changed")
    for curve in CURVES[:6]:
        changed.run(*curve)
    reported = [trial.intermediate_values for trial in changed.study.trials]
    endings = [Sweep(deepcopy(now), tmp_path / "changed").run(*curve) for curve in CURVES[6:]]
    # The same reports, without anything that another pruner has stored.
    clean = Sweep(pruners.NopPruner(), tmp_path / "clean")
    for reports in reported:
        clean.run(*reports.values())
    assert endings == [Sweep(deepcopy(now), tmp_path / "clean").run(*curve) for curve in CURVES[6:]]
    assert len({"c", *endings}) > 1


def test_a_trial_that_continues_in_a_new_session_is_judged_at_the_new_rungs(tmp_path: Path) -> None:
    sweep = Sweep(RungsPruner(min_resource=1, reduction_factor=2), tmp_path / "journal")
    sweep.finish(sweep.start(*[5.0] * 9), 5.0)
    trial = sweep.start()
    for step, value in enumerate([9.0, 9.0, 9.0, 1.0]):
        sweep.report(trial, value, first=step)
        assert not sweep.pruning.should_prune(trial), "it is the best one at steps 1 and 2"
    later = Sweep(RungsPruner(min_resource=3, reduction_factor=2), tmp_path / "journal")
    assert later.pruning.should_prune(later.restore(trial.number)), "it is worse at step 3"


def test_reports_are_stored_in_the_study() -> None:
    sweep = Sweep(pruners.MedianPruner())
    trial = sweep.start(0.5, 0.7)
    sweep.report(trial, 99.0, first=1)
    assert sweep.study.trials[0].intermediate_values == {0: 0.5, 1: 0.7}, "a step keeps its first value"
    sweep.finish(trial, 0.0, TrialState.PRUNED)
    assert sweep.study.trials[0].state == TrialState.PRUNED


def test_trials_that_run_in_parallel_are_told_apart() -> None:
    sweep = Sweep(pruners.MedianPruner(n_startup_trials=1))
    first, second, third = sweep.start(), sweep.start(), sweep.start()
    sweep.report(third, 5.0)
    sweep.finish(third, 5.0)
    sweep.report(second, 9.0)
    sweep.report(first, 1.0)
    assert not sweep.pruning.should_prune(second), "larger is better here"
    assert sweep.pruning.should_prune(first)


def test_an_enqueued_trial_that_starts_after_others_keeps_its_number(tmp_path: Path) -> None:
    before = Sweep(pruners.NopPruner(), tmp_path / "journal")
    before.study.enqueue_trial({"x": 0.5})
    sweep = Sweep(pruners.MedianPruner(n_startup_trials=1), tmp_path / "journal")
    first, second = sweep.start(5.0), sweep.start(1.0)
    assert (first.number, first.params) == (0, {"x": 0.5})
    sweep.finish(first, 5.0)
    assert sweep.pruning.should_prune(second)


def test_a_failed_trial_is_not_compared_with() -> None:
    sweep = Sweep(pruners.MedianPruner(n_startup_trials=0))
    sweep.finish(sweep.start(9.0), 0.0, TrialState.FAIL)
    assert not sweep.pruning.should_prune(sweep.start(1.0))


def test_an_infeasible_trial_is_not_the_best_for_the_pruner() -> None:
    # Wilcoxon compares with the best trial, which would be the first one.
    sweep = Sweep(pruners.WilcoxonPruner(p_threshold=0.5))
    first, second = sweep.start(*[9.0] * 6), sweep.start(*[1.0] * 6)
    first.set_constraint("memory", 1.0)
    sweep.finish(first, 9.0)
    sweep.finish(second, 1.0)
    assert not sweep.pruning.should_prune(sweep.start(*[2.0] * 6))


def test_a_custom_pruner_sees_one_direction_and_the_parameters() -> None:
    seen = []

    class CustomClass(BasePruner):
        def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
            seen.append((study.direction.name, trial.number, trial.params, trial.last_step))
            return True

    sweep = Sweep(CustomClass())
    trial = sweep.start(0.5)
    assert sweep.pruning.should_prune(trial)
    assert seen == [("MAXIMIZE", 0, trial.params, 0)]


def test_hyperband_leaves_the_sampler_all_trials() -> None:
    sweep = Sweep(pruners.HyperbandPruner(max_resource=9))
    assert isinstance(sweep.study.pruner, pruners.NopPruner)
    assert isinstance(
        Sweep(pruners.HyperbandPruner(), direction="minimize").study.pruner, pruners.HyperbandPruner
    )


def test_with_one_objective_the_journal_is_optunas_own(tmp_path: Path) -> None:
    ours, plain = tmp_path / "ours", tmp_path / "plain"
    sweep = Sweep(pruners.SuccessiveHalvingPruner(), ours, direction="maximize")
    study = Sweep(pruners.SuccessiveHalvingPruner(), plain, direction="maximize").study
    for target in (sweep, study):
        trial = (
            target.start(1.0)
            if isinstance(target, Sweep)
            else target.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        )
        if isinstance(target, Sweep):
            assert not target.pruning.should_prune(trial)
            target.finish(trial, 1.0)
        else:
            trial.report(1.0, 0)
            trial.should_prune()
            target.tell(trial, 1.0)
    operations = [[line.split(",")[0] for line in path.read_text().splitlines()] for path in (ours, plain)]
    assert operations[0] == operations[1]


# Steps that trials do not share.

CURVE = st.lists(st.sampled_from([0.0, 1.0, 2.0, 3.0, float("nan")]), min_size=1, max_size=5)


@given(st.lists(CURVE, min_size=1, max_size=8), st.sampled_from([10, 50, 75]), st.integers(0, 3))
def test_at_equal_steps_the_last_values_decide_as_in_optuna(
    curves: list[list[float]], percentile: int, number: int
) -> None:
    curves = [curve + [1.5] * (6 - len(curve)) for curve in curves]
    options = {"n_startup_trials": number, "n_warmup_steps": number % 2, "interval_steps": 1 + number % 3}
    expected = Sweep(pruners.PercentilePruner(percentile, **options), direction="minimize")
    found = Sweep(LastValuePercentilePruner(percentile, **options), direction="minimize")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a percentile of NaN alone
        assert [found.run(*curve) for curve in curves] == [expected.run(*curve) for curve in curves]


def steps_of(pruner: BasePruner, curves: list[dict[int, float]], counted: bool = False) -> list[str]:
    """Run trials that report at these steps; "c" (complete) or the step at which it was pruned, for each."""
    sweep = Sweep(pruner, direction="maximize")
    sweep.pruning = Pruning(sweep.study, pruner, counted=counted)
    found = []
    for curve in curves:
        trial = sweep.start()
        for step, value in curve.items():
            sweep.pruning.report(trial, step, value)
            if sweep.pruning.should_prune(trial):
                sweep.finish(trial, 0.0, TrialState.PRUNED)
                found.append(str(step))
                break
        else:
            sweep.finish(trial, value)
            found.append("c")
    return found


def median() -> BasePruner:
    return LastValuePercentilePruner(50, n_startup_trials=2)


def test_a_trial_is_compared_with_the_last_values_not_later_than_its_step() -> None:
    complete = [{16: 0.5, 32: 0.8}, {10: 0.5, 20: 0.6, 30: 0.8}]  # two batch sizes
    assert steps_of(median(), [*complete, {12: 0.4, 24: 0.7}]) == ["c", "c", "12"]
    assert steps_of(median(), [*complete, {12: 0.5, 24: 0.52}]) == ["c", "c", "24"]
    assert steps_of(median(), [*complete, {12: 0.5, 24: 0.6}]) == ["c", "c", "c"]
    assert steps_of(median(), [*complete, {5: 0.0, 24: 0.7}]) == ["c", "c", "c"], "nothing to compare at 5"


def test_a_complete_trial_that_stopped_early_counts_at_later_steps() -> None:
    early = [{0: 0.5, 1: 0.9}, {0: 0.6, 1: 0.9}]
    assert steps_of(median(), [*early, {0: 0.7, 1: 0.9, 2: 0.9, 3: 0.9}]) == ["c", "c", "c"]
    assert steps_of(median(), [*early, {0: 0.7, 3: 0.8}]) == ["c", "c", "3"]


def test_counted_steps_are_the_numbers_of_the_reports() -> None:
    curves = [{100: 0.5, 200: 0.9}, {7: 0.5, 14: 0.9}, {1000: 0.6, 2000: 0.7}, {1: 0.4}]
    assert steps_of(median(), curves, counted=True) == ["c", "c", "2000", "1"]
    optunas = pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1)
    assert steps_of(optunas, curves, counted=True) == ["c", "c", "2000", "c"], "the first report is step 0"


@pytest.mark.parametrize("keys", [{"direction": "maximize"}, {}], ids=["one objective", "two objectives"])
def test_rungs_can_be_numbers_of_reports(keys: dict[str, Any]) -> None:
    asha = pruners.SuccessiveHalvingPruner(min_resource=1, reduction_factor=2)
    sweep = Sweep(asha, **keys)
    sweep.pruning = Pruning(sweep.study, asha, len(sweep.study.directions) - 1, counted=True)
    first, second = sweep.start(), sweep.start()
    for trial, value, factor in ((first, 5.0, 1), (second, 1.0, 1000)):
        sweep.pruning.report(trial, 0, value)
        assert not sweep.pruning.should_prune(trial), "the first report is before the first rung"
        sweep.pruning.report(trial, factor, value)
    assert not sweep.pruning.should_prune(first)
    assert sweep.pruning.should_prune(second)
    assert sweep.study.trials[1].intermediate_values == {0: 1.0, 1000: 1.0}, "the study keeps the steps"
