"""Launch a sweep: check its spec against what is on disk, open its directory, run it on an engine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweep.analysis.resuming import name_for_commands, store_caller
from sweep.analysis.view import SweepView
from sweep.caller import caller
from sweep.controller.stop_rules import stop_notes
from sweep.engine.base import Engine, PreparedSweep
from sweep.engine.inline import InlineEngine
from sweep.engine.interruption import Interruption
from sweep.engine.observer import Observer
from sweep.errors import InputError, StartInterrupted, SweepError
from sweep.messages import Progress
from sweep.objective.boolean_options import boolean_option_notes
from sweep.objective.digest import differ, digest
from sweep.objective.find import ObjectiveReference, find_objective, working_directory
from sweep.objective.pickled_function import PickledFunction
from sweep.rendering.root_run import write_root_run
from sweep.rendering.root_run_updates import RootRunUpdates
from sweep.space import SearchSpace
from sweep.start_mode import StartMode, another_name, check_start
from sweep.study.constrained_sampler import check_constraints
from sweep.study.enqueue import enqueued_before, enqueued_configurations
from sweep.study.pruners import make_pruner, pruner_notes
from sweep.study.samplers import check_sampler, sampler_notes
from sweep.study.storage import write_spec
from sweep.sweepfile import SweepSpec
from sweep.system.directory import SweepDirectory, check_writable, create_directory
from sweep.system.durable import write_atomically
from sweep.system.environment import record_environment
from sweep.system.lock import SweepLock, has_locks, is_locked
from sweep.system.processes import missing_guarantees
from sweep.system.urls import connection_url

if TYPE_CHECKING:
    from sweep.analysis.explanation import Explanation
    from sweep.engine.slurm.options import SlurmOptions

_NO_LOCKS = (
    "this file system has no file locks: do not run the sweep twice at the same time, and wait until all "
    "processes of a killed run have exited"
)


class RunInterrupted(StartInterrupted):
    """A signal arrived while the sweep was running, and its database cannot be read now.

    Args:
        signal: the number of the signal.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(signal)
        SweepError.__init__(self, "interrupted; the database does not answer, so no results are shown")


@dataclass(frozen=True)
class LaunchOptions:
    """Where and how a sweep is run.

    Args:
        runs: the folder that contains the sweep's directory.
        address: the address of a running Ray cluster (`auto`, `HOST:6379`, `ray://HOST`), or `local` to start
            Ray on this machine. None means RAY_ADDRESS in the environment, as for `ray.init`, or `local`.
        inline: run one trial at a time in this process, without Ray.
        fresh: move an existing sweep of this name to `.old/` instead of resuming it.
        grace: how long running trials have to reach a checkpoint after an interruption, in seconds.
        slurm: which Slurm jobs run the trials; None without Slurm.
    """

    runs: Path
    address: str | None = None
    inline: bool = False
    fresh: bool = False
    grace: float = 30.0
    slurm: SlurmOptions | None = None


@dataclass(frozen=True)
class Launch:
    """The outcome of a call to `launch`.

    Args:
        view: the sweep on disk, afterwards.
        progress: the final progress; None if the sweep was already finished and nothing was run.
        signal: the signal that interrupted the sweep, if any.
        explanation: the results of the sweep; None if it was interrupted, or nothing was run.
    """

    view: SweepView
    progress: Progress | None
    signal: int | None = None
    explanation: Explanation | None = None


