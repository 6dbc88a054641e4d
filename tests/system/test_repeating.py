"""A function is called at regular intervals in another thread, which is kept for the next function."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from sweep.system.repeating import RepeatedCall

PATIENCE = 30.0  # seconds; the machine may be busy


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def threads(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == name]


def test_a_function_is_called_until_it_is_stopped() -> None:
    calls: list[int] = []
    repeated = RepeatedCall(0.01, "of this test")
    repeated.start(lambda: calls.append(1))
    wait_for(lambda: len(calls) >= 3)
    repeated.stop()
    count = len(calls)
    wait_for(lambda: not threads("of this test"))
    assert len(calls) == count


def test_functions_that_follow_one_another_share_a_thread() -> None:
    repeated = RepeatedCall(0.2, "shared")
    calls: list[int] = []
    seen = set()
    for number in range(20):
        repeated.start(lambda number=number: calls.append(number))  # type: ignore[misc]
        seen.update(threads("shared"))
        if number < 19:
            repeated.stop()
    assert len(seen) == 1
    wait_for(lambda: bool(calls))
    repeated.stop()
    assert set(calls) == {19}


def test_stopping_waits_until_the_function_has_returned() -> None:
    entered, leave = threading.Event(), threading.Event()
    left: list[bool] = []

    def function() -> None:
        entered.set()
        left.append(leave.wait(PATIENCE))

    repeated = RepeatedCall(0.001, "slow")
    repeated.start(function)
    assert entered.wait(PATIENCE)
    threading.Timer(0.05, leave.set).start()
    repeated.stop()
    assert left[0]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_function_that_raises_is_not_called_again_and_another_one_can_follow() -> None:
    calls: list[str] = []

    def fail() -> None:
        calls.append("failed")
        raise ValueError("of this test")

    repeated = RepeatedCall(0.01, "failing")
    repeated.start(fail)
    wait_for(lambda: bool(calls) and not threads("failing"))
    repeated.start(lambda: calls.append("next"))
    wait_for(lambda: len(calls) >= 2)
    repeated.stop()
    assert (calls[0], set(calls[1:])) == ("failed", {"next"})
