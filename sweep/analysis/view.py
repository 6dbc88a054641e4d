"""`SweepView`: read-only access to a sweep on disk, running or not."""

from __future__ import annotations

import datetime
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.caller import caller
from sweep.controller.runs import attempts, larger_share, repeat_values, trial_seconds
from sweep.controller.statistics import TrialStats
from sweep.controller.stop_rules import IGNORES_RESUBMISSIONS
from sweep.controller.usage import Usage, stored_usage
from sweep.errors import InputError, nearest, suggestion
from sweep.messages import RESERVED_PREFIX
from sweep.space import SearchSpace
from sweep.study import attributes
from sweep.study.private import storage_of
from sweep.study.ranking import Ranking
from sweep.study.resubmission import failed_trials
from sweep.study.storage import IndexedJournalStorage, check_study, load_study, reading
from sweep.sweepfile import SweepSpec, load_spec
from sweep.system.directory import SweepDirectory
from sweep.system.environment import environments
from sweep.system.lock import is_locked
from sweep.system.remote.fetch import keep_refreshed, refresh, runner_elsewhere
from sweep.tracking.numbers import is_in_curve
from sweep.tracking.run_logger import best_tag
from sweep.trial.artifacts import find_artifacts

_COUNTED = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "WAITING")
NO_FEASIBLE_TRIAL = "no complete trial satisfies the constraints on the metrics"


