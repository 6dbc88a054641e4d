"""`HParamsWriter`: writes the sweep's columns and the ends of its runs for TensorBoard's HParams tab."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.controller.runs import LiveRun, LiveTrial, make_runs
from sweep.space import SearchSpace
from sweep.space.columns import cells, columns
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from sweep.tracking.foreign import clean_up
from sweep.tracking.hparams import Cell, Session, cells_of_suggested, group_name
from sweep.tracking.read import has_ended
from sweep.tracking.root import declare_experiment, end_session
from sweep.tracking.run_logger import best_tag


class HParamsWriter:
    """Creates the rows of a sweep's trials, and writes the columns and how each run ended.

    TensorBoard keeps the first end that it reads. So ends are collected, and only written once they are
    durable in the study.

    Args:
        spec: the sweep.
        space: its search space.
        directory: its directory. A file in it that cannot be read or written is skipped.
    """

    def __init__(self, spec: SweepSpec, space: SearchSpace, directory: SweepDirectory) -> None:
        self._spec = spec
        self._space = space
        self._directory = directory
        self._columns = columns(space)
        self._ends: list[tuple[LiveRun, bool, bool]] = []

    def declare_columns(self) -> None:
        """Write the columns, unless they have been written.

        A define-by-run sweep has no record of columns: TensorBoard then takes the columns and their types
        from the rows, while a record would freeze them.
        """
        if not self._space.is_define_by_run:
            spec = self._spec
            description = f"{spec.name}: {spec.goals_text} of {spec.entry_point}"
            declare_experiment(self._directory.root, self._columns.values(), self._metric_tags(), description)

    def session(self, trial: optuna.Trial | FrozenTrial, params: Mapping[str, Any]) -> Session:
        """The row of a trial that starts now.

        Args:
            trial: Optuna's trial.
            params: all its parameters.
        """
        return Session(self._cells(trial, params), group_name(self._spec.name, trial.number), time.time())

    def update_cells(self, live: LiveTrial) -> None:
        """Add a parameter to the row of a define-by-run trial that has just sampled it."""
        for run in live.runs:
            run.session = replace(run.session, cells=self._cells(live.trial, live.params))

    def _cells(self, trial: optuna.Trial | FrozenTrial, params: Mapping[str, Any]) -> dict[str, Cell]:
        if self._space.is_define_by_run:
            return cells_of_suggested(params, trial.distributions)
        return cells(self._columns, params)

    def add_end(self, live: LiveTrial, run: LiveRun, is_whole: bool) -> None:
        """Collect the end of a run for `write_ends`.

        Args:
            live: the trial.
            run: the run.
            is_whole: whether its worker has closed the run's event file.
        """
        self._ends.append((run, _is_success(live, run), is_whole))

    def write_ends(self) -> None:
        """Write the ends that were collected, now that they are durable in the study."""
        ends, self._ends = self._ends, []
        for run, is_success, is_whole in ends:
            with suppress(OSError):
                end_session(self._root(run), run.session, is_success, is_whole, time.time())

    def restore_end(self, live: LiveTrial, run: LiveRun) -> None:
        """Write the end of a run that finished in an earlier session, unless that session wrote it."""
        self._write_missing_end(run, _is_success(live, run), time.time())

    def restore_last_end(self, trials: Iterable[FrozenTrial], sweep_seed: int) -> None:
        """Write the end of the trial that finished last, unless the session that recorded it did."""
        finished = [trial for trial in trials if trial.datetime_complete is not None]
        if finished:
            last = max(finished, key=lambda trial: (trial.datetime_complete, trial.number))
            assert last.datetime_complete is not None
            session = self.session(last, self._space.complete(last.params))
            for run in make_runs(self._spec, last.number, sweep_seed, session, last.user_attrs):
                if run.attempt > 0:
                    is_success = last.state != TrialState.FAIL or run.value is not None
                    self._write_missing_end(run, is_success, last.datetime_complete.timestamp())

    def _write_missing_end(self, run: LiveRun, is_success: bool, ended: float) -> None:
        with suppress(OSError):
            clean_up(self._root(run))  # the end that another writer has recorded does not count
            if not has_ended(self._root(run)):
                end_session(self._root(run), run.session, is_success, False, ended)

    def _root(self, run: LiveRun) -> Path:
        return self._directory.trial(run.number, run.label).root

    def _metric_tags(self) -> list[str]:
        """The tags of the metric columns. TensorBoard shows the first five by default."""
        spec = self._spec
        first = [spec.metric.name, best_tag(spec.metric.name)]
        return list(dict.fromkeys([*first, *(goal.name for goal in spec.goals), *spec.limits]))


def _is_success(live: LiveTrial, run: LiveRun) -> bool:
    """Whether a run succeeded. A run of a pruned trial counts as a success."""
    return run.value is not None or live.decision is None or live.decision.state != "FAIL"
