"""`SweepView`: a sweep as it stands on disk. It reads only; a running sweep does not notice."""

from __future__ import annotations

import datetime
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweep.controller.runs import attempts, repeat_values
from sweep.controller.statistics import TrialStats
from sweep.controller.usage import Usage
from sweep.errors import InputError, nearest
from sweep.messages import OURS
from sweep.space import SearchSpace
from sweep.study import study as attributes
from sweep.study.ranking import Ranking
from sweep.sweepfile import SweepSpec, load_spec
from sweep.system.directory import SweepDirectory
from sweep.system.lock import is_locked
from sweep.tracking.run_logger import best_tag
from sweep.trial.artifacts import find_artifacts


@dataclass(frozen=True)
class TrialRow:
    """One trial, as `sweep trials` shows it. Times are ISO 8601 with their zone, `duration_s` in seconds."""

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
    dir: str
    retry_of: int | None = None
    """The failed trial that it repeats."""
    values: tuple[float, ...] | None = None
    """With several goals, the value of each."""
    feasible: bool | None = None
    """With limits on metrics, whether a complete trial keeps within them."""
    repeats: Sequence[float | None] | None = None
    """The value of each of its repeats."""
    user_attrs: Mapping[str, Any] | None = None
    """What its objective has kept with `set_user_attr`."""
    artifacts: Sequence[str] | None = None
    """What it has saved to be kept: paths below `dir`."""

    def to_dict(self) -> dict[str, Any]:
        """For programs; without those of the last ones that there is nothing of."""
        data = asdict(self)
        rare = ("retry_of", "values", "feasible", "repeats", "user_attrs", "artifacts")
        return {key: value for key, value in data.items() if key not in rare or value is not None}


