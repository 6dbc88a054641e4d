"""`MetricLog`: sends a trial's metrics to the controller, for pruning, and to TensorBoard."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from sweep.messages import Report
from sweep.tracking.run_logger import RunLogger
from sweep.tracking.tensorboardx import TrialSummaryWriter
from sweep.trial.channel import Channel
from sweep.trial.scalars import as_number, as_step


class MetricLog:
    """Logs a trial's metrics. Objectives do so by `Trial.log`; a script's run uses it directly.

    A function can log some metrics by `Trial.log`, and others by a writer of event files. What it logs itself
    takes precedence. Its event files are read by another thread too. Reports found there are held until the
    function's thread sends them, because in a sweep without Ray that thread owns the study.

    Args:
        run: the TensorBoard run of the attempt.
        metric: the name of the metric that is optimized (first).
        pruning_metric: the name of the metric by which trials are pruned.
        channel: returns the connection to the controller; raises in a process that the objective has forked.
    """

    def __init__(
        self, run: RunLogger, metric: str, pruning_metric: str, channel: Callable[[], Channel]
    ) -> None:
        self.run = run
        self._metric = metric
        self._pruning_metric = pruning_metric
        self._channel = channel
        self._reported_steps: set[int] = set()
        self._last_reported: Report | None = None
        self._lock = threading.RLock()
        self._names: set[str] = set()
        """The metrics that were logged by `log`."""
        self._by_writer: set[str] = set()
        """Those of them that were logged first by `writer`."""
        self._held: list[Report] = []
        self.collect: Callable[[], None] = lambda: None
        """Calls `hold_written` for what the trial's event files contain now."""
        self._restored: Report | None = None
        """The last report of an earlier attempt, before the checkpoint from which this one resumed."""

    def log(self, values: Mapping[str, float], step: int, is_written: bool = False) -> None:
        """Log scalars, and report the pruning metric if it is among them; see `Trial.log`.

        Args:
            values: numbers by name.
            step: their step.
            is_written: whether an event file in the trial's directory contains them already.
        """
        step = as_step(step)
        numbers = {str(name): as_number(value, f"{name!r}") for name, value in values.items()}
        channel = self._channel()  # a forked process must not write to the event file either
        with self._lock:
            if not is_written:
                if self._metric in numbers.keys() - self._names:
                    self.run.restart_best()
                self._names.update(numbers)
            if self._pruning_metric in numbers:
                self._held.clear()
                if not self._report(Report(step, numbers[self._pruning_metric]), channel):
                    del numbers[self._pruning_metric]
            self.run.add_scalars(numbers, step, is_written)

    @cached_property
    def writer(self) -> TrialSummaryWriter:
        """A tensorboardX `SummaryWriter` whose scalars are logged by `log`."""
        return self.run.new_writer(self._log_scalar)

    def _log_scalar(self, tag: str, value: Any, step: int | None, is_summary: bool = False) -> None:
        """Log a scalar of `writer`. Without a step it is counted, as in event files.

        Args:
            tag: its tag.
            value: its value.
            step: its step.
            is_summary: whether it describes the run so far: without a step it has the last one of all tags.
        """
        self.check_process()
        if step is None:
            with self._lock:
                self.run.start_after_checkpoint()
                last = {name: at for name, (at, _) in self.run.last.items()}
                step = max(last.values(), default=0) if is_summary else last.get(tag, -1) + 1
        before = self._names.copy()
        self.log({tag: value}, step)
        self._by_writer |= self._names - before

    def _report(self, report: Report, channel: Channel) -> bool:
        """Send a report, unless its step has been reported; returns whether it has not."""
        if report.step in self._reported_steps:
            return False
        self._reported_steps.add(report.step)
        if self._last_reported is None or report.step > self._last_reported.step:
            self._last_reported = report
        channel.report(report)
        return True

    @property
    def has_reported(self) -> bool:
        """Whether the pruning metric has been logged by `log`."""
        return self._pruning_metric in self._names

    def has_logged(self, name: str) -> bool:
        """Whether a metric has been logged by `log`."""
        return name in self._names

    def hold_written(self, values: Mapping[str, float], step: int, event: Any = None) -> None:
        """As `log_written`, from any thread. Reports are held for `send_held`, or until `log` reports."""
        with self._lock:
            values = {name: value for name, value in values.items() if name not in self._names}
            if values:
                self.run.start_after_checkpoint()
            if event is not None:
                self.run.add_event(event)
            self.run.add_scalars(values, step, is_written=True)
            if self._pruning_metric in values:
                self._held.append(Report(step, values[self._pruning_metric]))

    def send_held(self) -> None:
        """Send the reports that were held."""
        with self._lock:
            for report in self._held:
                self._report(report, self._channel())
            self._held.clear()

    def log_written(self, values: Mapping[str, float], step: int, event: Any = None) -> None:
        """Log scalars that a script has written to an event file itself, without writing them again.

        Args:
            values: numbers by name.
            step: their step.
            event: the TensorBoard event that contains them, if the file is outside the trial's directory.
        """
        if values:
            self.run.start_at(step, values)
        if event is not None:
            self.run.add_event(event)
        self.log(values, step, is_written=True)

    def continue_curves(self) -> None:
        """Prepare for a script, which may save its state in its own way and continue earlier curves."""
        earlier = self.run.continue_curves().get(self._pruning_metric)
        if earlier:
            self._restored = Report(*max(earlier.items()))

    @property
    def last_reported(self) -> Report | None:
        """The report with the highest step, including those of an attempt from which this one resumed."""
        return self._last_reported or self._restored

    @property
    def last_value(self) -> float | None:
        """The last value of the metric that is optimized; None if it has none."""
        if self._pruning_metric == self._metric:
            return self.last_reported.value if self.last_reported is not None else None
        return self.run.last[self._metric][1] if self._metric in self.run.last else None

    def state(self) -> dict[str, Any]:
        """The state that a checkpoint stores, so that the next attempt continues the curves."""
        self.collect()
        with self._lock:
            # What is held is not sent: the function may report other values.
            reports = [report for report in (self.last_reported, *self._held) if report is not None]
            last = max(reports, key=lambda report: report.step, default=None)
            return {**self.run.state, "reported": last}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the `state` that a checkpoint of an earlier attempt has stored."""
        with self._lock:  # the thread that reads event files writes to the run, too
            self.run.restore(state)
        self._restored = Report(*state["reported"]) if state["reported"] is not None else None

    def check_process(self) -> None:
        """Check that this process was not forked by the objective.

        Raises:
            RuntimeError: it was.
        """
        self._channel()

    def check_nothing_logged(self) -> None:
        """Check that a checkpoint is requested before anything has been logged.

        Raises:
            RuntimeError: something has been logged.
        """
        if self._names - self._by_writer:
            raise RuntimeError(
                "trial.checkpoint.latest() was called after something had been logged; call it first, so "
                "that the curves continue at the right step"
            )
