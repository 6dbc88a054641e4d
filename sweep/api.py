"""The Python API: `sweep.run`."""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from sweep.analysis import formatting as text
from sweep.analysis.failures import explain_no_best
from sweep.analysis.resuming import how_to_continue
from sweep.analysis.view import SweepView
from sweep.callbacks import Callbacks
from sweep.caller import PLACEHOLDER, PythonCall, called_by, caller
from sweep.engine.observer import Observer
from sweep.errors import InputError, StartInterrupted
from sweep.launch import LaunchOptions, launch
from sweep.objective.callables import why_not_called
from sweep.objective.pickled_function import PickledFunction
from sweep.result import SweepResult
from sweep.study.storage import quiet_optuna
from sweep.sweepfile import SweepSpec, read_sweep_file
from sweep.sweepfile.build import Goal, Options, build_spec, change_spec, plain
from sweep.sweepfile.types import UNLIMITED, read_delay
from sweep.system.directory import SweepDirectory, create_directory
from sweep.system.paths import check_current_directory, home_path
from sweep.system.remote.mirror import mirrored
from sweep.system.remote.store import runs_path
from sweep.system.streams import guarded_streams

_log = logging.getLogger("sweep")


def run(
    what: Callable[[Any], Any] | SweepSpec | str | os.PathLike[str],
    *,
    n_trials: int | None = None,
    space: Mapping[str, Any] | None = None,
    goal: Goal | None = None,
    goals: Sequence[Goal] | None = None,
    callbacks: Sequence[Any] = (),
    overrides: Mapping[str, Any] | None = None,
    runs: str | os.PathLike[str] = "runs",
    address: str | None = None,
    inline: bool = False,
    fresh: bool = False,
    grace: float | str = LaunchOptions.grace,
    progress: bool | None = None,
    observer: Observer | None = None,
    **options: Unpack[Options],
) -> SweepResult:
    """Run a sweep, or resume it, as the command `sweep run` does. An existing Ray connection is used.

    Args:
        what: a function of a `sweep.Trial` (which is an Optuna trial too), a sweep file, or a `SweepSpec`.
            Functions of scripts and notebooks, lambdas and closures are pickled for the workers.
        n_trials: the total number of trials, including those of earlier calls.
        space: a function's parameters: as in a sweep file, or Optuna's distributions by name. Without it the
            function suggests its parameters itself (`trial.suggest_float` and so on).
        goal: "minimize" (the default) or "maximize" what the function returns.
        goals: one goal for each value, if the function returns several.
        callbacks: objects with methods of `sweep.Callback`.
        overrides: changes to a sweep file by dotted keys: `{"stop.trials": 20}`.
        runs: the folder that contains the sweep's directory.
        address: the address of a running Ray cluster (`auto`, `HOST:6379`), or `local`. The default is
            RAY_ADDRESS in the environment, as for `ray.init`; without it Ray is started on this machine.
        inline: run one trial at a time in this process, without Ray.
        fresh: move an existing sweep of this name to `.old/` instead of resuming it.
        grace: how long running trials have to reach a checkpoint after Ctrl-C, in seconds, or "90s", "5m".
        progress: whether to display progress; by default on a terminal and in a notebook.
        observer: receives all events of the run, instead of the progress display.
        **options: the sweep file's keys (`name`, `metric`, `sampler`, `stop` and so on), as values or models
            of `sweep.sweepfile`. They override a file or spec. A function without a `name` gets a new one in
            each call. Optuna's `direction` and `directions` are accepted for `goal` and `goals`.

    Returns:
        the sweep's result.

    Raises:
        InputError: an argument or the sweep file is invalid.
        SweepError: the sweep failed.
        KeyboardInterrupt: the sweep was interrupted. The same call with the same name resumes it.
    """
    _check_main_guard()
    check_current_directory()
    seconds = read_delay(plain(grace), "sweep.run: grace")
    call = _read_call(what, space, goal, goals, n_trials, overrides, dict(options))
    launch_options = LaunchOptions(runs_path(runs), address, inline, fresh, seconds)
    with guarded_streams():
        return _run(call, launch_options, callbacks, progress, observer)


def _check_main_guard() -> None:
    if getattr(multiprocessing.current_process(), "_inheriting", False):  # private, and without a public form
        raise InputError(
            "sweep.run is called while a child process of a trial imports the script; call it only under "
            "if __name__ == '__main__':, as multiprocessing requires"
        )


@dataclass(frozen=True)
class _Call:
    """The sweep that a call of `run` describes.

    Args:
        what: what `run` was called with, as Python code.
        spec: the sweep.
        near: the directory in which files that the spec names are searched after the current one.
        objective: the function to run, if `run` was called with one.
        locating: adds the place in the sweep file to errors.
        notes: notes about the sweep file for its author.
        has_name: whether the call names the sweep, so that an existing sweep of that name is resumed.
    """

    what: str
    spec: SweepSpec
    near: Path
    objective: PickledFunction | None = None
    locating: AbstractContextManager[None] = field(default_factory=nullcontext)
    notes: tuple[str, ...] = ()
    has_name: bool = True


