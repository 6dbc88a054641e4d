"""One run of a script for a trial."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.script.errors import NeverReported
from sweep.script.event_files import EventFiles, EventStream
from sweep.script.exit_reason import check_ended_well
from sweep.script.json_lines import read_line, why_unread
from sweep.script.metric_sources import Source, Sources, never_reported
from sweep.script.output import Line, Output
from sweep.script.patterns import Patterns
from sweep.script.process import ScriptProcess
from sweep.script.reports import Reports
from sweep.script.wandb_offline import RUN_ID, OfflineRuns, Record
from sweep.sweepfile.command import EXIT_STATUS
from sweep.system import processes
from sweep.tracking.run import best_tag
from sweep.trial.channel import Interrupted
from sweep.trial.reporting import REPORTS
from sweep.trial.scalars import STEPS
from sweep.trial.trial import Trial

_LOOK_EVERY = 0.2
_LOOK_AT_FILES_EVERY = 1.0
_PATIENCE_FOR_VERDICTS = 1.0
_ASK_WHETHER_TO_END_EVERY = 1.0
STARTUP = Path(__file__).parent / "startup"


@dataclass(frozen=True)
class Call:
    """What to run.

    Args:
        arguments: the command line.
        variables: the environment.
        cwd: the working directory; None for the current one.
        is_attached: whether it belongs to the terminal that this process belongs to.
    """

    arguments: list[str]
    variables: Mapping[str, str]
    cwd: Path | None = None
    is_attached: bool = False


class ScriptRun:
    """One run of a script for a trial.

    Args:
        trial: the trial.
        metric: the name of what the sweep optimises.
        patterns: find metrics in its output.
        call: what to run.
    """

    def __init__(self, trial: Trial, metric: str, patterns: Patterns, call: Call) -> None:
        self._trial = trial
        self._metric = metric
        self._patterns = patterns
        self._sources = Sources(reserved=(best_tag(metric),))
        self._reports = Reports(trial.directory / "reports.jsonl", metric)
        self._wandb = OfflineRuns(trial.directory, call.cwd or Path.cwd(), call.variables.get(RUN_ID, ""))
        self._events = EventFiles(trial.directory)
        self._in_run: set[str] = set()
        """Tags that the script itself draws in the trial's run."""
        self._next_look = time.monotonic() + _LOOK_AT_FILES_EVERY
        self._ask_until = float("-inf")
        self._is_unjudged = False
        """Whether the pruner has not been asked since the last report."""
        self._next_question = time.monotonic() + _ASK_WHETHER_TO_END_EVERY
        self._is_pruned = False
        self._is_interrupted = False
        self._values: dict[str, float] = {}
        """The last value of each metric."""
        self._impossible: dict[str, int] = {}
        """Steps that cannot be, by what was to be reported there."""
        self._first_lines: list[Line] | None = None
        """The first lines that came, until they have been looked at."""
        self._unread: str | None = None
        """The first line that may have been meant as a report, and what is wrong with it."""
        trial.follow()
        variables = {
            **call.variables,
            processes.TRIAL_DIRECTORY: str(trial.directory),
            REPORTS: str(self._reports.path),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(STARTUP), call.variables.get("PYTHONPATH")])),
        }
        self._process = ScriptProcess(trial.directory, call.arguments, variables, call.cwd, call.is_attached)
        self._output = Output(self._process.popen, trial.directory / "output.log", bool(patterns))

    def run(self) -> dict[str, float]:
        """Wait for its end, and hand on what it reports meanwhile.

        Returns:
            the last value of each metric, whatever its step; nothing of what an earlier attempt has reported.

        Raises:
            optuna.TrialPruned: it has been stopped because it was not good enough.
            Interrupted: it has been ended because the sweep is being stopped.
            ScriptError: it failed, or never reported the metric.
        """
        try:
            while not (self._is_pruned or self._process.has_ended()):
                self._look(self._output.take(_LOOK_EVERY))
                if self._is_unjudged:
                    self._ask()
                self._give_way()
                if self._output.is_at_end:
                    self._process.wait(_LOOK_EVERY)
        finally:
            self._end()
        self._look_last()
        if self._is_pruned:
            from optuna import TrialPruned

            raise TrialPruned
        if self._is_interrupted:
            raise Interrupted("it ended when asked to")
        check_ended_well(self._process.popen.returncode, list(self._output.tail))
        self._check_reported()
        return self._values

    def _look(self, lines: list[Line], is_over: bool = False) -> None:
        """Hand on what has come: from the strongest source to the weakest.

        Pruners compare at equal steps: they see each report, if there are not thousands of them.
        """
        patience = 0 if is_over else _PATIENCE_FOR_VERDICTS
        self._ask_until = time.monotonic() + patience
        if self._output.error is not None:
            raise self._output.error
        if self._first_lines is None and lines and not is_over:
            self._first_lines = lines  # for the next look: a stronger source may be about to say the same
            return
        if self._first_lines:
            lines, self._first_lines = [*self._first_lines, *lines], []
        looks_at_files = is_over or time.monotonic() >= self._next_look
        self._log(Source.REPORT, self._reports.read())
        for line in lines:
            if self._patterns:
                self._log(Source.REGEX, self._patterns.read(line.text, line.is_passing))
            if line.is_stdout:
                if records := read_line(line.text):
                    self._log(Source.JSON, records)
                else:
                    self._unread = self._unread or why_unread(line.text)
        if looks_at_files:
            family = self._process.family()
            self._log(Source.WANDB, self._wandb.read(family))
            streams = self._events.look(family, is_over)
            self._ask_until = time.monotonic() + patience  # to look for them may have taken long
            self._log_events(streams)
            self._next_look = time.monotonic() + _LOOK_AT_FILES_EVERY

    def _look_last(self) -> None:
        """Hand on what is left of a script that has ended, however it did."""
        self._look(self._output.take(0), is_over=True)
        self._log(Source.REGEX, self._patterns.rest())
        self._log(Source.WANDB, self._wandb.summary())
        if self._in_run:
            self._trial.end_drawn()

    def _log(self, source: Source, records: Iterable[Record]) -> None:
        for record in records:
            taken = self._sources.take(source, record)
            if taken is not None:
                step, values = taken
                for is_drawn in (True, False):
                    part = {name: one for name, one in values.items() if (name in self._in_run) == is_drawn}
                    if part:
                        self._hand_on(part, step, is_drawn)

    def _log_events(self, streams: Iterable[EventStream]) -> None:
        """Hand on what is new in the script's event files.

        TensorBoard's Python loader follows one file of a run, and a run is a directory: what is elsewhere is
        written into the trial's own file too.
        """
        for stream in streams:
            for event in stream.read():
                step, scalars = stream.scalars(event)
                if not 0 <= step < STEPS:  # TensorBoard's HParams tab answers HTTP 500 to such a step
                    self._impossible.update(dict.fromkeys(scalars, step))
                    continue
                counting = {name for name in scalars if self._sources.counts(Source.EVENTS, name)}
                if stream.is_in_run:
                    self._in_run.update(scalars)
                else:
                    event.step = step
                    values = event.summary.value
                    for index in reversed(range(len(values))):
                        if values[index].tag in scalars and values[index].tag not in counting:
                            del values[index]
                if event.HasField("summary") and not event.summary.value:
                    continue
                counted = {name: scalars[name] for name in counting}
                self._hand_on(counted, step, True, None if stream.is_in_run else event)

    def _hand_on(self, values: Mapping[str, float], step: int, is_drawn: bool, event: Any = None) -> None:
        self._values.update(values)
        before = self._trial.last_reported
        if is_drawn:
            self._trial.log_drawn(values, step, event)
        else:
            self._trial.log(values, step)
        if self._trial.last_reported != before:
            self._is_unjudged = True
            if time.monotonic() < self._ask_until:
                self._ask()

    def _ask(self) -> None:
        self._is_unjudged = False
        self._is_pruned = self._is_pruned or self._trial.should_prune()

    def _give_way(self) -> None:
        """If the sweep is being stopped, give the script notice: it may save what it will go on from.

        It has as long for that as the engine gives to all trials. Whatever it does then, it counts as
        interrupted: nobody can tell a script that has saved its state from one that has come to its end.
        """
        if self._is_interrupted or time.monotonic() < self._next_question:
            return
        self._next_question = time.monotonic() + _ASK_WHETHER_TO_END_EVERY
        if self._trial.must_end():
            self._ask()  # it may not be needed any more
            if not self._is_pruned:
                self._is_interrupted = self._process.terminate()

    def _end(self) -> None:
        """Have all its processes end, and see to the last of its output."""
        try:
            self._process.end(self._is_interrupted)
        finally:
            self._output.finish()

    def _check_reported(self) -> None:
        is_known = self._metric in self._values or self._trial.last_value is not None
        if not is_known and self._metric != EXIT_STATUS:
            raise NeverReported(
                never_reported(
                    self._metric, self._sources.names, bool(self._patterns), self._impossible, self._unread
                ),
                output_tail="\n".join(self._output.tail),
            )
