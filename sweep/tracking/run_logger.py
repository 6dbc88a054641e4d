"""`RunLogger`: writes the TensorBoard run of one attempt of a trial, its row and its curves."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweep.tracking import hparams
from sweep.tracking.events import EventFile, rename_tags, wait_for_later_names, write_event_file
from sweep.tracking.hparams import Cell, Session
from sweep.tracking.included import Included
from sweep.tracking.numbers import HOURS, as_stored, is_in_curve
from sweep.tracking.read import read_scalars
from sweep.tracking.row import update_row
from sweep.tracking.tensorboardx import TrialSummaryWriter, summary_pb2

_TIME_INTERVAL = 30.0
"""Seconds between points of the time that a running trial has taken. Without any, TensorBoard's parallel
coordinates would hide the trial until its end."""


def best_tag(metric: str) -> str:
    """The tag of the best value so far. TensorBoard shows the last value of a tag, never the best."""
    return f"best/{metric}"


def reported_tag(metric: str) -> str:
    """The tag of the values that a trial reported for a metric before it returned another quantity."""
    return f"reported/{metric}"


class RunLogger:
    """Writes the event file of one attempt. The row is durable when the constructor returns.

    With `parameters: define-by-run` the row is written with the first scalar instead, when the parameters
    are usually known, because TensorBoard keeps the first row of a run. If the trial suggests more parameters
    later, the row is updated at the end.

    Args:
        path: the trial's directory; created if it is missing.
        session: the row.
        metric: the tag of the sweep's metric.
        maximize: whether a higher metric is better.
        resume_after: the step of the checkpoint from which the trial can resume; None without a checkpoint.
        is_define_by_run: whether the trial suggests its parameters.
    """

    def __init__(
        self,
        path: Path,
        session: Session,
        metric: str,
        maximize: bool,
        resume_after: int | None = None,
        is_define_by_run: bool = False,
    ) -> None:
        self.path = path
        self._file = EventFile(path)
        self._session = session
        self._has_row = False
        self._is_define_by_run = is_define_by_run
        if not is_define_by_run:
            self._write_row()
        self._resume_after = resume_after
        self._is_resumed = False
        self._restored: dict[str, int] = {}
        """The last step of each tag in the checkpoint from which the attempt resumes."""
        self._earlier: dict[str, dict[int, float]] = {}
        """The curves of earlier attempts, if this one may continue them at any step."""
        self.has_scalars = False
        """Whether anything has been logged yet."""
        self._file.set_purge_step(0 if resume_after is None else resume_after + 1)
        self._began = self._next_time = time.monotonic()
        self._metric = metric
        self._maximize = maximize
        self._best: float | None = None
        self._earlier_best: float | None = None
        """The best value of earlier attempts."""
        self.last: dict[str, tuple[int, float]] = {}
        """The last step and value of each tag."""

    def set_cells(self, cells: Mapping[str, Cell]) -> None:
        """Set the parameters of the row, after the trial has suggested another one."""
        self._session = replace(self._session, cells=cells)

    def _write_row(self) -> None:
        self._has_row = True
        self._file.add_summary(hparams.session_start(self._session))
        self._file.sync()

    @property
    def state(self) -> dict[str, Any]:
        """The last points of the curves, serializable as JSON."""
        return {"last": self.last, "best": self._best, "time": time.time()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue the curves of an earlier attempt. Called before anything is logged.

        Args:
            state: `state` of the earlier attempt when it saved the checkpoint.
        """
        self._is_resumed = True
        self.last = {tag: (at, value) for tag, (at, value) in state["last"].items()}
        self._best = self._earlier_best = state["best"]
        self._restored = {tag: at for tag, (at, _) in self.last.items()}
        if self._resume_after is not None:
            # Version 0.1.0 has not stored the time.
            saved = state.get("time", -math.inf)
            self._drop_excluded(Included(self.path, self._file.path, self._restored, saved))
        self.has_scalars = False

    def _drop_excluded(self, included: Included) -> None:
        """Drop what the checkpoint does not include, and nothing else."""
        assert self._resume_after is not None
        # What was logged before the checkpoint was requested has dropped everything.
        first = 0 if self.has_scalars else included.first_excluded(self._resume_after + 1)
        repeated = included.events(first)
        self._file.set_purge_step(None if repeated else first)
        if repeated:
            self._file.finish()
            self._file = EventFile(self.path, path=write_event_file(self.path, first, repeated))

    @property
    def is_start_known(self) -> bool:
        """Whether it is known if this attempt continues earlier curves."""
        return self._resume_after is None or self._is_resumed or self.has_scalars

    def restart_best(self) -> None:
        """Forget the best value of this attempt: it came from a source that is superseded."""
        self._best = self._earlier_best

    def continue_curves(self) -> dict[str, dict[int, float]]:
        """Prepare for a script, which may write event files here and continue earlier curves at any step.

        Its first scalar decides where. Called before anything is logged.

        Returns:
            the curves of earlier attempts: values by tag and step.
        """
        wait_for_later_names(self._file.path)
        self._earlier = read_scalars(self.path)
        if self._earlier:
            self._file.set_purge_step(None)
            self._load_curves(self._earlier, math.inf)
        return self._earlier

    def _load_curves(self, scalars: Mapping[str, Mapping[int, float]], end: float) -> None:
        """Continue these curves from their points at steps below `end`."""
        scalars = {
            tag: {at: value for at, value in values.items() if at < end} for tag, values in scalars.items()
        }
        self.last = {tag: max(values.items()) for tag, values in scalars.items() if values}
        values = [value for value in scalars.get(self._metric, {}).values() if not math.isnan(value)]
        self._best = self._earlier_best = (max if self._maximize else min)(values, default=None)

    def start_at(self, step: int, tags: Collection[str]) -> None:
        """Set the first step of this attempt's scalars. Points of earlier attempts from there on are dropped.

        Only the first call counts. If the attempt continues earlier curves, a single value at step 0 (the
        size of the model, for example) does not tell where, unless it is one of the sweep's metric. Nor does
        a tag that the checkpoint does not have.
        """
        if self.has_scalars or self._is_undecided(step, tags):
            return
        self.has_scalars = True
        if self._earlier:
            self._file.set_purge_step(step)
            self._load_curves(self._earlier, step)
        elif self._resume_after is not None and not self._is_resumed:  # it did not load the checkpoint
            self._file.set_purge_step(0)
        elif self._goes_back(step, tags):
            self._file.set_purge_step(step)
            exact = {tag: (at, value) for tag, (at, value) in self.last.items() if at < step}
            self._load_curves(read_scalars(self.path), step)  # the best must not come from a dropped step
            self.last.update(exact)  # values in a file have single precision
        self._file.write_purge_step()  # another writer of the run may be ahead

    def _goes_back(self, step: int, tags: Collection[str]) -> bool:
        """Whether the attempt repeats steps that the checkpoint includes."""
        is_before = self._resume_after is not None and step <= self._resume_after
        return is_before and any(self._restored.get(tag, -1) >= step for tag in tags)

    def _is_undecided(self, step: int, tags: Collection[str]) -> bool:
        """Whether scalars do not tell where the attempt continues earlier curves."""
        if self._earlier:
            is_single = all(tag != self._metric and len(self._earlier.get(tag, ())) <= 1 for tag in tags)
            return step == 0 and is_single
        return (
            self._is_resumed
            and bool(tags)
            and all(
                tag not in self._restored or (step == 0 == self._restored[tag] and tag != self._metric)
                for tag in tags
            )
        )

    def start_after_checkpoint(self) -> None:
        """Continue the curves after the checkpoint from which the attempt has resumed, if it has.

        For scalars whose steps may be counted in another way than those of checkpoints.
        """
        self.start_at(0 if self._resume_after is None else self._resume_after + 1, ())

    def new_writer(self, log: Callable[[str, Any, int | None, bool], None]) -> TrialSummaryWriter:
        """A tensorboardX `SummaryWriter` that writes into the same file, and passes its scalars to `log`."""
        return TrialSummaryWriter(self.path, self.add_event, log)

    def add_event(self, event: Any) -> None:
        """Write an existing event."""
        self._file.add_event(event)

    def add_scalars(self, values: Mapping[str, float], step: int, is_written: bool = False) -> None:
        """Write scalars of one step. If the sweep's metric is among them, its best value so far is added.

        Args:
            values: the scalars by tag.
            step: their step.
            is_written: whether the run has them already. Then only the best value is written.
        """
        if not self._has_row:
            self._write_row()
        if values:
            self.start_at(step, values)
        scalars = {tag: value for tag, value in values.items() if not self._is_repeated(tag, step, value)}
        is_best = self._metric in values and self._is_best(values[self._metric])
        if is_best:
            self._best = values[self._metric]
        if self._best is not None and (is_best or self._metric in scalars):
            scalars[best_tag(self._metric)] = self._best
        self.last.update({tag: (step, value) for tag, value in {**values, **scalars}.items()})
        if is_written:
            scalars = {tag: value for tag, value in scalars.items() if tag not in values}
        if scalars:
            self._write(scalars, step)

    def _write(self, scalars: Mapping[str, float], step: int) -> None:
        now = time.monotonic()
        if now >= self._next_time:
            scalars = {**scalars, HOURS: (now - self._began) / 3600}
            self._next_time = now + _TIME_INTERVAL
        values = [summary_pb2.Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        self._file.add_summary(summary_pb2.Summary(value=values), step)

    def move_to_last_file(self) -> None:
        """Continue in a new file that sorts after all others, and write the best value again.

        TensorBoard's Python loader follows only the last file of a directory: after a script had started its
        own, the loader missed what was written here.
        """
        self._file.finish()
        self._file = EventFile(self.path)
        if self._best is not None:
            step = max(step for step, _ in self.last.values()) + 1
            self.add_scalars({best_tag(self._metric): self._best}, step)

    def add_final(self, metrics: Mapping[str, float]) -> None:
        """Write the returned metrics that differ from their last logged value, one step after all others.

        A returned value that is not in its curve is another quantity, such as the accuracy of a model whose
        training has reported the AUC. Then the curve gets another tag, and the metric's tag has only the
        value that the study has.

        NaN is the last value, but is not written: it makes the mean of a row with several sessions NaN.
        """
        self.start_after_checkpoint()  # if nothing has been logged since then
        step = max((step for step, _ in self.last.values()), default=-1) + 1
        changed = {
            tag: value
            for tag, value in metrics.items()
            if not math.isnan(value)
            and (tag not in self.last or as_stored(self.last[tag][1]) != as_stored(value))
        }
        curves = read_scalars(self.path) if changed.keys() & self.last.keys() else {}
        for tag, value in list(changed.items()):
            if tag in curves and not is_in_curve(value, curves[tag].values()):
                self._separate_curve(tag)
                # TensorBoard's data server drops points of the tag that it has read from this step on.
                self.add_scalars({tag: changed.pop(tag)}, min(curves[tag]))
        self.add_scalars(changed, step)
        self.last.update({tag: (step, value) for tag, value in metrics.items() if math.isnan(value)})

    def _separate_curve(self, tag: str) -> None:
        tags = {tag: reported_tag(tag)}
        self.last.pop(tag)
        if tag == self._metric:
            tags[best_tag(tag)] = ""
            self.last.pop(best_tag(tag), None)
            self._best = None
        self._file.finish()
        rename_tags(self.path, tags)
        # A TensorBoard that follows the replaced file would not see what is appended to the new one.
        self._file = EventFile(self.path)

    def _is_repeated(self, tag: str, step: int, value: float) -> bool:
        """Whether a value is the last one of a curve, with the precision of event files."""
        last_step, last = self.last.get(tag, (-1, math.nan))
        return last_step == step and as_stored(last) == as_stored(value)

    def _is_best(self, value: float) -> bool:
        if math.isnan(value):
            return False
        return self._best is None or (value > self._best if self._maximize else value < self._best)

    def finish(self) -> None:
        """Close the file. The controller writes the session end record (`root.end_session`)."""
        if not self._has_row:
            self._write_row()
        self._file.finish()
        if self._is_define_by_run:
            update_row(self.path, self._session)
