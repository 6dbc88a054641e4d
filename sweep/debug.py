"""`DebugTrial`: runs one trial in this process, outside any study, for `sweep debug`."""

from __future__ import annotations

import shlex
import sys
import time
import warnings
from bdb import BdbQuit
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from pdb import post_mortem
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from rich.console import Console

from sweep.analysis import formatting as text
from sweep.analysis.view import SweepView
from sweep.controller.outcomes import final_metrics, resolve_state
from sweep.controller.runs import find_repeat, make_runs
from sweep.engine.attempt import AttemptRunner, ObjectiveImportError
from sweep.engine.base import PreparedSweep
from sweep.engine.isolation import isolated
from sweep.engine.threads import late_variables
from sweep.engine.user_traceback import user_frames, user_traceback
from sweep.errors import InputError
from sweep.messages import Assignment, Outcome, Suggestion, TrialAttribute, TrialMessage
from sweep.objective.find import find_objective, working_directory
from sweep.script.errors import ScriptError
from sweep.script.reference import ScriptReference
from sweep.space import SearchSpace
from sweep.space.columns import cells, columns
from sweep.space.space import suggest
from sweep.study.compatibility import incompatible_changes
from sweep.study.manual_params import complete
from sweep.study.ranking import Ranking
from sweep.study.seeds import stored_seed
from sweep.sweepfile.command import CommandError
from sweep.sweepfile.load import SweepFile
from sweep.system.directory import SweepDirectory
from sweep.tracking.hparams import Session

_PLAIN: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False, "soft_wrap": True}
_OUT, _ERROR = Console(**_PLAIN), Console(**_PLAIN, stderr=True)
_show = partial(_OUT.print, style="dim")


