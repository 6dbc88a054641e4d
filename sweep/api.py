"""The Python API: `sweep.run`."""

from __future__ import annotations

import itertools
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from sweep.analysis.view import SweepView
from sweep.callbacks import Callbacks
from sweep.engine.base import Observer
from sweep.errors import InputError, StartInterrupted
from sweep.launch import GRACE, launch
from sweep.objective.pickled_function import PickledFunction
from sweep.result import SweepResult
from sweep.study.study import quiet_optuna
from sweep.sweepfile import SweepSpec, read_sweep_file
from sweep.sweepfile.build import Direction, Options, build_spec, change_spec, plain
from sweep.sweepfile.types import read_delay
from sweep.system.directory import SweepDirectory, make_folder

if TYPE_CHECKING:
    from sweep.console.display import Display


def run(
    what: Callable[[Any], Any] | SweepSpec | str | os.PathLike[str],
    *,
    n_trials: int | None = None,
    space: Mapping[str, Any] | None = None,
    direction: Direction | None = None,
    directions: Sequence[Direction] | None = None,
    callbacks: Sequence[Any] = (),
    overrides: Mapping[str, Any] | None = None,
    runs: str | os.PathLike[str] = "runs",
    address: str | None = None,
    inline: bool = False,
    fresh: bool = False,
    grace: float | str = GRACE,
    progress: bool | None = None,
    observer: Observer | None = None,
    **options: Unpack[Options],
) -> SweepResult:
    """Run a sweep, or go on with it where it stopped; the same as the command `sweep run`.

    In a process that is connected to Ray already, that connection is used.

    Args:
        what: a function that takes a `sweep.Trial`, which is an `optuna.trial.BaseTrial` too; a sweep file;
            or a spec built in Python. Functions of scripts and notebooks, lambdas and closures are sent to
            the workers whole.
        n_trials: how many trials there are to be in all, those of earlier runs included.
        space: the parameters of a function: the sweep file's `parameters`, or Optuna's distributions by name.
            Without it the function asks for them (`trial.suggest_float` and so on).
        direction: "minimize" (the default) or "maximize", or Optuna's `StudyDirection`, for a function.
        directions: one for each of the values that a function returns, if these are several.
        callbacks: objects with methods of `sweep.Callback`.
        overrides: changes to a sweep file by dotted keys: `{"stop.trials": 20}`.
        runs: the folder in which the sweep's directory lies.
        address: of a running Ray cluster (`auto`, `HOST:6379`), or `local`; by default RAY_ADDRESS in the
            environment says it, as for `ray.init`, and else Ray is started on this machine.
        inline: one trial at a time in this process, without Ray.
        fresh: move an old sweep of the same name to `.old/` instead of going on with it.
        grace: when it is interrupted, how long running trials may go on to reach a checkpoint, in seconds,
            or as "90s", "5m".
        progress: whether to show how it goes; by default on a terminal and in a notebook.
        observer: is told everything that the command `sweep run` shows, instead of `progress`.
        **options: the sweep file's keys: `name`, `metric`, `metrics`, `sampler`, `pruner`, `resources`,
            `repeats`, `stop`, `trial` and so on, as strings, mappings, or models of `sweep.sweepfile`.
            They win over a file's or a spec's own. A function without a `name` gets a new one each time; with
            the same `name`, a call goes on with the sweep of an earlier one.

    Returns:
        the sweep as it stands then.

    Raises:
        InputError: something that was asked for is not there or makes no sense.
        SweepError: the sweep could not do its work.
        KeyboardInterrupt: it was interrupted; the same call, with the same name, goes on.

    Example:
        ```python
        def train(trial):
            lr = trial.suggest_float("lr", 1e-4, 1e-1, log=True)
            return (lr - 0.01) ** 2

        result = sweep.run(train, name="demo", n_trials=20)
        print(result.best_params)
        ```
    """
    seconds = read_delay(plain(grace), "sweep.run: grace")
    asked = _read(what, space, direction, directions, n_trials, overrides, options)
    with ExitStack() as exits:
        exits.enter_context(quiet_optuna)
        if asked.function is not None and options.get("name") is None:
            asked = replace(asked, spec=exits.enter_context(_named_anew(asked.spec, Path(runs))))
        shows = observer or exits.enter_context(_display(asked.spec, progress, inline))
        directory = SweepDirectory.of(Path(runs), asked.spec.name)
        told = Callbacks(callbacks, directory, shows)
        given = asked.function
        if given is not None and not inline:
            given.check_can_be_sent()
        for note in asked.notes:
            told.note(note)
        try:
            with asked.locating:
                launched = launch(
                    asked.spec,
                    told,
                    near=asked.near,
                    runs=Path(runs),
                    address=address,
                    inline=inline,
                    fresh=fresh,
                    grace=seconds,
                    objective=given,
                )
        except StartInterrupted:
            raise KeyboardInterrupt from None
        if launched.progress is None:
            told.note(_finished(SweepView(launched.directory)))
    result = SweepResult(SweepView(launched.directory))
    told.over(result)
    if observer is None and _is_shown(progress):
        from sweep.console.summary import summarise

        summarise(launched, Path(runs))
    if launched.signal is not None:
        raise KeyboardInterrupt
    return result