@dataclass(frozen=True)
class TrialRow:
    """One trial, as `sweep trials` prints it.

    Args:
        number: the trial's number, from 0.
        state: COMPLETE, PRUNED, FAIL, RUNNING or WAITING.
        value: the metric's value; with several goals that of the first.
        params: all parameters, constants included.
        metrics: the last value of each logged metric, and the best value of the metric.
        attempts: how often the trial was executed.
        reason: why the trial failed or was pruned.
        started: when the trial started, as ISO 8601 with a time zone.
        finished: when the trial finished, as ISO 8601 with a time zone.
        duration_s: the duration in seconds.
        directory: the trial's directory.
        retry_of: the number of the failed trial that was resubmitted as this one.
        values: with several goals, the value of each.
        feasible: whether a complete trial satisfies all constraints, if there are any.
        repeats: the value of each repeat.
        user_attrs: the attributes that the objective stored with `set_user_attr`.
        artifacts: the paths of the saved artifacts, relative to `directory`.
        gpu: its share of a GPU, if that is larger than other trials' because it ran out of memory.
    """

    number: int
    state: str
    value: float | None
    params: Mapping[str, Any]
    metrics: Mapping[str, float]
    attempts: int
    reason: str | None
    started: str | None
    finished: str | None
    duration_s: float | None
    directory: Path
    retry_of: int | None = None
    values: tuple[float, ...] | None = None
    feasible: bool | None = None
    repeats: Sequence[float | None] | None = None
    user_attrs: Mapping[str, Any] | None = None
    artifacts: Sequence[str] | None = None
    gpu: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The trial as `sweep trials --format json` prints it: `directory` is `dir`; optional keys are
        present only if they are set.
        """
        optional = ("retry_of", "values", "feasible", "repeats", "user_attrs", "artifacts", "gpu")
        data = {
            key: dict(value) if isinstance(value, dict) else value
            for key, value in vars(self).items()
            if value is not None or key not in optional
        }
        return {"dir" if key == "directory" else key: value for key, value in data.items()} | {
            "dir": str(self.directory)
        }


class SweepView:
    """A sweep on disk, as of the moment when its study is first read.

    Args:
        directory: the directory of an existing sweep.
        spec: replaces the spec stored in the directory.
    """

    def __init__(self, directory: SweepDirectory, spec: SweepSpec | None = None) -> None:
        self.directory = directory
        self.spec: SweepSpec = spec or load_spec(directory.spec)
        self._space = SearchSpace.of(self.spec)
        self._ranking = Ranking(self.spec)

    @classmethod
    def open(cls, name: str, runs: Path) -> SweepView:
        """Open a sweep by its name in `runs`, or by the path of its directory.

        Raises:
            InputError: there is no such sweep.
        """
        for directory in (SweepDirectory.of(runs, name), SweepDirectory(Path(name).resolve())):
            refresh(directory)
            if directory.exists():
                keep_refreshed(directory)
                return cls(directory)
        names = [path.parent.name for path in sorted(runs.glob("*/sweep.yaml"))]
        hint = f"start one with {caller().start}, or choose its folder with {caller().option('runs', 'DIR')}"
        if names:
            hint = suggestion(name, names if nearest(name, names) else names[:10])
        raise InputError(f"{name}: there is no such sweep in {runs}; {hint}")

    def again(self) -> SweepView:
        """The sweep as it is now. Only what is new in its study is read."""
        return self._with_study(SweepView(self.directory))

    def as_spec(self, spec: SweepSpec) -> SweepView:
        """The same sweep, as another spec describes it."""
        return self._with_study(SweepView(self.directory, spec))

    def _with_study(self, other: SweepView) -> SweepView:
        if self.study is not None and not (self.storage is not None and self.storage.is_replaced):
            other.study = self.study
        return other

    @cached_property
    def study(self) -> optuna.Study | None:
        """The Optuna study; None if the sweep was killed before it was created.

        Raises:
            InputError: the journal is damaged, or the database cannot be read, or contains no study although
                the sweep has trials.
        """
        study = load_study(self.spec, self.directory)
        if self.spec.storage is not None:
            check_study(self.spec, self.directory, study)
        return study

    @property
    def storage(self) -> IndexedJournalStorage | None:
        """The storage of the study if it is a journal; what it has read need not be read again."""
        storage = storage_of(self.study) if self.study is not None else None
        return storage if isinstance(storage, IndexedJournalStorage) else None

    @cached_property
    def frozen_trials(self) -> list[FrozenTrial]:
        """The Optuna trials, ordered by number. Do not modify them.

        Raises:
            InputError: the journal is damaged.
        """
        if self.study is None:
            return []
        with reading(self.spec, self.directory):
            return self.study.get_trials(deepcopy=False)

    @cached_property
    def is_running(self) -> bool:
        """Whether a process is running the sweep."""
        return is_locked(self.directory.lock) or runner_elsewhere(self.directory) is not None

    @property
    def state(self) -> str:
        """running, finished (a stop rule is reached), or interrupted (can be resumed)."""
        if self.is_running:
            return "running"
        return "interrupted" if self.stopped_by is None else "finished"

    @property
    def counts(self) -> dict[str, int]:
        """The number of trials by state. In a sweep that is not running, unfinished trials are waiting."""
        counts = Counter(self.state_of(trial) for trial in self.frozen_trials)
        return {"failed" if state == "FAIL" else state.lower(): counts[state] for state in _COUNTED}

    @property
    def finished_trials(self) -> int:
        """The number of trials with a final state."""
        return sum(trial.state.is_finished() for trial in self.frozen_trials)

    @property
    def best(self) -> FrozenTrial | None:
        """The first feasible complete trial with the best value; with several goals, of the Pareto front."""
        return next(iter(self.front), None)

    @property
    def why_no_best(self) -> str:
        """Why `best` is None."""
        if self.counts["complete"]:
            return NO_FEASIBLE_TRIAL
        if self.finished_trials and self.counts["pruned"] == self.finished_trials:
            return "no trial is complete: all were pruned"
        return "no trial is complete" + ("" if self.stopped_by else " yet")

    @cached_property
    def front(self) -> list[FrozenTrial]:
        """The best trials: one, or with several goals the Pareto front."""
        return self._ranking.best(self.frozen_trials)

    def is_feasible(self, trial: FrozenTrial) -> bool:
        """Whether a trial is within all limits on the metrics."""
        return self._ranking.is_feasible(trial)

    def values(self, trial: FrozenTrial) -> dict[str, float]:
        """The value of each metric with a goal, for a complete trial."""
        names = [goal.name for goal in self.spec.goals]
        return dict(zip(names, trial.values, strict=True))

    @cached_property
    def usage(self) -> Usage:
        """Elapsed and busy time, as last recorded by the sweep."""
        return stored_usage(self.directory, self.study)

    @property
    def elapsed(self) -> float:
        """How long the sweep has run, in seconds, without the time between its runs."""
        usage = self.usage
        has_started = self.is_running and usage.until > 0  # 0 until the controller of a new sweep records it
        return usage.elapsed + (max(0.0, time.time() - usage.until) if has_started else 0.0)

    @property
    def is_worth_resubmitting(self) -> bool:
        """Whether there are failed trials that would run if they were resubmitted, and may then succeed."""
        runs_on = self.stopped_by is None or self.stopped_by in IGNORES_RESUBMISSIONS
        trials = self.frozen_trials
        again = [trial for trial in trials if attributes.RESUBMISSION_OF in trial.user_attrs]
        have_failed_again = bool(again) and all(trial.state == TrialState.FAIL for trial in again)
        return runs_on and not have_failed_again and bool(failed_trials(trials))

    @property
    def stopped_by(self) -> str | None:
        """The stop rule that is reached, by its key in the sweep file, or None."""
        return self._stats.stopped_by(self.usage.elapsed)

    @property
    def total(self) -> int | None:
        """The number of trials that the sweep will have; None if no stop rule limits it."""
        return self._stats.total

    @cached_property
    def _stats(self) -> TrialStats:
        return TrialStats(self.spec, self._space, self.frozen_trials)

    def aware(self, moment: datetime.datetime) -> datetime.datetime:
        """One of Optuna's times with a time zone, that of this process.

        Optuna stores the local time of the process that runs the sweep, without its zone, and it can be read
        in another zone. If that of the run is unknown, as in sweeps of version 0.1.0, it is taken as ours.
        """
        for start, end, zone in self._runs:
            found = moment.replace(tzinfo=zone).astimezone()
            if start <= found < end:
                return found
        return moment.astimezone()

    @cached_property
    def _runs(self) -> list[tuple[datetime.datetime, datetime.datetime, datetime.tzinfo | None]]:
        """Between which times the sweep was run in which zone; None for that of this process.

        Only the zone's offset from UTC is stored. If ours was the same, it is taken as our zone, which knows
        daylight saving time.
        """
        starts: list[tuple[datetime.datetime, datetime.tzinfo | None]] = []
        for start in (run.moment for run in environments(self.directory)):
            zone = None if start.astimezone().utcoffset() == start.utcoffset() else start.tzinfo
            if not starts or zone != starts[-1][1]:
                starts.append((start, zone))
        ends = [start for start, _ in starts[1:]]
        ends.append(datetime.datetime.max.replace(tzinfo=datetime.timezone.utc))
        return [
            (start.replace(microsecond=0), end, zone)  # MySQL rounds times to seconds
            for (start, zone), end in zip(starts, ends, strict=False)
        ]

    def params(self, trial: FrozenTrial) -> dict[str, Any]:
        """All parameters of a trial, constants included; for a waiting trial, those enqueued with it."""
        return self._space.complete(trial.params or trial.system_attrs.get("fixed_params", {}))

    @property
    def varied(self) -> list[str]:
        """The names of all parameters that are not constant; with define-by-run in order of appearance."""
        if self.spec.is_define_by_run:
            return list(dict.fromkeys(name for trial in self.frozen_trials for name in self.params(trial)))
        return self.spec.varied

    def rows(self, state: TrialState | None = None) -> list[TrialRow]:
        """All trials, or those with a final state."""
        return [self.row(trial) for trial in self.frozen_trials if state in (None, trial.state)]

    def row(self, trial: FrozenTrial) -> TrialRow:
        """The row of one of `frozen_trials`."""
        root = self.directory.trial(trial.number).root
        duration = trial_seconds(trial)
        return TrialRow(
            number=trial.number,
            state=self.state_of(trial),
            value=trial.values[0] if trial.values and trial.state.is_finished() else None,
            params=self.params(trial),
            metrics=self._metrics(trial),
            attempts=0 if trial.state == TrialState.WAITING else self._attempts(trial),
            reason=trial.user_attrs.get(attributes.REASON),
            started=self._iso(trial.datetime_start),
            finished=self._iso(trial.datetime_complete),
            duration_s=round(duration, 3) if duration is not None else None,
            directory=root,
            retry_of=trial.user_attrs.get(attributes.RESUBMISSION_OF),
            values=tuple(trial.values) if trial.values and len(self.spec.goals) > 1 else None,
            feasible=self._ranking.is_feasible(trial)
            if (self.spec.limits or trial.constraints) and trial.state == TrialState.COMPLETE
            else None,
            repeats=repeat_values(trial.user_attrs, self.spec.repeats) or None,
            user_attrs={
                key: value for key, value in trial.user_attrs.items() if not key.startswith(RESERVED_PREFIX)
            }
            or None,
            artifacts=self._artifacts(trial.number, root) or None,
            gpu=max(
                (share for label in self.spec.run_labels if (share := larger_share(trial.user_attrs, label))),
                default=None,
            ),
        )

    def _iso(self, moment: datetime.datetime | None) -> str | None:
        return self.aware(moment).isoformat(timespec="milliseconds") if moment is not None else None

    def _artifacts(self, number: int, root: Path) -> list[str]:
        folders = [self.directory.trial(number, label).artifacts for label in self.spec.run_labels]
        return [str(folder.relative_to(root) / name) for folder in folders for name in find_artifacts(folder)]

    def _attempts(self, trial: FrozenTrial) -> int:
        """How often a trial was executed; with repeats, the maximum over them."""
        return max(attempts(trial.user_attrs, label) for label in self.spec.run_labels)

    def error_file(self, number: int) -> Path:
        """The path of a failed trial's `error.txt`."""
        decision = self.frozen_trials[number].user_attrs.get(attributes.DECISION, {"repeat": 0})
        return self.directory.trial(number, self.spec.run_labels[decision["repeat"]]).error

    def state_of(self, trial: FrozenTrial) -> str:
        """The state of a trial. In a sweep that is not running, unfinished trials are waiting."""
        if trial.state == TrialState.RUNNING and not self.is_running:
            return "WAITING"
        return str(trial.state.name)

    def _metrics(self, trial: FrozenTrial) -> dict[str, float]:
        """The last value of each logged metric and the best of the metric, as in the HParams tab."""
        values = [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)]
        if trial.state == TrialState.COMPLETE:
            values.append(trial.values[0])
        if len(self.spec.goals) > 1:
            return dict(trial.user_attrs.get(attributes.METRICS, {}))
        metrics: dict[str, float] = {}
        if self.spec.repeats is not None or (
            attributes.METRICS in trial.user_attrs and self._attempts(trial) > 1
        ):
            values = []  # Optuna has the values of one repeat only, or of several attempts mixed
        if values:
            metrics[self.spec.metric.name] = values[-1]
        if trial.state == TrialState.COMPLETE and not is_in_curve(trial.values[0], values[:-1]):
            values = values[-1:]  # what it reported was another quantity
        numbers = [value for value in values if not math.isnan(value)]
        if numbers:
            best = max(numbers) if self.spec.metric.goal == "maximize" else min(numbers)
            metrics[best_tag(self.spec.metric.name)] = best
        return {**metrics, **trial.user_attrs.get(attributes.METRICS, {})}
