"""`sweep stop`, `sweep retry`: take the reins of a sweep from another terminal."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sweep.cli.options import Runs, SweepName
from sweep.errors import InputError, SweepError
from sweep.system.directory import RUNS

if TYPE_CHECKING:
    from sweep.analysis.view import SweepView

_PATIENCE = 60.0  # seconds


def stop(
    name: SweepName,
    trial: Annotated[
        int | None,
        typer.Option("--trial", metavar="N", help="Only this trial; the others go on.", show_default=False),
    ] = None,
    runs: Runs = RUNS,
) -> None:
    """Stop a running sweep as Ctrl-C does, or one of its trials, from anywhere.

    Running trials have the time that `sweep run --grace` gave them to reach a checkpoint; the same command
    again ends them now. `sweep run` goes on from there. A single trial is ended at once, for good: it counts
    as pruned.

    \b
    Examples:
      sweep stop digits-cnn
      sweep stop digits-cnn --trial 7
    """
    from sweep.analysis.view import SweepView
    from sweep.controller.requests import Request, leave_request

    view = SweepView.open(name, runs)
    run_id = _run_id(view)
    if run_id is None:
        raise InputError(
            f"{view.spec.name}: does not run now, so there is nothing to stop; see `sweep status {name}`"
        )
    if trial is None:
        leave_request(view.directory.requests, Request(run_id, stop=True))
        print(
            f"stopping {view.spec.name}: its running trials have some time to reach a checkpoint; "
            "the same command again ends them now ...",
            flush=True,
        )
        while _run_id(view) == run_id:
            time.sleep(0.1)
        print("stopped. The same `sweep run` goes on.")
        return
    state = _state(view, trial)
    if state != "RUNNING":
        raise InputError(f"trial {trial} of {view.spec.name} does not run: it is {state}")
    leave_request(view.directory.requests, Request(run_id, stop_trial=trial))
    _wait(
        lambda: _state(SweepView(view.directory), trial) != "RUNNING",
        f"trial {trial} has not ended; with --inline nothing can end a trial from outside",
    )
    print(f"trial {trial} is stopped: {_state(SweepView(view.directory), trial)}")


def retry(
    name: SweepName,
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="[N]...", help="Numbers of trials.", show_default=False)
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All trials that failed.")] = False,
    runs: Runs = RUNS,
) -> None:
    """Run failed trials again, as new trials with the same parameters.

    If the sweep does not run, give `sweep run` again afterwards. The old trials stay as they are;
    `sweep trials --format json` links the new ones to them (retry_of). These come on top of the number of
    trials the sweep has, and begin at their beginning, with a seed of their own.

    \b
    Examples:
      sweep retry digits-cnn --failed
      sweep retry digits-cnn 3 17
    """
    from sweep.analysis.view import SweepView
    from sweep.controller.requests import Request, leave_request
    from sweep.launch import resubmit

    view = SweepView.open(name, runs)
    chosen = _choose(view, numbers or [], failed)
    run_id = _run_id(view)
    then = "when `sweep run` goes on"
    if run_id is not None:
        leave_request(view.directory.requests, Request(run_id, resubmit=tuple(chosen)))
        _wait(lambda: _run_id(view) != run_id or _all_enqueued(view, chosen), "the sweep has not answered")
        then = "now"
    if not _all_enqueued(view, chosen):  # it does not run, or ended meanwhile
        resubmit(view.spec, view.directory, chosen)
        then = "when `sweep run` goes on"
    successors = _successors(SweepView(view.directory))
    for number in chosen:
        print(f"trial {number} is run again as trial {successors[number]}, {then}")


def enqueue(
    name: SweepName,
    values: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Parameters.", show_default=False)
    ] = None,
    runs: Runs = RUNS,
) -> None:
    """Have a configuration tried next; parameters that are not named are sampled.

    It works while the sweep runs, and counts as one of its trials. If it does not run, the configuration is
    tried when `sweep run` goes on.

    \b
    Examples:
      sweep enqueue digits-cnn lr=0.01 optimizer=sgd
      sweep enqueue digits-cnn batch_size=64
    """
    import secrets

    from sweep.analysis.view import SweepView
    from sweep.controller.requests import Request, leave_request
    from sweep.launch import enqueue as enqueue_later
    from sweep.study.enqueue import is_enqueued

    view = SweepView.open(name, runs)
    point = _configuration(view, values or [])
    run_id, token, then = _run_id(view), secrets.token_hex(8), "when `sweep run` goes on"
    if run_id is not None:
        leave_request(view.directory.requests, Request(run_id, enqueue=(point,), token=token))
        _wait(
            lambda: _run_id(view) != run_id or is_enqueued(SweepView(view.directory).frozen_trials, token),
            "the sweep has not answered",
        )
        then = "next"
    if not is_enqueued(SweepView(view.directory).frozen_trials, token):
        enqueue_later(view.spec, view.directory, [point], token)
        then = "when `sweep run` goes on"
    trial = next(trial for trial in SweepView(view.directory).frozen_trials if is_enqueued([trial], token))
    print(f"trial {trial.number} is enqueued: it is tried {then}")


def _configuration(view: SweepView, texts: list[str]) -> dict[str, Any]:
    """What is to be tried, as Optuna would have sampled it."""
    from sweep.errors import EntryError
    from sweep.space import SearchSpace
    from sweep.space.space import EXHAUSTIVE
    from sweep.study.constrained_sampler import check_feasible
    from sweep.sweepfile.load import parse_override

    if view.spec.sampler.type in EXHAUSTIVE:
        raise InputError(f"{view.spec.name}: {view.spec.sampler.type} tries every configuration anyway")
    if not texts:
        raise InputError("say what to try, for example lr=0.01")
    found = {}
    for text in texts:
        _, key, value = parse_override(text, option="")
        found[key] = value
    try:
        space = SearchSpace.of(view.spec)
        point = space.encode(found, "enqueue")
        check_feasible(space, point, "enqueue")
    except EntryError as error:
        raise InputError(str(error).removeprefix("enqueue.")) from None
    if view.stopped_by is not None:
        raise InputError(f"{view.spec.name}: is finished; {_try_it_after_all(view, texts)}")
    if view.total is not None and len(view.frozen_trials) >= view.total:
        raise InputError(f"{view.spec.name}: all its trials have begun; {_try_it_after_all(view, texts)}")
    return point


def _try_it_after_all(view: SweepView, texts: list[str]) -> str:
    """What to type so that a sweep tries a configuration that has no room for it."""
    rule, trials = view.stopped_by or "trials", view.spec.stop.trials
    entry = ", ".join(text.strip().replace("=", ": ", 1) for text in texts)
    wish = shlex.quote(f"enqueue=[{{{entry}}}]")
    if rule == "trials" and trials is not None:
        return f"give it one more trial, and this to try: sweep run FILE -n {trials + 1} --set {wish}"
    return (
        f"stop.{rule} is reached: give it another one, and this to try: "
        f"sweep run FILE --set stop.{rule}=... --set {wish}"
    )


def _choose(view: SweepView, numbers: list[int], failed: bool) -> list[int]:
    from sweep.study.resubmission import failed_trials

    if failed == bool(numbers):
        raise InputError("say which trials: their numbers, or --failed for all that failed")
    if view.stopped_by in ("target", "plateau", "hours", "time"):
        raise InputError(
            f"{view.spec.name}: nothing more will be run, for its {view.stopped_by} is reached; "
            f"first give `sweep run` another one with --set stop.{view.stopped_by}=..."
        )
    possible = failed_trials(view.frozen_trials)
    if failed:
        if not possible:
            raise InputError(f"{view.spec.name}: no trial failed that has not been run again")
        return possible
    for number in numbers:
        if number not in possible:
            state = _state(view, number)
            why = "has been run again already" if state == "FAIL" else f"has not failed: it is {state}"
            raise InputError(f"trial {number} of {view.spec.name} {why}")
    return list(dict.fromkeys(numbers))


def _state(view: SweepView, number: int) -> str:
    rows = view.rows()
    if not 0 <= number < len(rows):
        raise InputError(f"{view.spec.name}: there is no trial {number}; there are {len(rows)}")
    return rows[number].state


def _run_id(view: SweepView) -> str | None:
    """The id of the run that is going on now, or None."""
    from sweep.system.lock import holder, is_locked

    found = holder(view.directory.lock) if is_locked(view.directory.lock) else None
    return found.run_id if found is not None else None


def _all_enqueued(view: SweepView, numbers: list[int]) -> bool:
    return set(numbers) <= _successors(type(view)(view.directory)).keys()


def _successors(view: SweepView) -> dict[int, int]:
    return {row.retry_of: row.number for row in view.rows() if row.retry_of is not None}


def _wait(is_done: Callable[[], bool], complaint: str) -> None:
    end = time.monotonic() + _PATIENCE
    while not is_done():
        if time.monotonic() >= end:
            raise SweepError(complaint)
        time.sleep(0.2)
