"""One run of a script for a trial."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from contextlib import suppress

from sweep.errors import nearest
from sweep.objective.command import EXIT_STATUS
from sweep.objective.result import ScriptCrash, ScriptError
from sweep.objective.script.output import Output
from sweep.objective.script.process import ScriptProcess
from sweep.objective.wandb_offline import OfflineRuns, Record
from sweep.trial import Trial

_LOOK_EVERY = 0.2
_LOOK_AT_WANDB_EVERY = 1.0


class ScriptRun:
    """One run of a script for a trial.

    Args:
        trial: the trial.
        metric: the name of what the sweep optimises.
        runs: where it may log by means of W&B's package.
        arguments: what to run.
        variables: its environment.
    """

    def __init__(
        self,
        trial: Trial,
        metric: str,
        runs: OfflineRuns,
        arguments: list[str],
        variables: Mapping[str, str],
    ) -> None:
        self._trial = trial
        self._metric = metric
        self._runs = runs
        self._next_look = 0.0
        self._names: dict[str, None] = {}
        self._next_step = 0
        self._process = ScriptProcess(trial.directory, arguments, variables)
        self._output = Output(self._process.popen)

    def run(self) -> None:
        """Wait for its end, and hand on what it reports meanwhile.

        Raises:
            optuna.TrialPruned: it has been stopped because it was not good enough.
            ScriptError: it failed, or never reported the metric.
        """
        try:
            while True:
                has_ended = self._process.has_ended()
                if self._log(self._output.take(_LOOK_EVERY)) and not has_ended and self._trial.should_prune():
                    from optuna import TrialPruned

                    raise TrialPruned
                if has_ended:
                    break
                if self._output.is_at_end:
                    self._process.wait(_LOOK_EVERY)
        finally:
            self._end()
        self._next_look = 0.0
        self._log(self._output.take(0))
        self._log(self._runs.summary())
        self._check()

    def _log(self, records: list[Record]) -> bool:
        """Hand records on; says whether the metric was among them."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_AT_WANDB_EVERY
            records = [*records, *self._runs.read()]
        if self._output.error is not None:
            raise self._output.error
        for record in records:
            step = self._next_step if record.step is None else record.step
            self._next_step = max(self._next_step, step + 1)
            self._names.update(dict.fromkeys(record.values))
            self._trial.log(record.values, step)
        return any(self._metric in record.values for record in records)

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
        if self._metric not in self._names and self._metric != EXIT_STATUS:
            raise ScriptError(_never_reported(self._metric, list(self._names)), story=story)


def _never_reported(metric: str, names: list[str]) -> str:
    text = f"the script never reported {metric!r}; "
    if not names:
        return text + f'it reported nothing: have it print lines such as {{"step": 1, "{metric}": 0.5}}'
    near = nearest(metric, names)
    if near is None:
        return text + f"it reported {', '.join(map(_shown, names))}"
    return text + f"it reported {_shown(near)}: did you mean it?"


def _shown(name: str) -> str:
    """A name as it is, in quotes if one could not see where it ends."""
    return name if name == name.strip() and name else repr(name)
