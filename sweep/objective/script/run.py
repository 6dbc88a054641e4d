"""One run of a script for a trial."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweep.engine import processes
from sweep.objective.command import EXIT_STATUS
from sweep.objective.patterns import Patterns
from sweep.objective.result import NeverReported, ScriptCrash, ScriptError
from sweep.objective.script.event_files import EventFiles
from sweep.objective.script.lines import read_line
from sweep.objective.script.output import Output
from sweep.objective.script.process import ScriptProcess
from sweep.objective.script.reports import Reports
from sweep.objective.script.sources import Source, Sources, never_reported
from sweep.objective.wandb_offline import OfflineRuns, Record
from sweep.reporting import REPORTS, STEPS
from sweep.trial import Interrupted, Trial

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
        self._sources = Sources()
        self._reports = Reports(trial.directory / "reports.jsonl", metric)
        self._wandb = OfflineRuns(trial.directory)
        self._events = EventFiles(trial.directory)
        self._in_run: set[str] = set()
        """Tags that the script itself draws in the trial's run."""
        self._next_look = time.monotonic() + _LOOK_AT_FILES_EVERY
        self._ask_until = float("-inf")
        self._is_unjudged = False
        """Whether the pruner has not been asked since the last report."""
        self._next_question = time.monotonic() + _ASK_WHETHER_TO_END_EVERY
        self._is_interrupted = False
        trial.follow()
        variables = {
            **call.variables,
            processes.TRIAL_DIRECTORY: str(trial.directory),
            REPORTS: str(self._reports.path),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(STARTUP), call.variables.get("PYTHONPATH")])),
        }
        self._process = ScriptProcess(trial.directory, call.arguments, variables, call.cwd, call.is_attached)
        self._output = Output(self._process.popen, trial.directory / "output.log", bool(patterns))

    def run(self) -> None:
        """Wait for its end, and hand on what it reports meanwhile.

        Raises:
            optuna.TrialPruned: it has been stopped because it was not good enough.
            Interrupted: it has been ended because the sweep is being stopped.
            ScriptError: it failed, or never reported the metric.
        """
        try:
            while True:
                has_ended = self._process.has_ended()
                # Pruners compare at equal steps: they see each report, if there are not thousands of them.
                self._ask_until = float("-inf") if has_ended else time.monotonic() + _PATIENCE_FOR_VERDICTS
                self._look(self._output.take(_LOOK_EVERY))
                if has_ended:
                    break
                if self._is_unjudged:
                    self._ask()
                self._give_way()
                if self._output.is_at_end:
                    self._process.wait(_LOOK_EVERY)
        finally:
            self._end()
        self._next_look, self._ask_until = 0.0, float("-inf")
        self._look(self._output.take(0))
        self._log(Source.WANDB, self._wandb.summary())
        if self._in_run:
            self._trial.end_drawn()
        if self._is_interrupted:
            raise Interrupted("it ended when asked to")
        self._check()

    def _look(self, lines: list[tuple[str, bool]]) -> None:
        """Hand on what has come: from the strongest source to the weakest."""
        if self._output.error is not None:
            raise self._output.error
        looks_at_files = time.monotonic() >= self._next_look
        if looks_at_files:
            self._log(Source.REPORT, self._reports.read())
        for text, is_stdout in lines:
            if self._patterns and (found := self._patterns.read(text)) is not None:
                self._log(Source.REGEX, [found])
            if is_stdout and (record := read_line(text)) is not None:
                self._log(Source.JSON, [record])
        if looks_at_files:
            self._log(Source.WANDB, self._wandb.read())
            self._log_events()
            self._next_look = time.monotonic() + _LOOK_AT_FILES_EVERY

    def _log(self, source: Source, records: Iterable[Record]) -> None:
        for record in records:
            taken = self._sources.take(source, record)
            if taken is not None:
                step, values = taken
                for is_drawn in (True, False):
                    part = {name: one for name, one in values.items() if (name in self._in_run) == is_drawn}
                    if part:
                        self._hand_on(part, step, is_drawn)

    def _log_events(self) -> None:
        """Hand on what is new in the script's event files.

        TensorBoard's Python loader follows one file of a run, and a run is a directory: what is elsewhere is
        written into the trial's own file too.
        """
        for stream in self._events.look(self._process.family()):
            for event in stream.read():
                step, scalars = stream.scalars(event)
                counting = {name for name in scalars if self._sources.counts(Source.EVENTS, name)}
                if stream.is_in_run:
                    self._in_run.update(scalars)
                else:
                    values = event.summary.value
                    for index in reversed(range(len(values))):
                        if values[index].tag in scalars and values[index].tag not in counting:
                            del values[index]
                if not 0 <= step < STEPS:
                    continue  # TensorBoard's HParams tab answers HTTP 500 to such a step
                if event.HasField("summary") and not event.summary.value:
                    continue
                counted = {name: scalars[name] for name in counting}
                self._hand_on(counted, step, True, None if stream.is_in_run else event)

    def _hand_on(self, values: Mapping[str, float], step: int, is_drawn: bool, event: Any = None) -> None:
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
        if self._trial.should_prune():
            from optuna import TrialPruned

            raise TrialPruned

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
            self._is_interrupted = True
            self._process.terminate()

    def _end(self) -> None:
        """Have all its processes end, and see to the last of its output."""
        try:
            self._process.end()
        finally:
            self._output.finish()

    def _check(self) -> None:
        status = self._process.popen.returncode
        last = self._output.last_line
        story = "\n".join(self._output.tail)
        if status < 0:
            with suppress(ValueError):
                raise ScriptCrash(f"killed by {signal.Signals(-status).name}", last, story)
            raise ScriptCrash(f"killed by signal {-status}", last, story)
        if status > 0:
            raise ScriptError(f"exit status {status}", last, story)
        if self._metric not in self._sources.names and self._metric != EXIT_STATUS:
            raise NeverReported(
                never_reported(self._metric, self._sources.names, bool(self._patterns)), story=story
            )