def launch(
    spec: SweepSpec,
    observer: Observer,
    options: LaunchOptions,
    *,
    near: Path,
    objective: PickledFunction | None = None,
) -> Launch:
    """Run a sweep, or resume it.

    Args:
        spec: the sweep.
        observer: receives the events of the run.
        options: where and how to run it.
        near: the sweep file's directory, in which files that it names are searched after the current one.
        objective: a function of the calling process, to run instead of what the spec names.

    Raises:
        InputError: the spec cannot be run, or contradicts the sweep on disk.
        StartInterrupted: a signal arrived before any trial was started, or while the database was away.
        SweepError: the sweep failed.
    """
    directory = SweepDirectory.of(options.runs, spec.name)
    reference = objective or find_objective(spec, near)
    sweep = PreparedSweep(spec, directory, reference, Path.cwd(), working_directory(spec))
    _check_search(spec, directory)
    code = digest(reference)
    view = _open(directory)
    mode = _start_mode(spec, directory, view, options.fresh)
    if mode in (StartMode.FINISHED, StartMode.RESUME) and _has_changed(directory.code, code):
        observer.on_note("the objective's code has changed since the sweep started; earlier trials are kept")
    if view is not None and mode is StartMode.FINISHED:
        return Launch(view, None)
    _check_directory(directory)
    for note in _notes(spec, reference, options):
        observer.on_note(note)
    interruption = Interruption()
    with interruption.catch_signals(), _started_engine(options, observer, interruption) as engine:
        engine.slots(spec)  # raises before anything is written if no machine has room for a trial
        if mode is StartMode.REPLACE:
            observer.on_note(f"the old sweep is now in {_move_aside(directory, engine, observer)}")
            view = None
        create_directory(directory.root)
        with _lock(directory) as run_id:
            view = _open(directory, view)  # again: another process may have been faster
            check_start(spec, directory, view, fresh=False)
            if not has_locks(directory.lock):
                observer.on_note(_NO_LOCKS)
            engine.clean_up_previous_run(directory, observer)
            write_spec(spec, directory)
            if not directory.code.exists():
                write_atomically(directory.code, code)
            store_caller(directory)
            record_environment(directory)
            directory.error.unlink(missing_ok=True)
            sweep = replace(sweep, run_id=run_id, known=view.storage if view is not None else None)
            with RootRunUpdates(directory):
                progress = engine.run(sweep, observer, interruption, options.grace)
            view, explanation = _after_run(view or SweepView(directory), observer, interruption)
    return Launch(view, progress, interruption.signal, explanation)


def _after_run(
    view: SweepView, observer: Observer, interruption: Interruption
) -> tuple[SweepView, Explanation | None]:
    """The sweep after a run, and its results unless it was interrupted.

    Its root run in TensorBoard is brought up to date.

    Raises:
        RunInterrupted: the database cannot be read after an interruption.
    """
    try:
        view = view.again()
        _ = view.frozen_trials  # read now, in case the database is away
    except InputError:
        if interruption.signal is None or view.spec.storage is None:
            raise
        raise RunInterrupted(interruption.signal) from None
    view.is_running = False  # although this process still holds the lock
    if view.study is None:
        return view, None
    explanation = None
    if interruption.signal is None:
        try:
            from sweep.analysis.explanation import explain  # not needed before

            explanation = explain(view)
        except Exception as error:  # noqa: BLE001 - what the sweep has found must not be lost for a sentence
            observer.on_note(f"`sweep explain` fails: {type(error).__name__}: {error}; please report it")
    write_root_run(view, explanation)
    return view, explanation


def _open(directory: SweepDirectory, earlier: SweepView | None = None) -> SweepView | None:
    """The sweep on disk as it is now; None if there is none.

    Args:
        directory: the sweep's directory.
        earlier: the sweep as it was opened before; what is known from then is not read again.
    """
    if not directory.exists():
        return None
    return SweepView(directory) if earlier is None else earlier.again()


def _check_search(spec: SweepSpec, directory: SweepDirectory) -> None:
    """Check that sampler and pruner fit the search space, and the database URL."""
    space = SearchSpace.of(spec)
    check_sampler(spec.sampler, space, len(spec.goals))
    make_pruner(spec.pruner)
    if spec.storage is not None:
        connection_url(spec.storage, directory.password)
    spec.to_yaml()  # raises for what cannot be written, before anything is changed


def _start_mode(spec: SweepSpec, directory: SweepDirectory, view: SweepView | None, fresh: bool) -> StartMode:
    """How the sweep is started. Checks what it will enqueue, which is not what it enqueued in earlier runs.

    The constraints of a new one are checked, while they can still be changed.
    """
    mode = check_start(spec, directory, view, fresh)
    space = SearchSpace.of(spec)
    is_new = mode in (StartMode.NEW, StartMode.REPLACE)
    study = None if is_new or view is None else view.study
    enqueued_configurations(spec, space, enqueued_before(study) if study is not None else ())
    if is_new:
        check_constraints(space)
    return mode


