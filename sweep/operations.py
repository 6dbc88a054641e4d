"""Operations on an existing sweep, running or not: stop it, resubmit failed trials, enqueue configurations.

A running sweep is sent a request, which its controller carries out. If no process runs the sweep, this one
takes the sweep lock and writes to the study itself.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import optuna

from sweep.analysis.resuming import stored_caller
from sweep.analysis.view import SweepView
from sweep.caller import PLACEHOLDER, CommandLine
from sweep.controller.requests import Request, write_request
from sweep.controller.stop_rules import IGNORES_RESUBMISSIONS
from sweep.engine.inline import InlineEngine
from sweep.engine.observer import Observer
from sweep.errors import EntryError, InputError, SweepError
from sweep.space import SearchSpace
from sweep.space.space import EXHAUSTIVE
from sweep.study.constrained_sampler import check_feasible
from sweep.study.enqueue import enqueue_configurations, is_enqueued
from sweep.study.resubmission import enqueue_resubmissions, failed_trials
from sweep.study.storage import create_or_load_study, open_storage
from sweep.sweepfile.load import parse_override
from sweep.system.lock import SweepLock, holder, is_locked

_TIMEOUT = 60.0
"""Seconds that a running sweep has to answer a request."""


def request_stop(view: SweepView) -> str:
    """Ask a running sweep to stop, as Ctrl-C does.

    Returns:
        the id of the run, for `wait_until_stopped`.

    Raises:
        InputError: the sweep is not running.
    """
    run_id = _require_run(view)
    write_request(view.directory.requests, Request(run_id, stop=True))
    return run_id


def wait_until_stopped(view: SweepView, run_id: str) -> None:
    """Wait until a run of a sweep has terminated."""
    while _run_id(view) == run_id:
        time.sleep(0.1)


def stop_trial(view: SweepView, number: int) -> str:
    """Stop a running trial.

    Returns:
        the trial's state afterwards.

    Raises:
        InputError: the trial or the sweep is not running.
        SweepError: the trial did not stop in time.
    """
    run_id = _require_run(view)
    state = _state(view, number)
    if state != "RUNNING":
        raise InputError(f"trial {number} of {view.spec.name} is not running: it is {state}")
    write_request(view.directory.requests, Request(run_id, stop_trial=number))
    _wait(
        lambda: _state(_reread(view), number) != "RUNNING",
        f"trial {number} did not stop; with --inline a trial cannot be stopped from another process",
    )
    return _state(_reread(view), number)


def trials_to_resubmit(view: SweepView, numbers: Sequence[int] | None) -> list[int]:
    """The failed trials to resubmit.

    Args:
        view: the sweep.
        numbers: the numbers of failed trials; None for all failed trials.

    Raises:
        InputError: the sweep is finished, or a trial has not failed or has been resubmitted before.
    """
    if view.stopped_by is not None and view.stopped_by not in IGNORES_RESUBMISSIONS:
        how = stored_caller(view.directory)
        raise InputError(
            f"{view.spec.name}: its stop rule {view.stopped_by} is reached, so no trial would be run; first "
            f"change the rule: {how.again(**{f'stop.{view.stopped_by}': PLACEHOLDER})}"
        )
    candidates = failed_trials(view.frozen_trials)
    if numbers is None:
        if not candidates:
            raise InputError(f"{view.spec.name}: has no failed trial that has not been run again")
        return candidates
    for number in numbers:
        if number not in candidates:
            state = _state(view, number)
            problem = "has already been run again" if state == "FAIL" else f"has not failed: it is {state}"
            raise InputError(f"trial {number} of {view.spec.name} {problem}")
    return list(dict.fromkeys(numbers))


def resubmit(view: SweepView, numbers: Sequence[int]) -> tuple[dict[int, int], bool]:
    """Enqueue failed trials again, as new trials with the same parameters.

    Args:
        view: the sweep.
        numbers: the failed trials.

    Returns:
        the number of the new trial by that of the failed one, and whether the sweep is running.

    Raises:
        SweepError: the running sweep did not answer.
    """

    def successors() -> dict[int, int]:
        return {row.retry_of: row.number for row in _reread(view).rows() if row.retry_of is not None}

    is_running = _deliver(
        view,
        Request("", resubmit=tuple(numbers)),
        is_done=lambda: set(numbers) <= successors().keys(),
        write=lambda study: enqueue_resubmissions(study, numbers),
    )
    return successors(), is_running


def read_configuration(view: SweepView, assignments: Sequence[str]) -> dict[str, Any]:
    """A configuration to enqueue, in the form in which Optuna samples it.

    Args:
        view: the sweep.
        assignments: parameters such as `lr=0.01`.

    Raises:
        InputError: the configuration is not in the search space, or the sweep will not run another trial.
    """
    if view.spec.sampler.type in EXHAUSTIVE:
        raise InputError(f"{view.spec.name}: {view.spec.sampler.type} tries every configuration anyway")
    values = _read_values(assignments)
    if not values:
        raise InputError("no parameters; write for example lr=0.01")
    try:
        space = SearchSpace.of(view.spec)
        point = space.encode(values, "enqueue")
        check_feasible(space, point, "enqueue")
    except EntryError as error:
        raise InputError(str(error).removeprefix("enqueue.")) from None
    if view.stopped_by is not None:
        raise InputError(f"{view.spec.name}: is finished; {_how_to_extend(view, assignments)}")
    if view.total is not None and len(view.frozen_trials) >= view.total:
        raise InputError(
            f"{view.spec.name}: all its trials have started; {_how_to_extend(view, assignments)}"
        )
    return point


def enqueue(view: SweepView, point: dict[str, Any]) -> tuple[int, bool]:
    """Enqueue a configuration, which runs before those that the sampler chooses.

    Args:
        view: the sweep.
        point: the configuration, in the form in which Optuna samples it.

    Returns:
        the number of the new trial, and whether the sweep is running.

    Raises:
        SweepError: the running sweep did not answer.
    """
    token = secrets.token_hex(8)
    is_running = _deliver(
        view,
        Request("", enqueue=(point,), token=token),
        is_done=lambda: is_enqueued(_reread(view).frozen_trials, token),
        write=lambda study: enqueue_configurations(study, [point], token),
    )
    trials = _reread(view).frozen_trials
    return next(trial.number for trial in trials if is_enqueued([trial], token)), is_running


def _deliver(
    view: SweepView,
    request: Request,
    is_done: Callable[[], bool],
    write: Callable[[optuna.Study], object],
) -> bool:
    """Have the running sweep carry out a request; if no process runs it, write to its study.

    Returns:
        whether the running sweep carried it out.

    Raises:
        InputError: another process has just started to run the sweep.
        SweepError: the running sweep did not answer.
    """
    run_id = _run_id(view)
    if run_id is not None:
        write_request(view.directory.requests, replace(request, run_id=run_id))
        _wait(lambda: _run_id(view) != run_id or is_done(), "the sweep has not answered")
        if is_done():
            return True
    with SweepLock(view.directory.lock, view.spec.name):
        InlineEngine().clean_up_previous_run(view.directory, Observer())
        write(create_or_load_study(view.spec, open_storage(view.spec, view.directory)))
    return False


def _read_values(assignments: Sequence[str]) -> dict[str, Any]:
    return {key: value for _, key, value in (parse_override(text, option="") for text in assignments)}


def _how_to_extend(view: SweepView, assignments: Sequence[str]) -> str:
    """The command that extends a sweep and enqueues a configuration in it."""
    how, rule, trials = stored_caller(view.directory), view.stopped_by or "trials", view.spec.stop.trials
    entry = ", ".join(text.strip().replace("=", ": ", 1) for text in assignments)
    value = f"[{{{entry}}}]" if isinstance(how, CommandLine) else [_read_values(assignments)]
    limit = PLACEHOLDER if rule != "trials" or trials is None else trials + 1
    command = how.again(**{f"stop.{rule}": limit, "enqueue": value})
    return f"extend it and enqueue this configuration: {command}"


def _reread(view: SweepView) -> SweepView:
    return SweepView(view.directory)


def _state(view: SweepView, number: int) -> str:
    rows = view.rows()
    if not 0 <= number < len(rows):
        raise InputError(f"{view.spec.name}: has no trial {number}; it has {len(rows)} trials")
    return rows[number].state


def _run_id(view: SweepView) -> str | None:
    """The id of the current run, or None if the sweep is not running."""
    process = holder(view.directory.lock) if is_locked(view.directory.lock) else None
    return process.run_id if process is not None else None


def _require_run(view: SweepView) -> str:
    run_id = _run_id(view)
    if run_id is None:
        raise InputError(f"{view.spec.name}: is not running")
    return run_id


def _wait(is_done: Callable[[], bool], message: str) -> None:
    deadline = time.monotonic() + _TIMEOUT
    while not is_done():
        if time.monotonic() >= deadline:
            raise SweepError(message)
        time.sleep(0.2)
