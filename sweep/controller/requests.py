"""Requests to the process that runs a sweep: files in a folder, which can be shared between machines."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Request:
    """A request to a running sweep.

    Args:
        run_id: the run of the sweep that should handle the request. Other runs ignore the request.
        stop: stop the sweep, as Ctrl-C does.
        stop_trial: prune this trial.
        resubmit: run these failed trials again, as new ones.
        enqueue: run these configurations next, given as Optuna would have sampled them.
        token: the id of the request, which is stored with the trials that it enqueues.
    """

    run_id: str
    stop: bool = False
    stop_trial: int | None = None
    resubmit: tuple[int, ...] = ()
    enqueue: tuple[dict[str, Any], ...] = ()
    token: str = ""


def write_request(folder: Path, request: Request) -> None:
    """Write a request. A running sweep reads it within half a second."""
    folder.mkdir(exist_ok=True)
    name = f"{time.time_ns():020d}-{os.getpid()}.json"
    temporary = folder / f".{name}"
    temporary.write_text(json.dumps(asdict(request)), encoding="utf-8")
    temporary.rename(folder / name)


def take_requests(folder: Path, run_id: str) -> list[Request]:
    """The requests to this run since the last call. Requests to other runs are deleted."""
    if not folder.is_dir():
        return []
    requests = []
    for path in sorted(folder.glob("[0-9]*.json")):
        with suppress(OSError, ValueError, TypeError):
            content = json.loads(path.read_text(encoding="utf-8"))
            lists = {name: tuple(content.get(name, ())) for name in ("resubmit", "enqueue")}
            requests.append(Request(**{**content, **lists}))
        path.unlink(missing_ok=True)
    return [request for request in requests if request.run_id == run_id]