@dataclass(frozen=True)
class _Asked:
    """What a call of `run` asks for.

    Args:
        spec: the sweep.
        function: its objective, if it was given as a function.
        near: where files that the spec names are looked for, after the current directory.
        locating: says in errors where entries of a file stand.
        notes: what its author may want to know.
    """

    spec: SweepSpec
    function: PickledFunction | None
    near: Path
    locating: AbstractContextManager[None]
    notes: tuple[str, ...] = ()


def _read(
    what: Any,
    space: Mapping[str, Any] | None,
    direction: Direction | None,
    directions: Sequence[Direction] | None,
    n_trials: int | None,
    overrides: Mapping[str, Any] | None,
    options: Mapping[str, Any],
) -> _Asked:
    is_file = isinstance(what, (str, os.PathLike))
    if overrides and not is_file:
        raise TypeError("overrides change a sweep file; give options instead")
    if not is_file and not isinstance(what, SweepSpec):
        if not callable(what):
            raise TypeError(f"expected a function, a sweep file or a SweepSpec, got {what!r}")
        given = PickledFunction(what)
        given_options = {key: value for key, value in options.items() if value is not None}
        spec = build_spec(
            given.name,
            space=space,
            direction=direction,
            directions=directions,
            n_trials=n_trials,
            options={"name": _new_name(given.name), **given_options},
        )
        return _Asked(spec, given, Path.cwd(), nullcontext())
    if space is not None or direction is not None or directions is not None:
        raise InputError(
            "sweep.run: space and direction are for functions; a sweep file or spec has parameters and metric"
        )
    if isinstance(what, SweepSpec):
        return _Asked(change_spec(what, n_trials, options), None, Path.cwd(), nullcontext())
    for key in overrides or {}:
        if not isinstance(key, str):
            raise InputError(f"sweep.run: overrides: expected words such as 'stop.trials', got {key!r}")
    changes = [(f"overrides[{key!r}]", key, plain(value)) for key, value in (overrides or {}).items()]
    file = read_sweep_file(what, changes)
    spec = change_spec(file.spec, n_trials, options)
    return _Asked(spec, None, Path(what).parent, file.locating(), file.notes)


def _new_name(function: str) -> str:
    """A name for a sweep that has been given none."""
    own = re.sub(r"\W+", "", function.rpartition(".")[2].rpartition(":")[2], flags=re.ASCII) or "sweep"
    return f"{own[:60]}-{time.strftime('%Y%m%d-%H%M%S')}"


@contextmanager
def _named_anew(spec: SweepSpec, runs: Path) -> Iterator[SweepSpec]:
    """Give a sweep a name that no other has: who gives none wants to go on with none.

    Making its directory takes the name, so that calls in the same second, of whatever processes and threads,
    get different ones. If nothing has been written when the call fails, the directory goes again.

    Raises:
        InputError: there can be no directory in `runs`.
    """
    makes_runs = not runs.exists()
    names = itertools.chain([spec.name], (f"{spec.name}-{count}" for count in itertools.count(2)))
    name = next(name for name in names if make_folder(runs / name))
    try:
        yield spec.model_copy(update={"name": name})
    except BaseException:
        with suppress(OSError):  # it holds something
            (runs / name).rmdir()
            if makes_runs:
                runs.rmdir()
        raise


def _finished(view: SweepView) -> str:
    """What is to be said if nothing was run."""
    from sweep.analysis.formatting import counts

    rule = view.stopped_by
    rules = {"trials": f"n_trials={2 * view.finished_trials}"}
    rules |= {word: f"stop={{{word!r}: ...}}" for word in ("hours", "time", "target", "plateau", "failures")}
    more = f"for more trials say {rules[rule]}, " if rule in rules else ""
    return (
        f"{view.spec.name} is finished: {counts(view.counts)}; nothing was run; {more}for a new sweep "
        "fresh=True or another name"
    )


def _display(spec: SweepSpec, progress: bool | None, inline: bool) -> Display:
    from sweep.console import display

    return display.choose(spec, is_plain=inline) if _is_shown(progress) else display.Display()


def _is_shown(progress: bool | None) -> bool:
    return (sys.stdout.isatty() or "ipykernel" in sys.modules) if progress is None else progress
