"""What `sweep debug` shows between what the trial prints itself."""

from __future__ import annotations

import shlex
import sys
from bdb import BdbQuit
from typing import Any

from optuna import TrialPruned
from rich.console import Console

from sweep.analysis import formatting as text
from sweep.controller.outcomes import final_metrics
from sweep.debug import Debugged, DebugObserver, DebugTrial
from sweep.engine.user_traceback import user_frames, user_traceback
from sweep.messages import Report, TrialMessage
from sweep.script.errors import ScriptError
from sweep.script.reference import ScriptReference
from sweep.system.directory import SweepDirectory


class DebugTerminal(DebugObserver):
    """Shows what the trial does between what it prints itself.

    Args:
        trial: what is run.
        pdb: whether to look around where an exception was raised.
    """

    def __init__(self, trial: DebugTrial, pdb: bool) -> None:
        self._trial = trial
        self._pdb = pdb
        self._is_script = isinstance(trial.objective, ScriptReference)
        self._asked: set[str] = set()
        self._has_told = self._is_script  # a script does not ask by itself
        self._out = Console(markup=False, emoji=False, highlight=False, soft_wrap=True)
        self._error = Console(markup=False, emoji=False, highlight=False, soft_wrap=True, stderr=True)

    def introduce(self, directory: SweepDirectory, is_kept: bool, notes: tuple[str, ...]) -> None:
        trial, one = self._trial, self._trial.assignment
        name = text.run(one.number, one.label)
        again = "" if trial.recorded is None else f", trial {name} again"
        self._out.print(
            f"{trial.spec.name}{again}: {text.parameters(trial.configuration.params)}", style="bold"
        )
        for names, how in (
            (trial.configuration.by_default, "by default"),
            (trial.configuration.sampled, "not given, so drawn at random"),
        ):
            if names:
                self._say(f"{how}: {', '.join(names)}")
        for note in (*notes, *trial.notes):
            self._say(f"note: {note}")
        ending = "" if is_kept else ", removed at the end (--keep DIR)"
        self._say(f"seed {one.seed}; writes into {trial.place(directory).root}{ending}")
        command = trial.command(directory)
        if command is not None:
            self._say(f"$ {shlex.join(command)}")

    def reported(self, message: TrialMessage) -> None:
        if isinstance(message, Report):
            self._say(
                f"step {message.step}: {self._trial.spec.pruning_metric.name} = {text.number(message.value)}"
            )
        else:
            self._say(f"{message.key} = {message.value}{' (a constraint)' if message.is_constraint else ''}")

    def given(self, name: str, value: Any, is_known: bool) -> None:
        self._asked.add(name)
        how = "" if is_known else " (drawn at random)"
        self._say(f"asks for {name}: {text.parameter(value)}{how}")

    def asked_to_prune(self) -> None:
        if not self._has_told:
            self._has_told = True
            self._say("should_prune() is always False here")

    def raised(self, error: BaseException) -> None:
        # A script has told its story itself.
        is_told = self._is_script and isinstance(error, (ScriptError, KeyboardInterrupt))
        if is_told or isinstance(error, (TrialPruned, BdbQuit)):
            return
        sys.stdout.flush()
        print(user_traceback(error), end="", file=sys.stderr, flush=True)
        trace = user_frames(error)
        if self._pdb and trace is not None:
            import pdb

            pdb.post_mortem(trace)

    def conclude(self, done: Debugged) -> int:
        """Say how it ended, and with what value; says the exit status."""
        took = text.duration(done.seconds)
        spec = self._trial.spec
        never = self._trial.configuration.params.keys() - self._asked
        if spec.is_define_by_run and never and done.state == "COMPLETE":
            self._say(f"note: it never asked for {', '.join(sorted(never))}")
        if done.state == "PRUNED":
            self._out.print(f"it pruned itself after {took}", style="yellow")
            return 0
        if done.state != "COMPLETE":
            self.fail(f"failed after {took}: {done.reason}")
            return 1
        numbers = final_metrics(done.outcome, spec.metric.name)
        values = ", ".join(f"{goal.name} = {text.number(numbers[goal.name])}" for goal in spec.goals)
        before = self._trial.recorded_value
        told = "" if before is None else f"; in the sweep it was {text.number(before)}"
        self._out.print(f"{values} after {took}{told}", style="bold green")
        return 0

    def fail(self, line: str) -> None:
        sys.stdout.flush()
        self._error.print(line, style="bold red")

    def _say(self, line: str) -> None:
        self._out.print(line, style="dim")
