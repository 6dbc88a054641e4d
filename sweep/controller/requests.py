"""What other processes ask of the one that runs a sweep: files in a folder, which work between machines."""

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
    """Something to be done in a running sweep.

    Args:
        run_id: of the run that is asked; others do not heed it.
        stop: stop the sweep, as Ctrl-C does.
        stop_trial: end this trial.
        resubmit: run these failed trials again as new ones.
        enqueue: try these configurations next, given as Optuna would have sampled them.
        token: by which it is known that they have been enqueued.
    """

    run_id: str
    stop: bool = False
    stop_trial: int | None = None
    resubmit: tuple[int, ...] = ()
    enqueue: tuple[dict[str, Any], ...] = ()
    token: str = ""


def leave_request(folder: Path, request: Request) -> None:
    """Ask for something; it is seen within half a second if the sweep runs."""
    folder.mkdir(exist_ok=True)
    name = f"{time.time_ns():020d}-{os.getpid()}.json"
    aside = folder / f".{name}"
    aside.write_text(json.dumps(asdict(request)), encoding="utf-8")
    aside.rename(folder / name)


def take_requests(folder: Path, run_id: str) -> list[Request]:
    """What this run has been asked for since the last time; what others were asked is forgotten."""
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
