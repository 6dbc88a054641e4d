"""What other processes ask of the one that runs a sweep: files in a folder, which work between machines."""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """Something to be done in a running sweep.

    Args:
        stop: stop the sweep, as Ctrl-C does.
        stop_trial: end this trial.
        rerun: run these failed trials again as new ones.
    """

    stop: bool = False
    stop_trial: int | None = None
    rerun: tuple[int, ...] = ()


def leave_request(folder: Path, request: Request) -> None:
    """Ask for something; it is seen within half a second if the sweep runs."""
    folder.mkdir(exist_ok=True)
    name = f"{time.time_ns():020d}-{os.getpid()}.json"
    aside = folder / f".{name}"
    aside.write_text(json.dumps(asdict(request)), encoding="utf-8")
    aside.rename(folder / name)


def take_requests(folder: Path) -> list[Request]:
    """What has been asked for since the last time."""
    if not folder.is_dir():
        return []
    requests = []
    for path in sorted(folder.glob("[0-9]*.json")):
        with suppress(OSError, ValueError, TypeError):
            content = json.loads(path.read_text(encoding="utf-8"))
            requests.append(Request(**{**content, "rerun": tuple(content["rerun"])}))
        path.unlink(missing_ok=True)
    return requests


def forget_requests(folder: Path) -> None:
    """What was asked of an earlier run is void."""
    shutil.rmtree(folder, ignore_errors=True)
