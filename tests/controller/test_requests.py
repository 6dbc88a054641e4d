"""Requests of other processes to a running sweep."""

from __future__ import annotations

from pathlib import Path

from sweep.controller.requests import Request, take_requests, write_request


def test_requests_are_taken_once_and_in_order(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    assert take_requests(folder, "r") == []
    asked = [Request("r", stop_trial=7), Request("r", resubmit=(1, 2)), Request("r", stop=True)]
    for request in asked:
        write_request(folder, request)
    assert take_requests(folder, "r") == asked
    assert take_requests(folder, "r") == []


def test_an_unreadable_request_is_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "requests"
    write_request(folder, Request("r", stop=True))
    (folder / "0.json").write_text("{")
    (folder / "1.json").write_text('{"run_id": "r", "fly": true, "resubmit": []}')
    assert take_requests(folder, "r") == [Request("r", stop=True)]
    assert not list(folder.iterdir())


def test_requests_to_an_earlier_run_are_dropped(tmp_path: Path) -> None:
    write_request(tmp_path / "requests", Request("an earlier one", stop=True))
    assert take_requests(tmp_path / "requests", "r") == []
    assert take_requests(tmp_path / "requests", "an earlier one") == []
