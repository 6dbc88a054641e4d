"""The run of a script for one attempt of a trial."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweep.script.errors import NeverReported
from sweep.script.event_files import EventFiles, without_scalars
from sweep.script.exit_status import check_exit_status
from sweep.script.json_lines import explain_unread, read_line
from sweep.script.metric_sources import MetricRecord, MetricSource, MetricSources, explain_missing_metric
from sweep.script.output import Line, ScriptOutput
from sweep.script.patterns import Patterns
from sweep.script.process import Invocation, ScriptProcess
from sweep.script.report_file import ReportFile
from sweep.script.wandb_offline import RUN_ID, OfflineRuns
from sweep.sweepfile.command import EXIT_STATUS
from sweep.system import processes
from sweep.system.directory import TrialDirectory
from sweep.tracking.run_logger import best_tag, reported_tag
from sweep.trial.channel import Interrupted
from sweep.trial.reporting import REPORTS
from sweep.trial.trial import Trial, metric_log

_POLL_INTERVAL = 0.2
_POLL_FILES_INTERVAL = 1.0
_POLL_STOP_INTERVAL = 1.0
_PRUNING_BUDGET = 1.0
"""Seconds of a poll in which the pruner is asked after each report; after that only once."""
STARTUP = Path(__file__).parent / "startup"


def observed(invocation: Invocation, trial: Path, reports: str | os.PathLike[str]) -> Invocation:
    """An invocation with the variables by which the processes of a script belong to their trial.

    Args:
        invocation: how the script is started.
        trial: the trial's directory.
        reports: the file to which `sweep.report` writes.
    """
    path = os.pathsep.join(filter(None, [str(STARTUP), invocation.variables.get("PYTHONPATH")]))
    variables = {
        **invocation.variables,
        processes.TRIAL_DIRECTORY: str(trial),
        REPORTS: os.fspath(reports),
        "PYTHONPATH": path,
    }
    return replace(invocation, variables=variables)


class ScriptRun:
    """Runs a script for a trial and logs its metrics while it runs.

    Args:
        trial: the trial.
        metric: the name of the metric that the sweep optimizes.
        patterns: regular expressions that find metrics in its output.
        invocation: how the script is started.
    """

    def __init__(self, trial: Trial, metric: str, patterns: Patterns, invocation: Invocation) -> None:
        self._trial = trial
        self._log = metric_log(trial)
        self._metric = metric
        self._patterns = patterns
        directory = TrialDirectory(trial.directory)
        self._sources = MetricSources(reserved=(best_tag(metric), reported_tag(metric)))
        self._reports = ReportFile(directory.reports, metric)
        self._wandb = OfflineRuns(trial.directory, invocation.cwd or Path.cwd(), invocation.variables[RUN_ID])
        self._events = EventFiles(trial.directory)
        self._next_file_poll = time.monotonic() + _POLL_FILES_INTERVAL
        self._next_stop_poll = time.monotonic() + _POLL_STOP_INTERVAL
        self._pruning_deadline = float("-inf")
        self._has_new_report = False
        """Whether the pruner has not been asked since the last report."""
        self._is_pruned = False
        self._is_interrupted = False
        self._values: dict[str, float] = {}
        """The last value of each metric."""
        self._unread: str | None = None
        """The first line that may have been meant as a report, and what is wrong with it."""
        self._log.continue_curves()
        self._process = ScriptProcess(
            trial.directory, observed(invocation, trial.directory, self._reports.path)
        )
        self._output = ScriptOutput(self._process.popen, directory.output, bool(patterns))

    def run(self) -> dict[str, float]:
        """Wait until the script exits, and log its metrics meanwhile.

        Returns:
            the last value of each metric that this attempt has reported, whatever its step.

        Raises:
            optuna.TrialPruned: the script was terminated because the pruner stopped the trial.
            Interrupted: the script was terminated because the sweep is being stopped.
            ScriptError: the script failed, or has not reported the metric at a valid step.
        """
        try:
            while not (self._is_pruned or self._process.has_exited()):
                self._poll(self._output.read_lines(_POLL_INTERVAL))
                if self._has_new_report:
                    self._ask_pruner()
                self._interrupt_if_stopped()
                if self._output.is_at_end:
                    self._process.wait(_POLL_INTERVAL)
        finally:
            try:
                self._process.terminate_all(self._is_interrupted)
            finally:
                self._output.close()
        self._poll_last()
        if self._is_pruned:
            from optuna import TrialPruned

            raise TrialPruned
        if self._is_interrupted:
            raise Interrupted("the script was interrupted")
        check_exit_status(self._process.popen.returncode, list(self._output.tail))
        self._check_reported()
        return self._values

    def _poll(self, lines: list[Line], is_over: bool = False) -> None:
        """Log new metrics of all sources, those that take precedence first.

        Pruners compare trials at equal steps, so they are asked after each report, within a time budget.
        """
        budget = 0 if is_over else _PRUNING_BUDGET
        self._pruning_deadline = time.monotonic() + budget
        if self._output.error is not None:
            raise self._output.error
        now = time.monotonic()
        is_file_poll = is_over or now >= self._next_file_poll
        self._add(MetricSource.REPORT, self._reports.read(is_over), now)
        for line in lines:
            self._add_line(line, now)
        if is_file_poll:
            self._add_from_files(is_over, now)
            self._pruning_deadline = time.monotonic() + budget  # finding them may have taken long
            self._next_file_poll = time.monotonic() + _POLL_FILES_INTERVAL
        self._log_due(math.inf if is_over else now, is_file_poll)

    def _add_line(self, line: Line, now: float) -> None:
        if self._patterns:
            self._add(MetricSource.REGEX, self._patterns.read(line.text, line.is_overwritten), now)
        text = line.text.strip()
        if line.is_stdout and (records := read_line(text)):
            self._add(MetricSource.JSON, records, now)
        else:
            self._unread = self._unread or explain_unread(text, line.is_stdout)

    def _add_from_files(self, is_over: bool, now: float) -> None:
        """Read W&B's runs before the event files, which they may repeat."""
        family = self._process.descendants()
        self._add(MetricSource.WANDB, self._wandb.read(family), now)
        if is_over:
            self._add(MetricSource.REGEX, self._patterns.rest(), now)
            self._add(MetricSource.WANDB, self._wandb.rest(), now)
        for found in self._events.read(self._events.find(family, is_over), accepts=lambda name: True):
            record = MetricRecord(found.step, found.values)
            self._sources.add(MetricSource.EVENTS, record, now, found.event)

    def _add(self, source: MetricSource, records: Iterable[MetricRecord], now: float) -> None:
        for record in records:
            self._sources.add(source, record, now)

    def _poll_last(self) -> None:
        """Log the remaining metrics of a script that has exited, whatever its status."""
        self._poll(self._output.read_lines(0), is_over=True)
        self._events.hide()
        if self._events.written_tags:
            self._log.run.move_to_last_file()

    def _log_due(self, now: float, is_file_poll: bool) -> None:
        """Log what the sources have given, except new metrics that another source may be about to give."""
        for source in MetricSource:
            if is_file_poll or source not in (MetricSource.WANDB, MetricSource.EVENTS):
                for record, event in self._sources.due(source, now):
                    if source is MetricSource.EVENTS:
                        self._log_event(record, event)
                    else:
                        self._log_record(source, record)

    def _log_record(self, source: MetricSource, record: MetricRecord) -> None:
        for selected in self._sources.select(source, record):
            for is_written in (True, False):
                values = {
                    name: value
                    for name, value in selected.curve.items()
                    if (name in self._events.written_tags) == is_written
                }
                if values:
                    self._log_values(values, selected.step, is_written)
            self._values.update(selected.values)

    def _log_event(self, record: MetricRecord, event: Any) -> None:
        """Log an event of the script's event files.

        Args:
            record: its scalars.
            event: the event to copy; None if the trial's directory has it.
        """
        assert record.step is not None
        selected = self._sources.select(MetricSource.EVENTS, record)
        curve = selected[0].curve if selected else {}
        if event is not None:
            event = without_scalars(event, record.values.keys() - curve.keys())
        self._log_values(curve, record.step, True, event)
        if selected:
            self._values.update(selected[0].values)

    def _log_values(
        self, values: Mapping[str, float], step: int, is_written: bool, event: Any = None
    ) -> None:
        before = self._log.last_reported
        if is_written:
            self._log.log_written(values, step, event)
        else:
            self._log.log(values, step)
        if self._log.last_reported != before:
            self._has_new_report = True
            if time.monotonic() < self._pruning_deadline:
                self._ask_pruner()

    def _ask_pruner(self) -> None:
        self._has_new_report = False
        self._is_pruned = self._is_pruned or self._trial.should_prune()

    def _interrupt_if_stopped(self) -> None:
        """Send SIGTERM to the script if the sweep is being stopped, so that it can save its state.

        It has as much time for that as any other trial. Its attempt counts as interrupted, whatever its exit
        status: a script that has saved its state cannot be distinguished from one that has finished.
        """
        if self._is_interrupted or time.monotonic() < self._next_stop_poll:
            return
        self._next_stop_poll = time.monotonic() + _POLL_STOP_INTERVAL
        if self._trial.must_end():
            self._ask_pruner()  # the attempt may no longer be needed
            if not self._is_pruned:
                self._is_interrupted = self._process.interrupt()

    def _check_reported(self) -> None:
        invalid_steps = dict(self._sources.invalid_steps)
        if self._sources.counts(MetricSource.EVENTS, self._metric):
            invalid_steps |= self._events.invalid_steps
        is_reported = self._metric not in invalid_steps and (
            self._metric in self._values or self._log.last_value is not None
        )
        if not is_reported and self._metric != EXIT_STATUS:
            raise NeverReported(
                explain_missing_metric(
                    self._metric,
                    self._sources.names,
                    bool(self._patterns),
                    invalid_steps,
                    self._unread,
                    self._wandb.ignored,
                    self._patterns.unread.get(self._metric),
                    self._wandb.refused,
                ),
                output_tail="\n".join(self._output.tail),
            )