def _check_directory(directory: SweepDirectory) -> None:
    """Check that the directory is writable and that no other process runs the sweep."""
    for folder in (directory.root.parent, directory.root):
        check_writable(folder)
    if is_locked(directory.lock):
        with _lock(directory):
            pass  # raises before Ray is started, and names the process


def _lock(directory: SweepDirectory) -> SweepLock:
    advice = f"; watch it with: sweep watch {name_for_commands(directory)}\n{another_name()}"
    return SweepLock(directory.lock, directory.name, advice)


def _notes(spec: SweepSpec, reference: ObjectiveReference, options: LaunchOptions) -> list[str]:
    space = SearchSpace.of(spec)
    notes = [
        *stop_notes(spec),
        *sampler_notes(spec, space),
        *pruner_notes(spec.pruner, spec.repeats is not None),
    ]
    notes += boolean_option_notes(reference, space.parameters)
    if options.inline and (ignored := _ignored_inline(spec, options)):
        what = ", ".join(ignored)
        notes.insert(0, f"inline, trials run one after another in this process, which ignores {what}")
    if not options.inline and (missing := missing_guarantees()):
        notes.append(missing)
    return notes


def _ignored_inline(spec: SweepSpec, options: LaunchOptions) -> list[str]:
    """The options that have no effect inline, for the note that says so."""
    rules, resources = spec.trial, spec.resources
    given = {
        "max_parallel": spec.max_parallel not in (None, 1),
        "shared": spec.shared is not None,
        "resources.cpu": resources.cpu not in (0, 1),
        "resources.gpu (except that trial.device is a GPU)": resources.gpus > 0,
        "resources.workers (rank 0 is the only one)": resources.workers > 1,
        "resources.custom": bool(resources.custom),
        "resources.labels": bool(resources.labels),
        "runtime_env": bool(spec.runtime_env),
        "trial.timeout": rules.timeout is not None,
        "trial.recycle_after": rules.recycle_after is not None,
        "trial.recycle_at_gb": rules.recycle_at_gb is not None,
        "trial.isolate": rules.isolate,
        caller().option("address", options.address): options.address not in (None, "local"),
        caller().option("grace", options.grace): options.grace != LaunchOptions.grace,
    }
    return [name for name, is_ignored in given.items() if is_ignored]


@contextmanager
def _started_engine(
    options: LaunchOptions, observer: Observer, interruption: Interruption
) -> Iterator[Engine]:
    """Start an engine. A signal meanwhile terminates it at once, since no trial is running yet.

    Raises:
        StartInterrupted: a signal arrived.
    """
    address = options.address or os.environ.get("RAY_ADDRESS")  # `ray job submit` sets it
    if address in ("", "local") or options.slurm is not None:
        address = None
    observer.on_startup(_activity(address, options.inline))
    with ExitStack() as exits:
        try:
            with interruption.raise_at_once():
                engine = exits.enter_context(_engine(address, options))
                interruption.reinstall_handlers()
        except KeyboardInterrupt:
            raise StartInterrupted(interruption.signal or signal.SIGINT) from None
        except SystemExit:  # Ray's own signal handler raises it while Ray is being started
            raise StartInterrupted(signal.SIGTERM) from None
        yield engine


def _activity(address: str | None, inline: bool) -> str:
    if inline:
        return "starting the objective"
    if address is None:
        return "starting Ray"
    return "joining the running Ray" if address == "auto" else f"joining Ray at {address}"


def _engine(address: str | None, options: LaunchOptions) -> Engine:
    if options.inline:
        return InlineEngine()
    from sweep.engine.ray.engine import RayEngine  # importing Ray takes half a second

    return RayEngine(address, options.slurm)


def _move_aside(directory: SweepDirectory, engine: Engine, observer: Observer) -> Path:
    with _lock(directory):
        engine.clean_up_previous_run(
            directory, observer
        )  # survivors of a killed run would write into the new sweep
        directory.old_sweeps.mkdir(exist_ok=True)
        stem = f"{directory.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        target, count = directory.old_sweeps / stem, 1
        while target.exists():
            count += 1
            target = directory.old_sweeps / f"{stem}-{count}"
        return directory.root.rename(target)


def _has_changed(stored: Path, code: str) -> bool:
    try:
        return differ(stored.read_text(encoding="utf-8"), code)
    except FileNotFoundError:
        return False
