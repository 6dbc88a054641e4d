"""`HParamsWriter`: writes the sweep's columns and the ends of its runs for TensorBoard's HParams tab."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.controller.runs import LiveRun, LiveTrial, make_runs
from sweep.controller.trial_text import TAG, added_metrics, added_tags, trial_text
from sweep.space import SearchSpace
from sweep.space.columns import cells, columns
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory
from sweep.system.environment import environments
from sweep.tracking.events import last_host
from sweep.tracking.foreign import clean_up
from sweep.tracking.hparams import Cell, Session, cells_of_suggested, group_name
from sweep.tracking.read import has_ended
from sweep.tracking.root import declare_experiment, end_session
from sweep.tracking.run_logger import best_tag
from sweep.tracking.texts import scalar_values, text_value


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
        self._git = (0, "")
        self._ends: list[tuple[LiveTrial, LiveRun, bool]] = []

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
        self._ends.append((live, run, is_whole))

    def write_ends(self) -> None:
        """Write the ends that were collected, now that they are durable in the study."""
        ends, self._ends = self._ends, []
        last = {live.trial.number: run for live, run, _ in ends}
        for live, run, is_whole in ends:
            with suppress(OSError):
                is_last = run is last[run.number]
                values = self._values(run, live.params, live.finished, is_last)
                end_session(
                    self._root(run), run.session, _is_success(live, run), is_whole, time.time(), values
                )

    def restore_end(self, live: LiveTrial, run: LiveRun) -> None:
        """Write the end of a run that finished in an earlier session, unless that session wrote it."""
        values = partial(self._values, run, live.params, None)
        self._write_missing_end(run, _is_success(live, run), time.time(), values)

    def restore_last_end(self, trials: Iterable[FrozenTrial], sweep_seed: int) -> None:
        """Write the end of the trial that finished last, unless the session that recorded it did."""
        finished = [trial for trial in trials if trial.datetime_complete is not None]
        if finished:
            last = max(finished, key=lambda trial: (trial.datetime_complete, trial.number))
            assert last.datetime_complete is not None
            params = self._space.complete(last.params)
            runs = make_runs(self._spec, last.number, sweep_seed, self.session(last, params), last.user_attrs)
            is_last = True
            for run in reversed(runs):
                if run.attempt > 0:
                    is_success = last.state != TrialState.FAIL or run.value is not None
                    values = partial(self._values, run, params, last, is_last)
                    ended = last.datetime_complete.timestamp()
                    if self._write_missing_end(run, is_success, ended, values):
                        is_last = False

    def _write_missing_end(
        self, run: LiveRun, is_success: bool, ended: float, values: Callable[[], list[Any]]
    ) -> bool:
        """Write the end of a run unless it has one; returns whether it was written."""
        with suppress(OSError):
            clean_up(self._root(run))  # the end that another writer has recorded does not count
            if not has_ended(self._root(run)):
                end_session(self._root(run), run.session, is_success, False, ended, values())
                return True
        return False

    def _values(
        self, run: LiveRun, params: Mapping[str, Any], trial: FrozenTrial | None, is_last: bool = False
    ) -> list[Any]:
        """What the end of a run adds to it: its text, and columns.

        Args:
            run: the run.
            params: all parameters of its trial.
            trial: the finished trial; None if other repeats of it have not finished.
            is_last: whether this run has what describes the trial as a whole.
        """
        facts = {"host": last_host(self._root(run)), "git": self._git_state()}
        facts = {name: fact for name, fact in facts.items() if fact}
        text = trial_text(self._spec, self._directory, run, params, trial, facts)
        metrics = added_metrics(self._spec, run, trial if is_last else None)
        return [text_value(TAG, text), *scalar_values(metrics)]

    def _git_state(self) -> str:
        """The commit from which the sweep was started, for display. It is read again when it has changed."""
        file = self._directory.environment
        changed = file.stat().st_mtime_ns if file.exists() else 0
        if changed != self._git[0]:
            last = environments(self._directory)[-1:]
            self._git = (changed, str(last[0].git) if last and last[0].git is not None else "")
        return self._git[1]

    def _root(self, run: LiveRun) -> Path:
        return self._directory.trial(run.number, run.label).root

    def _metric_tags(self) -> list[str]:
        """The tags of the metric columns. TensorBoard shows the first five by default."""
        spec = self._spec
        first = [spec.metric.name, best_tag(spec.metric.name)]
        others = [*(goal.name for goal in spec.goals), *spec.limits, *added_tags(spec)]
        return list(dict.fromkeys([*first, *others]))


def _is_success(live: LiveTrial, run: LiveRun) -> bool:
    """Whether a run succeeded. A run of a pruned trial counts as a success."""
    return run.value is not None or live.decision is None or live.decision.state != "FAIL"