class DebugTrial:
    """A trial outside its study. It is its own channel: no controller can prune or stop it.

    Args:
        file: the sweep file.
        given: parameters by name. The others come from trial `number`, else from defaults, else are sampled.
        view: the sweep on disk; None if it does not exist.
        number: the number of its trial whose parameters and seed are used.
        repeat: which of its repeats, by index or name; the first if empty.

    Raises:
        InputError: there is no such objective, trial, parameter or repeat.
    """

    def __init__(
        self, file: SweepFile, given: dict[str, Any], view: SweepView | None, number: int | None, repeat: str
    ) -> None:
        spec, notes = file.spec, [f"note: {note}" for note in file.notes]
        near = file.path.parents[2 if view is not None and file.path == view.directory.spec else 0]
        with file.locating():
            self._objective, self._working_directory = find_objective(spec, near), working_directory(spec)
        self._spec, self._recorded = spec, None
        if view is not None and number is not None:
            rows = dict(enumerate(view.rows()))
            if number not in rows:
                count = f"they are 0 to {len(rows) - 1}" if rows else "it has none yet"
                raise InputError(f"--trial {number}: {spec.name} has no such trial; {count}")
            self._recorded = rows[number]
            if different := "; ".join(incompatible_changes(view.spec, spec)):
                notes.append(f"note: differs from the sweep in {view.directory.root}: {different}")
        seed = (stored_seed(view.spec, view.study) if view is not None else spec.sampler.seed) or 0
        space = SearchSpace.of(spec)
        self._params, more_notes = complete(
            space, given, seed, self._recorded.params if self._recorded else {}
        )
        self._notes = [*notes, *more_notes]
        row = {} if space.is_define_by_run else cells(columns(space), self._params)
        runs = make_runs(spec, number or 0, seed, Session(row, spec.name, time.time()))
        run = runs[find_repeat(spec, repeat) if repeat else 0]
        params = {} if space.is_define_by_run else self._params
        self._assignment = Assignment(run.number, 1, params, run.session, run.seed, run.repeat, run.label)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(run.seed))  # in memory
        study.enqueue_trial(self._params)
        self._optuna_trial = study.ask()

    def run(self, root: Path, is_kept: bool, has_pdb: bool) -> int:
        """Run the trial in `root`, a directory like a sweep's; returns the exit status of the command."""
        spec, run, objective = self._spec, self._assignment, self._objective
        directory = SweepDirectory(root)
        folder = directory.trial(run.number, run.label).root
        if folder.exists():
            raise InputError(f"--keep {root}: {folder} already exists; choose another, or move it away")
        if has_pdb and isinstance(objective, ScriptReference):
            raise InputError("--pdb: is for functions; write breakpoint() in the script, which works here")
        again = "" if self._recorded is None else f", trial {text.run(run.number, run.label)} again"
        _OUT.print(f"{spec.name}{again}: {text.parameters(self._params)}", style="bold")
        for note in self._notes:
            _show(note)
        _show(f"seed {run.seed}; writes to {folder}{'' if is_kept else ', removed at the end (--keep DIR)'}")
        if isinstance(objective, ScriptReference):
            objective = replace(objective, is_attached=True)
            with suppress(CommandError):  # it is raised again when the script is run
                _show(f"$ {shlex.join(objective.arguments(run.params, folder, run.number, run.seed))}")
        settings = PreparedSweep(
            spec, directory, objective, Path.cwd(), self._working_directory
        ).attempt_settings
        if note := late_variables(settings.env):
            _show(f"note: {note}")
        began, on_error = time.monotonic(), partial(self._explain, has_pdb=has_pdb)
        try:
            with isolated({}, kill_children=False):
                runner = AttemptRunner(
                    settings, lambda path: nullcontext(), in_user_process=True, on_error=on_error
                )
                outcome = runner.run(run, self)
            return self._conclude(outcome, text.duration(time.monotonic() - began))
        except ObjectiveImportError as error:
            on_error(error.error)
            return _fail(f"{spec.objective} cannot be imported")
        except BdbQuit:
            return _fail("quit in the debugger")
        except KeyboardInterrupt:
            return _fail("interrupted", status=130)

    def report(self, message: TrialMessage) -> None:
        if isinstance(message, TrialAttribute):
            _show(f"{message.key} = {message.value}")
        else:
            _show(f"step {message.step}: {self._spec.pruning_metric.name} = {text.number(message.value)}")

    def suggest(self, name: str, distribution: BaseDistribution) -> Suggestion:
        warnings.filterwarnings("ignore", "Fixed parameter")  # Optuna's, for given values outside the range
        try:
            value = suggest(self._optuna_trial, name, distribution)
        except ValueError as error:
            return Suggestion(problem=f"{name}: {error}")
        how = "" if name in self._params else " (drawn at random)"
        _show(f"asks for {name}: {text.parameter(value)}{how}")
        return Suggestion(value)

    def should_prune(self) -> bool:
        return False

    must_end = should_prune

    def _explain(self, error: BaseException, has_pdb: bool) -> None:
        """Show the traceback of the exception that the objective raised."""
        shown = (ScriptError, KeyboardInterrupt) if isinstance(self._objective, ScriptReference) else ()
        if isinstance(error, (optuna.TrialPruned, BdbQuit, *shown)):  # scripts print their own
            return
        sys.stdout.flush()
        print(user_traceback(error), end="", file=sys.stderr, flush=True)
        if has_pdb and (trace := user_frames(error)) is not None:
            post_mortem(trace)

    def _conclude(self, outcome: Outcome, took: str) -> int:
        """Show how the trial ended; returns the exit status."""
        spec, recorded = self._spec, self._recorded
        for note in outcome.notes:
            _show(f"note: {note}")
        state, reason = resolve_state(outcome, Ranking(spec), spec.metric.name)
        if state == "PRUNED":
            _OUT.print(f"it pruned itself after {took}", style="yellow")
            return 0
        if state != "COMPLETE":
            return _fail(f"failed after {took}: {reason}")
        if spec.is_define_by_run and (never := self._params.keys() - self._optuna_trial.params.keys()):
            _show(f"note: it never asked for {', '.join(sorted(never))}")
        numbers = final_metrics(outcome, spec.metric.name)
        values, before = [f"{goal.name} = {text.number(numbers[goal.name])}" for goal in spec.goals], None
        if recorded is not None and recorded.params == self._params:
            before = dict(enumerate(recorded.repeats or [recorded.value])).get(outcome.repeat)
        comparison = "" if before is None else f"; in the sweep it was {text.number(before)}"
        _OUT.print(f"{', '.join(values)} after {took}{comparison}", style="bold green")
        return 0


def _fail(line: str, status: int = 1) -> int:
    sys.stdout.flush()
    _ERROR.print(line, style="bold red")
    return status
