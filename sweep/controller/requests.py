"""Requests to the process that runs a sweep: files in a folder, which can be shared between machines.

The name of a request's file says how far it is:

* `<id>.json`: no process has taken it. Its sender can withdraw it.
* `<id>.taken`: a process that runs the sweep carries it out. If that process dies, the next one does.
* missing: it has been carried out, and its effect is in the study, or it was withdrawn.

The file is renamed to be taken and removed to be withdrawn, so only one of these can succeed. A request can
be carried out again after a crash; it has no second effect then.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

_WAITING, _TAKEN = ".json", ".taken"


@dataclass(frozen=True)
class Request:
    """A request to a running sweep.

    Args:
        session: the session of the sweep that should stop; another one ignores the request. Empty for
            requests that any session can carry out.
        stop: stop the sweep, as Ctrl-C does.
        stop_trial: prune this trial.
        resubmit: run these failed trials again, as new ones.
        enqueue: run these configurations next, given as Optuna would have sampled them.
        token: the id of the request, which is stored with the trials that it enqueues.
    """

    session: str = ""
    stop: bool = False
    stop_trial: int | None = None
    resubmit: tuple[int, ...] = ()
    enqueue: tuple[dict[str, Any], ...] = ()
    token: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True)
class SentRequest:
    """A request that has been written into the folder.

    Args:
        request: the request.
        path: its file while no process has taken it.
    """

    request: Request
    path: Path

    @property
    def is_done(self) -> bool:
        """Whether it has been carried out, or was withdrawn."""
        # In this order, because it is taken between the two checks at most, never put back.
        return not self.path.exists() and not self.path.with_suffix(_TAKEN).exists()

    def withdraw(self) -> bool:
        """Withdraw it; returns False if a process has already taken it."""
        try:
            self.path.unlink()
        except FileNotFoundError:
            return False
        return True

    def complete(self) -> None:
        """Record that it has been carried out. Called by the process that has taken it."""
        self.path.with_suffix(_TAKEN).unlink(missing_ok=True)


def write_request(folder: Path, request: Request) -> SentRequest:
    """Write a request. A running sweep takes it within half a second, or when its only trial has finished."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{time.time_ns():020d}-{os.getpid()}{_WAITING}"
    temporary = folder / f".{path.name}"
    temporary.write_text(_text(request), encoding="utf-8")
    temporary.rename(path)
    return SentRequest(request, path)


def sent_requests(folder: Path) -> list[SentRequest]:
    """The requests that have not been carried out, in the order in which they were sent."""
    return [sent for path in _files(folder, _WAITING, _TAKEN) if (sent := _read(path)) is not None]


def find_equal(folder: Path, request: Request) -> SentRequest | None:
    """A request for the same that was sent before and has not been carried out."""
    for sent in sent_requests(folder):
        if _text(replace(sent.request, token=request.token)) == _text(request):
            return sent
    return None


def has_requests(folder: Path) -> bool:
    """Whether there are requests that any session can carry out, and none has."""
    return any(not sent.request.session for sent in sent_requests(folder))


class RequestInbox:
    """Takes the requests to a sweep. Used by the process that has locked the sweep.

    Args:
        folder: the folder with the requests.
        session: the session of this process.
    """

    def __init__(self, folder: Path, session: str) -> None:
        self._folder = folder
        self._session = session
        self._suffixes: tuple[str, ...] = (_WAITING, _TAKEN)
        """The second one only at first: a request that was taken by a process that died."""

    def take(self) -> list[SentRequest]:
        """The requests since the last call. The caller completes each of them."""
        suffixes, self._suffixes = self._suffixes, (_WAITING,)
        taken = []
        for path in _files(self._folder, *suffixes):
            with suppress(FileNotFoundError):  # its sender has withdrawn it
                sent = _read(path.rename(path.with_suffix(_TAKEN)))
                if sent is not None:
                    taken.append(sent)
        current = [sent for sent in taken if sent.request.session in ("", self._session)]
        for sent in taken:
            if sent not in current:
                sent.complete()
        return current


def _files(folder: Path, *suffixes: str) -> list[Path]:
    return sorted(path for suffix in suffixes for path in folder.glob(f"[0-9]*{suffix}"))


def _text(request: Request) -> str:
    return json.dumps(asdict(request))


def _read(path: Path) -> SentRequest | None:
    """The request in a file; None, and the file is removed, if it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        lists = {name: tuple(content.get(name, ())) for name in ("resubmit", "enqueue")}
        request = Request(**{**content, **lists})
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, AttributeError):
        path.unlink(missing_ok=True)
        return None
    return SentRequest(request, path.with_suffix(_WAITING))
