"""W&B's hyperband, compared with cases that were calculated manually from its rule.

A band's threshold is `sorted(values at the band)[int(n / eta)]`; a trial that is
worse at the last band that it has passed is stopped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState, create_trial

from sweep.study.bands_pruner import BandsPruner

RUNNING, COMPLETE, PRUNED, FAIL = TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL


def resolve_state(
    pruner: BandsPruner,
    mine: Sequence[float],
    *others: Sequence[float],
    direction: str = "minimize",
    states: Sequence[TrialState] = (),
) -> bool:
    """Whether a trial that reported `mine` is stopped, among `others`; these are complete by default."""
    study = optuna.create_study(direction=direction, pruner=pruner)
    for index, values in enumerate(others):
        state = states[index] if index < len(states) else COMPLETE
        study.add_trial(
            create_trial(
                state=state,
                value=0.0 if state == COMPLETE else None,
                intermediate_values=dict(enumerate(values)),
            )
        )
    trial = study.ask()
    for step, value in enumerate(mine):
        trial.report(value, step)
    return trial.should_prune()


@pytest.mark.parametrize(
    ("options", "bands"),
    [
        ({"max_iter": 27, "s": 2, "eta": 3}, [3, 9]),
        ({"max_iter": 27, "s": 9, "eta": 3}, [1, 3, 9]),
        ({"max_iter": 5, "s": 2, "eta": 2}, [1, 2]),
        ({"max_iter": 100, "s": 3, "eta": 2.5}, [6, 16, 40]),
        ({"min_iter": 4, "max_iter": 27, "s": 1}, [9]),
    ],
)
def test_bands_below_max_iter(options: dict[str, Any], bands: list[int]) -> None:
    assert BandsPruner(**options).bands == bands


def test_bands_from_min_iter_on() -> None:
    assert BandsPruner(min_iter=3).bands[:4] == [3, 9, 27, 81]
    assert BandsPruner(min_iter=2, eta=1.5).bands[:5] == [2, 3, 4, 6, 10]
    assert len(BandsPruner(min_iter=3).bands) == 100
    assert len(BandsPruner(min_iter=3, eta=1e30).bands) == 11, "as long as they are numbers"


@pytest.mark.parametrize("options", [{}, {"max_iter": 2, "s": 3}, {"max_iter": 27}])
def test_without_a_band_there_is_no_pruner(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="there is no band"):
        BandsPruner(**options)


HALVES = {"max_iter": 5, "s": 2, "eta": 2}
"""Bands 1 and 2."""


def test_the_example_in_the_documentation_of_the_rule() -> None:
    a, b, c, d, e = [10, 9], [10, 10], [10, 8, 8], [10, 7, 7], [10, 6, 6]
    # Values at band 2, sorted: 6 7 8 9 10; the threshold is the one at int(5 / 2) = 2, which is 8.
    pruner = BandsPruner(**HALVES)
    assert resolve_state(pruner, b, a, c, d, e)
    assert not resolve_state(BandsPruner(**HALVES), c, a, b, d, e), "as good as the threshold is good enough"
    assert not resolve_state(BandsPruner(**HALVES), d, a, b, c, e)


def test_before_the_first_band_no_trial_is_stopped() -> None:
    assert not resolve_state(BandsPruner(min_iter=3), [99, 99], [1, 1, 1], [2, 2, 2], [3, 3, 3])
    assert resolve_state(BandsPruner(min_iter=3), [99, 99, 99], [1, 1, 1], [2, 2, 2], [3, 3, 3])


def test_the_last_band_passed_counts() -> None:
    # Bands 1 and 2. At band 1 it was best; at band 2, among 1 2 5, the threshold at int(3 / 2) = 1 is 2.
    others = [3, 1], [4, 2]
    assert not resolve_state(BandsPruner(**HALVES), [2.5], *others)
    assert resolve_state(BandsPruner(**HALVES, strict=True), [2.5, 5], *others)


def test_only_strict_ignores_values_better_than_at_the_band() -> None:
    # Its best is 1.5, at the band it has 5: values at band 2 are 1 2 5, the threshold is 2.
    others = [3, 1], [4, 2]
    assert not resolve_state(BandsPruner(**HALVES), [1.5, 5], *others)
    assert resolve_state(BandsPruner(**HALVES, strict=True), [1.5, 5], *others)


def test_an_improvement_after_the_band_saves_a_trial_unless_strict() -> None:
    others = [3, 1, 1], [4, 2, 2]
    assert not resolve_state(BandsPruner(**HALVES), [5, 5, 0], *others)
    assert resolve_state(BandsPruner(**HALVES, strict=True), [5, 5, 0], *others)


def test_values_are_maximized_if_that_is_the_goal() -> None:
    # At band 1, best first: 9 8 2; the threshold at int(3 / 2) = 1 is 8.
    assert resolve_state(BandsPruner(**HALVES), [2], [9], [8], direction="maximize")
    assert not resolve_state(BandsPruner(**HALVES), [8], [9], [2], direction="maximize")
    assert not resolve_state(BandsPruner(**HALVES), [2], [9], [8], direction="minimize")


@pytest.mark.parametrize("state", [COMPLETE, PRUNED, FAIL, RUNNING])
def test_trials_of_every_state_count(state: TrialState) -> None:
    assert resolve_state(BandsPruner(**HALVES), [5], [1], [2], states=[state, state])


def test_a_trial_that_did_not_reach_the_band_does_not_count() -> None:
    # At band 2 only 3 (the other one) and 5: the threshold at int(2 / 2) = 1 is 5.
    assert not resolve_state(BandsPruner(**HALVES, strict=True), [5, 5], [1], [2], [3, 3])


def test_a_single_trial_continues() -> None:
    assert not resolve_state(BandsPruner(**HALVES), [5, 6, 7])


def test_values_that_are_not_finite_do_not_count_as_iterations() -> None:
    # min_iter 2: the trial has reported two numbers with its fourth report.
    pruner = BandsPruner(min_iter=2, eta=2)
    others = [1, 1], [math.nan, 2, math.inf, 2]
    assert not resolve_state(pruner, [math.nan, 9, math.inf], *others)
    assert resolve_state(BandsPruner(min_iter=2, eta=2), [math.nan, 9, math.inf, 9], *others)
    assert not resolve_state(BandsPruner(min_iter=1), [math.nan, math.nan])


def test_steps_are_counted_not_measured() -> None:
    pruner = BandsPruner(min_iter=2, eta=2)
    study = optuna.create_study(pruner=pruner)
    for value in (1.0, 2.0):
        trial = study.ask()
        trial.report(value, 100)
        trial.report(value, 200)
        study.tell(trial, value)
    trial = study.ask()
    trial.report(9.0, 1000)
    assert not trial.should_prune(), "its first report"
    trial.report(9.0, 5000)
    assert trial.should_prune(), "its second"


def test_a_trial_that_has_passed_a_band_can_be_stopped_later_by_better_ones() -> None:
    study = optuna.create_study(pruner=BandsPruner(min_iter=1, eta=2))
    early = study.ask()
    early.report(5.0, 0)
    assert not early.should_prune()
    for value in (1.0, 2.0):
        trial = study.ask()
        trial.report(value, 0)
        study.tell(trial, value)
    assert early.should_prune()


def test_one_in_eta_trials_continues() -> None:
    # With eta 3 and 6 values the threshold is the one at int(6 / 3) = 2: the third best can continue too.
    others = [[float(value)] for value in range(5)]
    assert not resolve_state(BandsPruner(min_iter=1, eta=3), [2.0], *others)
    assert resolve_state(BandsPruner(min_iter=1, eta=3), [2.5], *others)
