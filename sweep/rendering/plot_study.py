"""`PlotStudy` and `PlotTrials`: a study for Optuna's plots, with the sweep's own parameters.

Optuna samples some parameters as other values: a named distribution as a number from 0 to 1, lists as JSON.
Plotly interprets a subset of HTML in every label, so names and choices are escaped here, once for all plots.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from sweep.analysis import formatting as text
from sweep.analysis.view import SweepView
from sweep.space import SearchSpace
from sweep.sweepfile.model import Goal
from sweep.sweepfile.parameters import Choice, Constant, Distribution, Range
from sweep.sweepfile.types import Scalar

_MAX_LABELS = 50
"""The number of choices from which on the numbers among them are rounded."""


def label(content: str) -> str:
    """A text that Plotly shows as it is: without markup, and without templates (`%{x}`)."""
    return html.escape(text.printable(content), quote=False).replace("%{", "&#37;{")


class PlotStudy(optuna.Study):
    """A study with given trials, which keep their numbers.

    Args:
        name: the study's name.
        trials: the trials.
        metrics: the metrics with a goal, by name; the value is minimize or maximize.
    """

    def __init__(self, name: str, trials: Sequence[FrozenTrial], metrics: Mapping[str, Goal]) -> None:
        storage = InMemoryStorage()
        optuna.create_study(study_name=name, storage=storage, directions=list(metrics.values()))
        super().__init__(name, storage)
        self.set_metric_names(list(metrics))
        self._shown = list(trials)

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The trials; never copies, since plots do not modify them and ask for them once a parameter."""
        return [trial for trial in self._shown if states is None or trial.state in states]


class PlotTrials:
    """Converts the trials of a sweep for plots.

    Args:
        view: the sweep.
        goals: the indices of the goals whose values are plotted.

    Attributes:
        parameters: the parameters that are not constant and that some trial has, by their names.
    """

    def __init__(self, view: SweepView, goals: Sequence[int]) -> None:
        self._view = view
        self._goals = goals
        self._params = [view.params(trial) for trial in view.frozen_trials]
        self.parameters = _parameters(view, self._params)

    def shown(self) -> list[FrozenTrial]:
        """The trials with the values of the sweep's own parameters."""
        trials = []
        for trial, params in zip(self._view.frozen_trials, self._params, strict=True):
            found = {
                self.parameters[name]: value for name, value in params.items() if name in self.parameters
            }
            values = {parameter.key: parameter.convert(value) for parameter, value in found.items()}
            distributions = {parameter.key: parameter.distribution for parameter in found}
            trials.append(self._trial(trial, values, distributions))
        return trials

    def sampled(self) -> list[FrozenTrial]:
        """The trials with what Optuna sampled, under the names of the parameters.

        Importance depends on the distributions: so it is that which `optuna.importance` has for the study.
        """
        variables = SearchSpace.of(self._view.spec).variables.values()
        names = {variable.key: label(variable.name) for variable in variables}
        if self._view.spec.is_define_by_run:
            names = {name: parameter.key for name, parameter in self.parameters.items()}
        return [
            self._trial(
                trial,
                {names[key]: value for key, value in trial.params.items() if key in names},
                {names[key]: value for key, value in trial.distributions.items() if key in names},
            )
            for trial in self._view.frozen_trials
        ]

    def _trial(
        self, trial: FrozenTrial, params: dict[str, Any], distributions: dict[str, BaseDistribution]
    ) -> FrozenTrial:
        """A trial for a plot.

        A complete trial with a value that is not finite counts as failed: no plot has a place for it.
        """
        values = [trial.values[goal] for goal in self._goals] if trial.state == TrialState.COMPLETE else None
        state = TrialState[self._view.state_of(trial)]
        if values is not None and not all(map(math.isfinite, values)):
            state, values = TrialState.FAIL, None
        return FrozenTrial(
            number=trial.number,
            trial_id=trial.number,
            state=state,
            value=None,
            values=values,
            datetime_start=trial.datetime_start,
            datetime_complete=trial.datetime_complete,
            params=params,
            distributions=distributions,
            user_attrs={},  # Optuna's texts would contain them, also those that a sweep stores for itself
            system_attrs=trial.system_attrs,
            intermediate_values=trial.intermediate_values,
        )


