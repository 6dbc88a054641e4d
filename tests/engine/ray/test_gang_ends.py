"""Which rank's end is that of an attempt which several workers run."""

from __future__ import annotations

import errno
from dataclasses import replace
from unittest.mock import Mock

import pytest
import ray
from ray.exceptions import ActorUnavailableError, RayTaskError

from sweep.engine.ray.gang import Gang, _cause, _End, _of_rank
from sweep.engine.ray.worker import CONNECTION_LOST, FinishedAttempt
from sweep.messages import Outcome, OutcomeKind


def _end(rank: int, kind: OutcomeKind, at: float = 0.0, died: bool = False) -> _End:
    finished = FinishedAttempt(Outcome(0, 1, kind), is_worker_spent=False, oom_kills=0, ended=at)
    return _End(rank, None if died else finished, kind, "", at)


@pytest.mark.parametrize(
    ("ends", "rank"),
    [
        ([_end(1, "returned"), _end(0, "returned")], 0),
        ([_end(1, "error", at=2), _end(0, "pruned", at=1)], 0),  # rank 1 has waited for rank 0
        ([_end(1, "error", at=1), _end(0, "interrupted", at=2)], 0),
        ([_end(0, "error", at=2), _end(2, "error", at=1)], 2),  # the first one is the cause
        ([_end(0, "error", at=1), _end(1, "crash", at=2, died=True)], 1),  # Ray notices a death late
        ([_end(0, "error", at=1), _end(1, "oom", at=2)], 1),
        ([_end(1, "crash", died=True), _end(0, "returned")], 1),
        ([_end(0, "returned"), _end(1, "error")], 0),  # its result is known
        ([_end(1, "interrupted", at=1), _end(0, "crash", at=2)], 1),  # NCCL aborts rank 0, which has waited
        ([_end(1, "interrupted", at=1), _end(0, "crash", at=2, died=True)], 1),
    ],
)
def test_the_end_of_an_attempt_is_that_of_the_rank_that_caused_it(ends: list[_End], rank: int) -> None:
    assert _cause(ends).rank == rank


def test_a_reason_names_the_rank_and_a_rank_without_one_adds_none() -> None:
    assert _of_rank(replace(_end(1, "error"), reason="no data")) == "rank 1: no data"
    assert _of_rank(replace(_end(0, "error"), reason="no data")) == "no data"
    assert _of_rank(_end(1, "pruned")) == ""


def test_a_full_disk_outside_the_objective_is_no_crash_of_a_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    error = RayTaskError("run_rank", "traceback", OSError(errno.ENOSPC, "No space left on device"))
    monkeypatch.setattr(ray, "get", Mock(side_effect=error))
    end = Gang._end_of(Mock(), Mock(), 1, Mock(), is_last=False)
    assert end is not None
    assert (end.rank, end.kind, end.finished) == (1, "disk_full", None)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (FinishedAttempt(Outcome(0, 2, "returned", 0.5), is_worker_spent=False, oom_kills=0), "returned"),
        (FinishedAttempt(Outcome(0, 1, "returned", 0.5), is_worker_spent=False, oom_kills=0), "crash"),
        (None, "crash"),
    ],
)
def test_a_rank_whose_answer_was_lost_is_asked_for_it(
    answer: FinishedAttempt | None, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost, asked = Mock(), Mock()
    gang = Mock(_is_script=False, _workers=[Mock(last_attempt=Mock(remote=lambda: asked))])
    gang._end_of = lambda *arguments, **keywords: Gang._end_of(gang, *arguments, **keywords)

    def get(call: object) -> object:
        if call is lost:
            raise ActorUnavailableError("the connection", b"0" * 16)
        return answer

    monkeypatch.setattr(ray, "get", get)
    monkeypatch.setattr(ray, "wait", lambda calls, timeout: (calls, []))
    ((end,), left) = Gang._wait(gang, {lost: 0}, Mock(number=0, attempt=2, repeat=0))
    assert (end.kind, left) == (kind, [])
    assert (end.reason == CONNECTION_LOST) == (kind == "crash")