def _read_call(
    what: Any,
    space: Mapping[str, Any] | None,
    goal: Goal | None,
    goals: Sequence[Goal] | None,
    n_trials: int | None,
    overrides: Mapping[str, Any] | None,
    options: dict[str, Any],
) -> _Call:
    goal = _only_one("goal", goal, "direction", options.pop("direction", None))
    goals = _only_one("goals", goals, "directions", options.pop("directions", None))
    is_file = isinstance(what, (str, os.PathLike))
    if overrides and not is_file:
        raise TypeError("overrides change a sweep file; here give options, such as stop={'trials': 20}")
    if not is_file and not isinstance(what, SweepSpec):
        if not callable(what):
            raise TypeError(f"expected a function, a sweep file or a SweepSpec, got {what!r}")
        function = PickledFunction(what)
        if (why := why_not_called(what)) is not None:
            raise InputError(f"sweep.run: {function.name} {why}")
        options = {key: value for key, value in options.items() if value is not None}
        named = {"name": _new_name(function.name), **options}
        spec = build_spec(
            function.name, space=space, goal=goal, goals=goals, n_trials=n_trials, options=named
        )
        short = re.split(r"[.:]", function.name)[-1]
        what_text = short if short.isidentifier() else PLACEHOLDER
        return _Call(what_text, spec, Path.cwd(), function, has_name="name" in options)
    if space is not None or goal is not None or goals is not None:
        raise InputError(
            "sweep.run: space and goal are for functions; a sweep file or spec has parameters and metric"
        )
    if isinstance(what, SweepSpec):
        return _Call("spec", change_spec(what, n_trials, options), Path.cwd())
    for key in overrides or {}:
        if not isinstance(key, str):
            raise InputError(f"sweep.run: overrides: expected keys such as 'stop.trials', got {key!r}")
    what = home_path(what)
    changes = [(f"overrides[{key!r}]", key, plain(value)) for key, value in (overrides or {}).items()]
    file = read_sweep_file(what, changes)
    spec = change_spec(file.spec, n_trials, options)
    return _Call(repr(str(what)), spec, what.parent, locating=file.locating(), notes=file.notes)


def _only_one(name: str, value: Any, synonym: str, other: Any) -> Any:
    """The value of an argument that can be given under Optuna's name too."""
    if value is not None and other is not None:
        raise InputError(f"sweep.run: {name} and {synonym} are the same argument; leave one out")
    return other if value is None else value


def _run(
    call: _Call,
    options: LaunchOptions,
    callbacks: Sequence[Any],
    progress: bool | None,
    observer: Observer | None,
) -> SweepResult:
    with ExitStack() as exits:
        if not call.has_name:
            call = replace(call, spec=exits.enter_context(_unique_name(call.spec, options.runs)))
        exits.enter_context(called_by(PythonCall(call.what, call.spec.name, options.fresh)))
        return _run_named(call, options, callbacks, progress, observer)


def _run_named(
    call: _Call,
    options: LaunchOptions,
    callbacks: Sequence[Any],
    progress: bool | None,
    observer: Observer | None,
) -> SweepResult:
    spec, objective = call.spec, call.objective
    is_shown = observer is None and _is_shown(progress)
    with ExitStack() as exits:
        exits.enter_context(quiet_optuna)
        if is_shown:
            from sweep.console.display import make_display

            observer = exits.enter_context(make_display(spec, is_plain=options.inline))
        directory = SweepDirectory.of(options.runs, spec.name)
        events = Callbacks(callbacks, directory, observer)
        if objective is not None and not options.inline:
            objective.check_can_be_sent()
        for note in call.notes:
            events.on_note(note)
        try:
            with call.locating, mirrored(options.runs, spec.name, options.fresh, events.on_note):
                launched = launch(spec, events, options, near=call.near, objective=objective)
        except StartInterrupted as error:
            raise _interrupted(str(error)) from None
        if launched.progress is None and not is_shown:
            events.on_note(_finished_note(launched.view))
    result = SweepResult(launched.view)
    events.finish(result)
    if is_shown:
        from sweep.console.summary import summarise

        summarise(launched)
    elif launched.progress is not None and launched.progress.stopped_by in ("metric", "same_failure"):
        ways = f"after you have corrected the cause, resume with {caller().again()}"
        if launched.progress.stopped_by == "same_failure":
            ways += f"; to continue in spite of it: {caller().again(**{'stop.failures': UNLIMITED})}"
        _log.warning("the sweep has stopped early: %s; %s", explain_no_best(launched.view), ways)
    if launched.signal is not None:
        raise _interrupted(f"{spec.name} was interrupted")
    return result


def _interrupted(message: str) -> KeyboardInterrupt:
    return KeyboardInterrupt(f"{message}; resume with: {caller().again()}")


def _new_name(function: str) -> str:
    """The name of a sweep of a function, if the call does not name it."""
    stem = re.sub(r"\W+", "", function.rpartition(".")[2].rpartition(":")[2], flags=re.ASCII) or "sweep"
    return f"{stem[:60]}-{time.strftime('%Y%m%d-%H%M%S')}"


@contextmanager
def _unique_name(spec: SweepSpec, runs: Path) -> Iterator[SweepSpec]:
    """Append a number to a sweep's name if another sweep already has the name.

    Creating the directory reserves the name, so that simultaneous calls in other processes and threads get
    different names. If the call fails before anything is written, the directory is removed.

    Raises:
        InputError: no directory can be created in `runs`.
    """
    creates_runs = not runs.exists()
    names = itertools.chain([spec.name], (f"{spec.name}-{count}" for count in itertools.count(2)))
    name = next(name for name in names if create_directory(runs / name))
    try:
        yield spec.model_copy(update={"name": name})
    except BaseException:
        with suppress(OSError):  # it is not empty
            (runs / name).rmdir()
            if creates_runs:
                runs.rmdir()
        raise


def _finished_note(view: SweepView) -> str:
    """The note for a call that did not run anything."""
    ways = [f"for {what}: {how}" for what, how in how_to_continue(view).items()]
    done = f"{view.spec.name} is finished: {text.counts(view.counts)}; nothing was run"
    return "; ".join([done, *ways])


def _is_shown(progress: bool | None) -> bool:
    return (sys.stdout.isatty() or "ipykernel" in sys.modules) if progress is None else progress