@dataclass(frozen=True)
class PlotParameter:
    """A parameter as plots show it.

    Args:
        key: its name as a label.
        distribution: from what its values are.
        convert: returns the shown value for a value.
    """

    key: str
    distribution: BaseDistribution
    convert: Callable[[Any], Any]


def _parameters(view: SweepView, params: Iterable[Mapping[str, Any]]) -> dict[str, PlotParameter]:
    values: dict[str, list[Any]] = {}
    for configuration in params:
        for name, value in configuration.items():
            values.setdefault(name, []).append(value)
    if view.spec.is_define_by_run:
        suggested = {name: kind for trial in view.frozen_trials for name, kind in trial.distributions.items()}
        return {name: _suggested(name, kind, values[name]) for name, kind in suggested.items()}
    return {
        name: _declared(name, parameter, values[name])
        for name, parameter in SearchSpace.of(view.spec).parameters.items()
        if name in values and not isinstance(parameter, Constant)
    }


def _suggested(name: str, distribution: BaseDistribution, values: Sequence[Any]) -> PlotParameter:
    if isinstance(distribution, CategoricalDistribution):
        return _choice(name, distribution.choices)
    is_log = isinstance(distribution, (FloatDistribution, IntDistribution)) and distribution.log
    return _numbers(name, values, is_log)


def _declared(name: str, parameter: Choice | Range | Distribution, values: Sequence[Any]) -> PlotParameter:
    if isinstance(parameter, Choice):
        return _choice(name, parameter.values)
    is_log = parameter.log if isinstance(parameter, Range) else "log" in parameter.distribution
    if all(map(_is_number, values)):
        return _numbers(name, values, is_log)
    return _mixed(name, values)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _numbers(name: str, values: Sequence[Any], is_log: bool) -> PlotParameter:
    low, high = min(values), max(values)
    is_log = is_log and low > 0
    if all(isinstance(value, int) for value in values):
        return PlotParameter(label(name), IntDistribution(low, high, log=is_log), int)
    return PlotParameter(label(name), FloatDistribution(float(low), float(high), log=is_log), float)


def _choice(name: str, choices: Sequence[Any]) -> PlotParameter:
    scalars = [choice for choice in choices if isinstance(choice, Scalar)]
    is_plain = len(set(scalars)) == len(choices)  # otherwise there are lists, or both true and 1

    def convert(value: Any) -> Any:
        if not is_plain:
            return label(json.dumps(value, ensure_ascii=False))
        return label(value) if isinstance(value, str) else value

    distribution = CategoricalDistribution([convert(choice) for choice in choices])
    return PlotParameter(label(name), distribution, convert)


def _mixed(name: str, values: Sequence[Any]) -> PlotParameter:
    """A range of numbers with alternatives that are not: categories, the numbers first."""
    numbers = {value for value in values if _is_number(value)}
    digits = 4 if len(numbers) <= _MAX_LABELS else 1

    def convert(value: Any) -> str:
        return f"{value:.{digits}g}" if _is_number(value) else label(str(value))

    others = sorted({convert(value) for value in values if not _is_number(value)})
    labels = list(dict.fromkeys([*map(convert, sorted(numbers)), *others]))
    return PlotParameter(label(name), CategoricalDistribution(labels), convert)


def thinned(trials: Sequence[FrozenTrial], limit: int, goal: str = "minimize") -> list[FrozenTrial]:
    """At most `limit` trials: the best half of them, and an even sample of the others.

    Args:
        trials: the trials.
        limit: how many.
        goal: minimize or maximize.
    """
    if len(trials) <= limit:
        return list(trials)
    valued = [trial for trial in trials if trial.values]
    sign = 1 if goal == "minimize" else -1
    best = sorted(valued, key=lambda trial: sign * trial.values[0])[: limit // 2]
    numbers = {trial.number for trial in best}
    others = [trial for trial in trials if trial.number not in numbers]
    count = limit - len(best)
    sample = [others[index * len(others) // count] for index in range(count)]
    return sorted([*best, *sample], key=lambda trial: trial.number)
