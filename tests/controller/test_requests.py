"""Requests of other processes to a running sweep."""

from __future__ import annotations

from pathlib import Path

from sweep.controller.requests import (
    Request,
    RequestInbox,
    SentRequest,
    find_equal,
    has_requests,
    write_request,
)


def requests(taken: list[SentRequest]) -> list[Request]:
    return [sent.request for sent in taken]


def test_requests_are_taken_once_and_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    inbox = RequestInbox(folder, "s")
    assert inbox.take() == []
    asked = [Request("s", stop_trial=7), Request(resubmit=(1, 2)), Request("s", stop=True)]
    for request in asked:
        write_request(folder, request)
    taken = inbox.take()
    assert requests(taken) == asked
    assert inbox.take() == []
    for sent in taken:
        assert not sent.is_done
        sent.complete()
        assert sent.is_done
    assert not list(folder.iterdir())


def test_a_request_is_withdrawn_or_taken_but_never_both(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    inbox = RequestInbox(folder, "s")
    withdrawn = write_request(folder, Request(enqueue=({"x": 1.0},)))
    assert not withdrawn.is_done
    assert withdrawn.withdraw()
    assert withdrawn.is_done
    assert inbox.take() == []
    kept = write_request(folder, Request(enqueue=({"x": 1.0},)))
    assert requests(inbox.take()) == [kept.request]
    assert not kept.withdraw()
    assert not kept.is_done


def test_a_request_that_a_process_took_before_it_died_is_taken_by_the_next_one(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    sent = write_request(folder, Request(resubmit=(3,)))
    assert requests(RequestInbox(folder, "s").take()) == [sent.request]
    assert has_requests(folder)
    inbox = RequestInbox(folder, "another session")
    assert requests(inbox.take()) == [sent.request]
    assert inbox.take() == []


def test_an_unreadable_request_is_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    sent = write_request(folder, Request("s", stop=True))
    (folder / "0.json").write_text("{")
    (folder / "1.json").write_text('{"session": "s", "fly": true, "resubmit": []}')
    (folder / "2.json").write_text('{"run_id": "s", "stop": true, "resubmit": [], "enqueue": []}')
    (taken,) = RequestInbox(folder, "s").take()
    assert taken.request == sent.request
    taken.complete()
    assert not list(folder.iterdir())


def test_a_request_to_stop_an_earlier_session_is_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    for request in (Request("an earlier one", stop=True), Request("an earlier one", stop_trial=1)):
        write_request(folder, request)
    assert not has_requests(folder)
    assert RequestInbox(folder, "s").take() == []
    assert not list(folder.iterdir())


def test_an_equal_request_that_has_not_been_carried_out_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    sent = write_request(folder, Request(enqueue=({"x": 1.0},)))
    inbox = RequestInbox(folder, "s")
    for _ in range(2):  # waiting, then taken
        found = find_equal(folder, Request(enqueue=({"x": 1.0},)))
        assert found is not None
        assert found.request.token == sent.request.token
        assert find_equal(folder, Request(enqueue=({"x": 2.0},))) is None
        assert find_equal(folder, Request(enqueue=({"x": True},))) is None
        inbox.take()
    sent.complete()
    assert find_equal(folder, Request(enqueue=({"x": 1.0},))) is None
