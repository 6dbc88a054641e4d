"""Operations on an existing sweep, running or not: stop it, resubmit failed trials, enqueue configurations.

A running sweep is sent a request, which its controller carries out. If no process runs the sweep, this one
takes the sweep lock and carries it out itself. A request whose sender does not wait any longer is withdrawn,
or the sender says that it is carried out later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sweep.analysis.resuming import stored_caller
from sweep.analysis.view import SweepView
from sweep.caller import PLACEHOLDER, CommandLine
from sweep.controller.requests import Request, RequestInbox, SentRequest, find_equal, write_request
from sweep.controller.stop_rules import IGNORES_RESUBMISSIONS
from sweep.engine.inline import InlineEngine
from sweep.engine.interruption import Interruption
from sweep.engine.observer import Observer
from sweep.errors import EntryError, InputError, OperationInterrupted, SweepError
from sweep.space import SearchSpace
from sweep.space.space import EXHAUSTIVE
from sweep.study.attributes import RESUBMISSION_OF, TOKEN
from sweep.study.constrained_sampler import check_feasible
from sweep.study.requested import RequestedTrials
from sweep.study.resubmission import failed_trials
from sweep.study.storage import check_study, open_study
from sweep.sweepfile.load import parse_override
from sweep.sweepfile.yaml import write_yaml
from sweep.system.lock import SweepLock, current_session, is_locked
from sweep.system.remote.fetch import check_runs_here

_TIMEOUT = 30.0
"""How long the sender of a request waits for the running sweep, in seconds."""
QUEUED = (
    "queued: the running sweep has not answered yet, because its sampler or, with --inline, its trial takes "
    "long. It carries out the request afterwards; if it is stopped before, the next `sweep run` does"
)
"""The message for a request that the running sweep has not carried out yet."""
_POLL_INTERVAL = 0.1
"""Time between two looks at the files of a sweep, in seconds."""


def stop(view: SweepView, on_sent: Callable[[], None]) -> bool:
    """Ask a running sweep to stop, as Ctrl-C does, and wait until it has terminated.

    Args:
        view: the sweep.
        on_sent: called when the request has been sent.

    Returns:
        whether the sweep took the request; otherwise it terminated for another reason.

    Raises:
        InputError: the sweep is not running.
        OperationInterrupted: this process received a signal.
    """
    session = _require_session(view)
    with _sending(view, Request(session, stop=True)) as sent:
        on_sent()
        while current_session(view.directory.lock) == session:
            time.sleep(_POLL_INTERVAL)
    return not sent.withdraw()


def stop_trial(view: SweepView, number: int) -> str:
    """Stop a running trial.

    Returns:
        the trial's state afterwards. It is RUNNING if the sweep has taken the request and not recorded its
        end yet.

    Raises:
        InputError: the trial or the sweep is not running.
        SweepError: the sweep did not take the request, which is withdrawn.
        OperationInterrupted: this process received a signal.
    """
    session = _require_session(view)
    state = _state(view, number)
    if state != "RUNNING":
        raise InputError(f"trial {number} of {view.spec.name} is not running: it is {state}")
    with _sending(view, Request(session, stop_trial=number)) as sent:
        deadline, has_ended = time.monotonic() + _TIMEOUT, False
        while not (sent.is_done or has_ended) and time.monotonic() < deadline:
            has_ended = current_session(view.directory.lock) != session
            time.sleep(_POLL_INTERVAL)
        if sent.withdraw():
            reason = (
                "the sweep has ended"
                if has_ended
                else f"the sweep did not take it in {_TIMEOUT:g} s; with --inline a running trial cannot be "
                "stopped from another process"
            )
            raise SweepError(f"trial {number} is not stopped, and the request is withdrawn: {reason}")
        while (state := _state(view.again(), number)) == "RUNNING" and time.monotonic() < deadline:
            time.sleep(_POLL_INTERVAL)
    return state


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
        the number of the new trial by that of the failed one, and whether the sweep is running. It does not
        contain all of them if the running sweep has not carried out the request yet.

    Raises:
        OperationInterrupted: this process received a signal.
        SweepError: the sweep was moved aside.
    """
    is_done = _deliver(view, Request(resubmit=tuple(numbers))).is_done
    now = view.again()
    successors = {
        trial.user_attrs[RESUBMISSION_OF]: trial.number
        for trial in now.frozen_trials
        if RESUBMISSION_OF in trial.user_attrs
    }
    if is_done and not successors.keys() >= set(numbers):
        raise _lost(view)
    return successors, now.is_running


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