class SweepView:
    """A sweep on disk, as it was when its study was first asked for.

    Args:
        directory: of an existing sweep.
        spec: what to judge it by instead of its own sweep file.
    """

    def __init__(self, directory: SweepDirectory, spec: SweepSpec | None = None) -> None:
        self.directory = directory
        self.spec: SweepSpec = spec or load_spec(directory.spec)
        self._space = SearchSpace.of(self.spec)
        self._ranking = Ranking(self.spec)

    @classmethod
    def open(cls, name: str, runs: Path) -> SweepView:
        """Find a sweep by its name below `runs`, or by the path of its directory.

        Raises:
            InputError: there is none.
        """
        for directory in (SweepDirectory.of(runs, name), SweepDirectory(Path(name).resolve())):
            if directory.exists():
                return cls(directory)
        names = [path.parent.name for path in sorted(runs.glob("*/sweep.yaml"))]
        near = nearest(name, names)
        if near is not None:
            hint = f"did you mean {near!r}?"
        elif names:
            hint = "there are " + ", ".join(names[:10])
        else:
            hint = "start one with `sweep run FILE`, or say where they are with --runs"
        raise InputError(f"{name}: there is no such sweep in {runs}; {hint}")

    @cached_property
    def study(self) -> optuna.Study | None:
        """Optuna's study; None if the sweep was killed before it had one."""
        return attributes.load_study(self.spec, self.directory)

    @cached_property
    def frozen_trials(self) -> list[FrozenTrial]:
        """Optuna's trials, in the order of their numbers. Not to be changed."""
        return self.study.get_trials(deepcopy=False) if self.study is not None else []

    def with_spec(self, spec: SweepSpec) -> SweepView:
        """The same sweep, judged by other stop rules."""
        return SweepView(self.directory, spec)

    @cached_property
    def is_running(self) -> bool:
        """Whether some process runs it now."""
        return is_locked(self.directory.lock)

    @property
    def state(self) -> str:
        """running; finished: a stop rule is reached; interrupted: the same command would go on."""
        if self.is_running:
            return "running"
        return "interrupted" if self.stopped_by is None else "finished"

    @property
    def counts(self) -> dict[str, int]:
        """Trials by outcome; a trial without one waits unless some process runs the sweep."""
        counts = Counter(self._state(trial) for trial in self.frozen_trials)
        return {
            "complete": counts["COMPLETE"],
            "pruned": counts["PRUNED"],
            "failed": counts["FAIL"],
            "running": counts["RUNNING"],
            "waiting": counts["WAITING"],
        }

    @property
    def finished_trials(self) -> int:
        """Trials with a final outcome."""
        return sum(trial.state.is_finished() for trial in self.frozen_trials)

    @property
    def best(self) -> FrozenTrial | None:
        """The first of the best complete trials within the limits (with several goals, of the front)."""
        return next(iter(self.front), None)

    @property
    def why_no_best(self) -> str:
        """What keeps `best` from being there."""
        if self.counts["complete"]:
            return "no complete trial keeps within the limits on the metrics"
        return "no trial is complete" + ("" if self.stopped_by else " yet")

    @cached_property
    def front(self) -> list[FrozenTrial]:
        """The trials that none is better than: one, or with several goals the Pareto front."""
        return self._ranking.best(self.frozen_trials)

    def values(self, trial: FrozenTrial) -> dict[str, float]:
        """A complete trial's value of each metric that has a goal."""
        names = [goal.name for goal in self.spec.goals]
        return dict(zip(names, trial.values, strict=True))

    @cached_property
    def usage(self) -> Usage:
        """Times up to the last time the sweep wrote them down."""
        attribute = self.study.user_attrs.get(attributes.USAGE) if self.study is not None else None
        return Usage.from_attribute(attribute)

    @property
    def elapsed(self) -> float:
        """Seconds the sweep has run, downtime not counted."""
        usage = self.usage
        runs_on = self.is_running and usage.until > 0  # else it is only being started
        return usage.elapsed + (max(0.0, time.time() - usage.until) if runs_on else 0.0)

    @property
    def stopped_by(self) -> str | None:
        """The stop rule that is reached, or None."""
        return self._stats.stopped_by(self.usage.elapsed)

    @property
    def total(self) -> int | None:
        """How many trials there will be; None if nothing limits them."""
        return self._stats.total

    @cached_property
    def _stats(self) -> TrialStats:
        return TrialStats(self.spec, self._space, self.frozen_trials)

    def params(self, trial: FrozenTrial) -> dict[str, Any]:
        """All parameters of a trial, constants too; of an enqueued one, those that are given."""
        return self._space.complete(trial.params or trial.system_attrs.get("fixed_params", {}))

    @property
    def varied(self) -> list[str]:
        """The parameters in which trials differ; those of which nobody knew before, as they came."""
        if self.spec.is_define_by_run:
            return list(dict.fromkeys(name for trial in self.frozen_trials for name in self.params(trial)))
        return self.spec.varied

    def rows(self) -> list[TrialRow]:
        """All trials."""
        return [self.row(trial) for trial in self.frozen_trials]

    def row(self, trial: FrozenTrial) -> TrialRow:
        """One of `frozen_trials`."""
        duration = trial.duration.total_seconds() if trial.duration is not None else None
        duration = trial.user_attrs.get(attributes.DURATION, duration)
        return TrialRow(
            number=trial.number,
            state=self._state(trial),
            value=trial.values[0] if trial.values and trial.state.is_finished() else None,
            params=self.params(trial),
            metrics=self._metrics(trial),
            attempts=0 if trial.state == TrialState.WAITING else self._attempts(trial),
            reason=trial.user_attrs.get(attributes.REASON),
            started=_iso(trial.datetime_start),
            finished=_iso(trial.datetime_complete),
            duration_s=round(duration, 3) if duration is not None else None,
            dir=str(self.directory.trial(trial.number).root),
            retry_of=trial.user_attrs.get(attributes.RETRY_OF),
            values=tuple(trial.values) if trial.values and len(self.spec.goals) > 1 else None,
            feasible=self._ranking.is_feasible(trial)
            if (self.spec.limits or trial.constraints) and trial.state == TrialState.COMPLETE
            else None,
            repeats=repeat_values(trial.user_attrs, self.spec.repeats) or None,
            user_attrs={key: value for key, value in trial.user_attrs.items() if not key.startswith(OURS)}
            or None,
            artifacts=self._artifacts(trial.number) or None,
        )

    def _artifacts(self, number: int) -> list[str]:
        root = self.directory.trial(number).root
        places = [self.directory.trial(number, label).artifacts for label in self.spec.run_labels]
        return [str(place.relative_to(root) / name) for place in places for name in find_artifacts(place)]

    def _attempts(self, trial: FrozenTrial) -> int:
        """How often a trial was executed; of its repeats, the one that was most often."""
        return max(attempts(trial.user_attrs, label) for label in self.spec.run_labels)

    def error_file(self, number: int) -> Path:
        """Where it is written why a failed trial failed."""
        verdict = self.frozen_trials[number].user_attrs.get(attributes.VERDICT, {"repeat": 0})
        return self.directory.trial(number, self.spec.run_labels[verdict["repeat"]]).error

    def _state(self, trial: FrozenTrial) -> str:
        if trial.state == TrialState.RUNNING and not self.is_running:
            return "WAITING"
        return str(trial.state.name)

    def _metrics(self, trial: FrozenTrial) -> dict[str, float]:
        """The last value of everything logged, and the best of the metric: what TensorBoard's row shows."""
        values = [trial.intermediate_values[step] for step in sorted(trial.intermediate_values)]
        if trial.state == TrialState.COMPLETE:
            values.append(trial.values[0])
        if len(self.spec.goals) > 1:
            return dict(trial.user_attrs.get(attributes.METRICS, {}))
        metrics: dict[str, float] = {}
        if self.spec.repeats is not None or (
            attributes.METRICS in trial.user_attrs and self._attempts(trial) > 1
        ):
            values = []  # they are those of one repeat only, or of several attempts
        if values:
            metrics[self.spec.metric.name] = values[-1]
        numbers = [value for value in values if not math.isnan(value)]
        if numbers:
            best = max(numbers) if self.spec.metric.goal == "maximize" else min(numbers)
            metrics[best_tag(self.spec.metric.name)] = best
        return {**metrics, **trial.user_attrs.get(attributes.METRICS, {})}


def _iso(moment: datetime.datetime | None) -> str | None:
    """Optuna's times are local and without a zone."""
    return moment.astimezone().isoformat(timespec="milliseconds") if moment is not None else None
