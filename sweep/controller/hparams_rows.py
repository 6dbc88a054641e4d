"""The rows of the HParams tab, as far as the controller knows them: the columns, and how each run ended."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.controller.runs import LiveRun, LiveTrial, make_runs
from sweep.controller.trial_files import TrialFiles
from sweep.space import SearchSpace
from sweep.space.columns import cells, columns
from sweep.sweepfile import SweepSpec
from sweep.tracking.hparams import Cell, Session, cells_of_suggested, group_name
from sweep.tracking.root import declare_experiment
from sweep.tracking.run_logger import best_tag


@dataclass(frozen=True)
class _End:
    """What TensorBoard has to be told of a run that is over, once that is durable."""

    run: LiveRun
    success: bool
    is_whole: bool


class HParamsRows:
    """Makes the rows of a sweep's trials, and tells TensorBoard how they ended.

    What TensorBoard has been told stands for ever: ends are noted first, and told when they are durable.

    Args:
        spec: the sweep.
        space: its search space.
        root: its directory.
        files: those of its trials.
    """

    def __init__(self, spec: SweepSpec, space: SearchSpace, root: Path, files: TrialFiles) -> None:
        self._spec = spec
        self._space = space
        self._root = root
        self._files = files
        self._columns = columns(space)
        self._ends: list[_End] = []

    def declare(self) -> None:
        """Write the columns, unless they are there already.

        Of parameters that the objective asks for nobody knows the columns: without this record TensorBoard
        finds them, with their types, in the rows. A late one would freeze them.
        """
        if self._space.is_open:
            return
        spec = self._spec
        description = f"{spec.name}: {spec.aim} of {spec.work}"
        declare_experiment(self._root, self._columns.values(), self._metric_tags(), description)

    def session(self, trial: optuna.Trial | FrozenTrial, params: Mapping[str, Any]) -> Session:
        """The row of a trial that begins now.

        Args:
            trial: Optuna's.
            params: all its parameters.
        """
        return Session(self._cells(trial, params), group_name(self._spec.name, trial.number), time.time())

    def found(self, live: LiveTrial) -> None:
        """A trial has asked for a parameter: it belongs to its row."""
        for run in live.runs:
            run.session = replace(run.session, cells=self._cells(live.trial, live.params))

    def _cells(self, trial: optuna.Trial | FrozenTrial, params: Mapping[str, Any]) -> dict[str, Cell]:
        if self._space.is_open:
            return cells_of_suggested(params, trial.distributions)
        return cells(self._columns, params)

    def note_end(self, live: LiveTrial, run: LiveRun, is_whole: bool) -> None:
        """A run is over; `tell_ends` says so later.

        Args:
            live: its trial.
            run: the run.
            is_whole: whether its worker has closed its event file.
        """
        self._ends.append(_End(run, _success(live, run), is_whole))

    def tell_ends(self) -> None:
        """Tell TensorBoard which runs are over, now that it is durable."""
        ends, self._ends = self._ends, []
        for end in ends:
            self._files.tell_end(*end.run.key, end.run.session, end.success, end.is_whole)

    def make_up_end(self, live: LiveTrial, run: LiveRun) -> None:
        """Tell TensorBoard that a run is over, which it may have been told before."""
        self._files.make_up_end(*run.key, run.session, _success(live, run), time.time())

    def tell_last(self, trials: Iterable[FrozenTrial], sweep_seed: int) -> None:
        """Tell TensorBoard what a former session recorded but did not live to tell: its last outcome."""
        ended = {trial.datetime_complete: trial for trial in trials if trial.datetime_complete is not None}
        if ended:
            moment = max(ended)
            last = ended[moment]
            session = self.session(last, self._space.complete(last.params))
            success = last.state != TrialState.FAIL
            for run in make_runs(self._spec, last.number, sweep_seed, session, last.user_attrs):
                if run.attempt > 0:
                    succeeded = success or run.value is not None
                    self._files.make_up_end(*run.key, session, succeeded, moment.timestamp())

    def _metric_tags(self) -> list[str]:
        """What TensorBoard shows beside the parameters: it ticks five. The metric itself stands first."""
        spec = self._spec
        others = [
            name for name in (*(goal.name for goal in spec.goals), *spec.limits) if name != spec.metric.name
        ]
        return list(dict.fromkeys([spec.metric.name, best_tag(spec.metric.name), *others]))


def _success(live: LiveTrial, run: LiveRun) -> bool:
    """Whether a run did its work; one whose trial was pruned did."""
    return run.value is not None or live.verdict is None or live.verdict.state != "FAIL"
