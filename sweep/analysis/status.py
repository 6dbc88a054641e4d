"""The status of one sweep, and of all sweeps in a folder, as plain data."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

from sweep.analysis.cost import Cost
from sweep.analysis.view import SweepView
from sweep.errors import InputError
from sweep.system.directory import SweepDirectory
from sweep.system.remote.fetch import refresh_overview


def find_sweeps(runs: Path) -> dict[str, SweepView | InputError]:
    """All sweeps in a folder by name, with the error in place of a sweep that cannot be read.

    Args:
        runs: the folder that contains the sweeps.

    Raises:
        InputError: the folder does not exist.
    """
    refresh_overview(runs)
    if not runs.is_dir():
        raise InputError(f"{runs}: no such folder; choose the folder that contains the sweeps with --runs")
    sweeps: dict[str, SweepView | InputError] = {}
    for file in sorted(runs.glob("*/sweep.yaml")):
        try:
            view = SweepView(SweepDirectory(file.parent.resolve()))
            _ = view.frozen_trials  # read now, in case the journal is damaged
            sweeps[file.parent.name] = view
        except InputError as error:
            sweeps[file.parent.name] = error
    return sweeps


def status_record(view: SweepView) -> dict[str, Any]:
    """The status of a sweep, as `sweep status --json` prints it."""
    utilisation = view.usage.utilisation
    best: dict[str, Any] | None = None
    if view.best is not None:
        best = {"number": view.best.number, "value": view.best.values[0], "params": view.params(view.best)}
    front = {}
    if len(view.spec.goals) > 1:
        front = {"front": front_records(view)}
        best = best and {**best, "values": front["front"][0]["values"]}
    return {
        "name": view.spec.name,
        "dir": str(view.directory.root),
        "state": view.state,
        "metric": view.spec.metric.name,
        "goal": view.spec.metric.goal,
        "counts": view.counts,
        "best": best,
        **front,
        "elapsed_s": round(view.elapsed, 1),
        "utilisation": None if utilisation is None else round(utilisation, 4),
    }


def unreadable_record(name: str, error: InputError) -> dict[str, Any]:
    """What `sweep status --json` and `sweep ls --json` print in place of a sweep that cannot be read."""
    return {"name": name, "state": "unreadable", "error": str(error)}


def front_records(view: SweepView) -> list[dict[str, Any]]:
    """The trials of the Pareto front, as `sweep best --format json` prints them."""
    return [
        {"number": trial.number, "values": view.values(trial), "params": view.params(trial)}
        for trial in view.front
    ]


def started_at(view: SweepView) -> float:
    """When a sweep was started, in seconds since the epoch: when its first trial did, if there is one."""
    starts = [trial.datetime_start for trial in view.frozen_trials[:1] if trial.datetime_start is not None]
    return view.aware(starts[0]).timestamp() if starts else view.directory.spec.stat().st_mtime


def listing_record(view: SweepView) -> dict[str, Any]:
    """A sweep as `sweep ls --json` prints it: its status, when it started, and its cost."""
    return {
        **status_record(view),
        "started": datetime.datetime.fromtimestamp(started_at(view)).astimezone().isoformat("T", "seconds"),
        "slot_hours": round(Cost.of(view).slot_hours, 4),
    }