def enqueue(view: SweepView, point: dict[str, Any]) -> tuple[int | None, bool]:
    """Enqueue a configuration, which runs before those that the sampler chooses.

    Args:
        view: the sweep.
        point: the configuration, in the form in which Optuna samples it.

    Returns:
        the number of the new trial, and whether the sweep is running. The number is None if the running sweep
        has not carried out the request yet.

    Raises:
        OperationInterrupted: this process received a signal.
        SweepError: the sweep was moved aside.
    """
    sent = _deliver(view, Request(enqueue=(point,)))
    is_done = sent.is_done
    now = view.again()
    tokens = {trial.user_attrs.get(TOKEN): trial.number for trial in now.frozen_trials}
    if is_done and sent.request.token not in tokens:
        raise _lost(view)
    return tokens.get(sent.request.token), now.is_running


def _lost(view: SweepView) -> SweepError:
    return SweepError(f"{view.spec.name}: has been moved aside by `sweep run --fresh`; nothing was enqueued")


def _deliver(view: SweepView, request: Request) -> SentRequest:
    """Have the running sweep carry out a request; if no process runs it, this one does.

    Returns:
        the request, or an equal one that was sent before. It is carried out later if the running sweep did
        not do so in time.

    Raises:
        OperationInterrupted: this process received a signal.
    """
    with _sending(view, request) as sent:
        deadline = time.monotonic() + _TIMEOUT
        while not sent.is_done and time.monotonic() < deadline:
            if is_locked(view.directory.lock):
                time.sleep(_POLL_INTERVAL)
            else:
                _carry_out_requests(view)
    return sent


@contextmanager
def _sending(view: SweepView, request: Request) -> Iterator[SentRequest]:
    """Send a request, unless an equal one is waiting. If the block is left early, it is withdrawn.

    Raises:
        OperationInterrupted: a signal has arrived. The message says what becomes of the request.
    """
    check_runs_here(view.directory)
    folder, interruption = view.directory.requests, Interruption()
    with interruption.catch_signals():
        earlier = None if request.session else find_equal(folder, request)
        sent = earlier or write_request(folder, request)
        try:
            with interruption.raise_at_once():
                yield sent
        except BaseException as error:
            is_withdrawn = earlier is None and sent.withdraw()
            if isinstance(error, KeyboardInterrupt):
                message = "the request is withdrawn" if is_withdrawn else "the request will be carried out"
                raise OperationInterrupted(message, interruption.signal) from None
            raise


def _carry_out_requests(view: SweepView) -> None:
    """Carry out the requests to a sweep that no process runs, unless one has just started to run it."""
    try:
        with SweepLock(view.directory.lock, view.spec.name, is_request=True):
            InlineEngine().clean_up_previous_run(view.directory, Observer())
            now = view.again()
            check_study(now.spec, now.directory, now.study)  # a new study would have none of the trials
            study = open_study(now.spec, now.directory, now.storage)
            requested = RequestedTrials(study)
            for sent in RequestInbox(view.directory.requests, session="").take():
                requested.resubmit(sent.request.resubmit)
                requested.enqueue(sent.request.enqueue, sent.request.token)
                sent.complete()
    except InputError:
        if not is_locked(view.directory.lock):
            raise


def _read_values(assignments: Sequence[str]) -> dict[str, Any]:
    return {key: value for _, key, value in (parse_override(text, option="") for text in assignments)}


def _how_to_extend(view: SweepView, assignments: Sequence[str]) -> str:
    """The command that extends a sweep and enqueues a configuration in it."""
    how, rule, trials = stored_caller(view.directory), view.stopped_by or "trials", view.spec.stop.trials
    entries = [_read_values(assignments)]
    value = write_yaml(entries, flow=True).strip() if isinstance(how, CommandLine) else entries
    limit = PLACEHOLDER if rule != "trials" or trials is None else trials + 1
    command = how.again(**{f"stop.{rule}": limit, "enqueue": value})
    return f"extend it and enqueue this configuration: {command}"


def _state(view: SweepView, number: int) -> str:
    trials = view.frozen_trials
    if not 0 <= number < len(trials):
        raise InputError(f"{view.spec.name}: has no trial {number}; it has {len(trials)} trials")
    return view.state_of(trials[number])


def _require_session(view: SweepView) -> str:
    check_runs_here(view.directory)
    session = current_session(view.directory.lock)
    if session is None:
        raise InputError(f"{view.spec.name}: is not running")
    return session
