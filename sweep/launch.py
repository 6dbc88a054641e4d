"""From a spec to a running sweep: find what it names, open its directory, run it on an engine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from optuna.trial import TrialState

from sweep.analysis.view import SweepView
from sweep.controller.stop_rules import stop_notes
from sweep.engine.base import Engine, PreparedSweep
from sweep.engine.inline import InlineEngine
from sweep.engine.interruption import Interruption
from sweep.engine.observer import Observer
from sweep.errors import InputError, StartInterrupted
from sweep.messages import Progress
from sweep.objective.digest import differ, digest
from sweep.objective.find import find_objective, working_directory
from sweep.objective.pickled_function import PickledFunction
from sweep.space import SearchSpace
from sweep.study.compatibility import changes
from sweep.study.enqueue import enqueue_configurations, start_points
from sweep.study.pruners import make_pruner, pruner_notes
from sweep.study.resubmission import enqueue_resubmissions
from sweep.study.samplers import check_sampler, sampler_notes
from sweep.study.study import create_or_load_study, open_storage, open_url
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory, check_can_hold, make_folder
from sweep.system.durable import sync_one
from sweep.system.lock import SweepLock, is_locked

GRACE = 30.0
"""Seconds that running trials have to reach a checkpoint when their sweep is interrupted."""
_NAME = "--name (in Python name='...')"


@dataclass(frozen=True)
class Launch:
    """What became of a call to `launch`.

    Args:
        directory: the sweep's.
        progress: where it stands; None if it was finished before and nothing was run.
        signal: the signal that interrupted it, if one did.
    """

    directory: SweepDirectory
    progress: Progress | None
    signal: int | None = None


def launch(
    spec: SweepSpec,
    observer: Observer,
    *,
    near: Path,
    runs: Path,
    address: str | None = None,
    inline: bool = False,
    fresh: bool = False,
    grace: float = GRACE,
    objective: PickledFunction | None = None,
) -> Launch:
    """Run a sweep, or go on with it where it stopped.

    Args:
        spec: the sweep.
        observer: is told what happens.
        near: the sweep file's directory; files it names are looked for in the current one and here.
        runs: the folder in which the sweep's directory lies.
        address: of a running Ray cluster (`auto`, `HOST:6379`); `local` starts Ray on this machine. None is
            what RAY_ADDRESS in the environment says, as for `ray.init`, and else local.
        inline: run one trial at a time in this process, without Ray.
        fresh: move an old sweep of this name out of the way instead of going on with it.
        grace: when it is interrupted, how long running trials may go on to reach a checkpoint, in seconds.
        objective: a function of the calling process, to be run instead of what the spec names.

    Raises:
        InputError: something that was asked for is not there, or contradicts what is.
        StartInterrupted: it was interrupted before it had begun anything.
        SweepError: the sweep could not do its work.
    """
    directory = SweepDirectory.of(runs, spec.name)
    found = objective or find_objective(spec, near)
    sweep = PreparedSweep(spec, directory, found, Path.cwd(), working_directory(spec))
    space = SearchSpace.of(spec)
    check_sampler(spec.sampler, space, len(spec.goals))
    make_pruner(spec.pruner)
    start_points(spec, space)
    text = spec.to_yaml()
    start = _check_start(spec, directory, fresh)
    code = digest(found)
    if start in (_Start.FINISHED, _Start.GO_ON) and _has_changed(directory.code, code):
        observer.on_note(
            "the objective's code has changed since the sweep began; its earlier trials stay as they are"
        )
    if start is _Start.FINISHED:
        return Launch(directory, None)
    for folder in (directory.root.parent, *([directory.root] if directory.root.is_dir() else [])):
        check_can_hold(folder)
    if is_locked(directory.lock):
        with SweepLock(directory.lock, spec.name):
            pass  # raises as a rule, and names the process: before Ray is started for nothing
    if inline and spec.trial.timeout is not None:
        observer.on_note("trial.timeout is not kept inline: nothing can end a trial from within its process")
    for note in (*stop_notes(spec), *sampler_notes(spec, space), *pruner_notes(spec.pruner)):
        observer.on_note(note)
    interruption = Interruption()
    address = address or os.environ.get("RAY_ADDRESS")  # `ray job submit` sets it
    if address in ("", "local"):
        address = None
    with interruption.catch_signals():
        observer.on_startup("the objective" if inline else f"Ray at {address}" if address else "Ray")
        with _start(_engine(address, inline), interruption) as engine:
            engine.slots(spec)  # before anything is written: there may be no machine for such a trial
            if start is _Start.ANEW:
                observer.on_note(f"the old sweep is now in {_move_aside(directory, engine, observer)}")
            make_folder(directory.root)
            with SweepLock(directory.lock, spec.name) as run_id:
                _check_start(spec, directory, fresh=False)  # again: another process may have been faster
                engine.clean_up_previous_run(directory, observer)
                _write(directory.spec, text)
                if not directory.code.exists():
                    _write(directory.code, code)
                progress = engine.run(replace(sweep, run_id=run_id), observer, interruption, grace)
    return Launch(directory, progress, interruption.signal)


def resubmit(spec: SweepSpec, directory: SweepDirectory, numbers: Sequence[int]) -> None:
    """Have failed trials of a sweep that does not run now run again when it goes on.

    Args:
        spec: the sweep.
        directory: where it lies.
        numbers: which trials.

    Raises:
        InputError: another process runs it.
    """
    with SweepLock(directory.lock, spec.name):
        InlineEngine().clean_up_previous_run(directory, Observer())
        enqueue_resubmissions(create_or_load_study(spec, open_storage(spec, directory)), numbers)


def enqueue(
    spec: SweepSpec, directory: SweepDirectory, points: Sequence[Mapping[str, Any]], token: str
) -> None:
    """Have configurations tried when a sweep that does not run now goes on.

    Args:
        spec: the sweep.
        directory: where it lies.
        points: the configurations, as Optuna would have sampled them.
        token: of the wish.

    Raises:
        InputError: another process runs it.
    """
    with SweepLock(directory.lock, spec.name):
        InlineEngine().clean_up_previous_run(directory, Observer())
        enqueue_configurations(create_or_load_study(spec, open_storage(spec, directory)), points, token)


class _Start(Enum):
    """How a sweep begins, seen from what is on disk."""

    NEW = "there is nothing yet"
    ANEW = "an old sweep of that name has to be moved aside"
    GO_ON = "it has been started before"
    FINISHED = "there is nothing to do"


def _check_start(spec: SweepSpec, directory: SweepDirectory, fresh: bool) -> _Start:
    """See how a sweep would begin. Changes nothing.

    Raises:
        InputError: it must not: something else is in its place.
    """
    if not directory.exists():
        _check_free(spec, directory)
        return _Start.NEW
    if fresh:
        if spec.storage is not None:
            raise InputError(
                f"storage: --fresh cannot move the study {spec.name!r} aside there; choose another {_NAME}"
            )
        return _Start.ANEW
    view = SweepView(directory)
    if view.spec.name != spec.name:
        raise InputError(
            f"{directory.root}: holds the sweep {view.spec.name!r}, which knows itself by that name only; "
            f"call its directory so again, or choose another {_NAME}"
        )
    if view.study is None and any(directory.root.glob("trial-*")):
        raise InputError(
            f"{directory.root}: has trials, but the study to which they belong is not in "
            f"{spec.storage or directory.journal}; bring it back, or move the old sweep aside with "
            f"{'--name NAME' if spec.storage else '--fresh (in Python fresh=True)'}"
        )
    found = changes(view.spec, spec)
    has_nothing = all(trial.state == TrialState.FAIL for trial in view.frozen_trials)
    if found and has_nothing and spec.storage is None and not view.is_running:
        return _Start.ANEW  # no trial has a result, or will have one: there is nothing that could be mixed up
    if found:
        raise InputError(
            f"{spec.name}: cannot go on: this is not the sweep in {directory.root}:\n  "
            + "\n  ".join(found)
            + "\n  undo the change to go on with it, start another sweep with --name NAME, "
            "or move the old one aside with --fresh (in Python name='...', fresh=True)"
        )
    is_finished = not view.is_running and view.with_spec(spec).stopped_by is not None
    return _Start.FINISHED if is_finished else _Start.GO_ON


@contextmanager
def _start(engine: Engine, interruption: Interruption) -> Iterator[Engine]:
    """Enter an engine; a signal meanwhile ends it at once, for there is nothing yet that could be lost.

    Raises:
        StartInterrupted: there was a signal.
    """
    with ExitStack() as exits:
        try:
            with interruption.raise_at_once():
                exits.enter_context(engine)
                interruption.reinstall_handlers()
        except KeyboardInterrupt:
            raise StartInterrupted(interruption.signal or signal.SIGINT) from None
        except SystemExit:  # this is what Ray's own handler does while Ray is being started
            raise StartInterrupted(signal.SIGTERM) from None
        yield engine


def _engine(address: str | None, inline: bool) -> Engine:
    if inline:
        return InlineEngine()
    from sweep.engine.ray.engine import RayEngine  # importing Ray takes half a second

    return RayEngine(address)


_REMAINS = (".lock", ".fence", ".requests", "sweep.tmp")
"""What a start leaves that was killed at once."""


def _check_free(spec: SweepSpec, directory: SweepDirectory) -> None:
    """A new sweep must not run into something that is there already."""
    root = directory.root
    if root.exists() and (not root.is_dir() or any(path.name not in _REMAINS for path in root.iterdir())):
        raise InputError(f"{root}: is there already and is no sweep; choose another {_NAME}, or move it away")
    if spec.storage is not None:
        import optuna

        names = optuna.study.get_all_study_names(open_url(spec.storage))
        if spec.name in names:
            raise InputError(
                f"storage: {spec.storage} has a study {spec.name!r} of another sweep; choose another {_NAME}"
            )


def _move_aside(directory: SweepDirectory, engine: Engine, observer: Observer) -> Path:
    with SweepLock(directory.lock, directory.name):
        # What a killed run has left behind would write into the new sweep.
        engine.clean_up_previous_run(directory, observer)
        return _rename(directory)


def _rename(directory: SweepDirectory) -> Path:
    directory.attic.mkdir(exist_ok=True)
    stamp = time.strftime("%Y%m%d-%H%M%S")
    place = directory.attic / f"{directory.name}-{stamp}"
    count = 1
    while place.exists():
        count += 1
        place = directory.attic / f"{directory.name}-{stamp}-{count}"
    return directory.root.rename(place)


def _has_changed(kept: Path, code: str) -> bool:
    try:
        return differ(kept.read_text(encoding="utf-8"), code)
    except FileNotFoundError:
        return False


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    aside = path.with_suffix(".tmp")
    aside.write_text(text, encoding="utf-8")
    sync_one(aside)  # else it may be empty after a power failure, beside a journal that is not
    aside.replace(path)
