"""Collects what the writers of event files in a function write, such as torch's `SummaryWriter`."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import psutil

from sweep.script.event_files import EventFiles
from sweep.script.metric_sources import explain_invalid_step
from sweep.script.run import STARTUP
from sweep.script.startup import sweep_event_files
from sweep.script.startup.sweep_event_files import finish_writers
from sweep.system import processes
from sweep.system.repeating import RepeatedCall
from sweep.tracking.run_logger import best_tag, reported_tag
from sweep.trial.trial import Trial, metric_log

_INTERVAL = 1.0  # seconds


def child_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Environment variables with which Python's writers are adapted in the child processes of a function."""
    path = variables.get("PYTHONPATH", os.environ.get("PYTHONPATH"))
    return {"PYTHONPATH": os.pathsep.join(filter(None, [str(STARTUP), path]))}


def new_collector() -> RepeatedCall:
    """The thread in which the event files of one attempt after another are read."""
    return RepeatedCall(_INTERVAL, "sweep-event-files")


class OwnEventFiles:
    """Logs the scalars in the event files of one attempt while its context is entered.

    The function's thread reads the files before it asks the pruner or saves a checkpoint, and at the end.
    Another thread reads them meanwhile. The metric counts as reported unless the function reports it itself.

    Args:
        trial: the attempt.
        collector: the other thread.
    """

    def __init__(self, trial: Trial, collector: RepeatedCall) -> None:
        self._collector = collector
        self._log = metric_log(trial)
        self._metric = trial.metric
        self._directory = Path(trial.directory)
        self._reserved = (best_tag(trial.metric), reported_tag(trial.metric))
        self._files = EventFiles(self._directory, _processes())
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        sweep_event_files.outside = ""
        self._log.collect = self._collect_now
        self._collector.start(self._collect_meanwhile)

    def __exit__(self, *error: object) -> None:
        self._collector.stop()
        finish_writers()
        self._collect(is_over=True)
        self._log.send_held()
        self._files.hide()
        if self._files.written_tags:
            self._log.run.move_to_last_file()

    @property
    def problem(self) -> str:
        """Why what the function has written does not count; empty if it does."""
        step = self._files.invalid_steps.get(self._metric)
        if step is not None and not self._log.has_logged(self._metric):
            return explain_invalid_step(self._metric, step)
        if self._log.last_value is None and sweep_event_files.outside:
            return (
                f"the objective did not return or report {self._metric!r}; the writer of "
                f"{sweep_event_files.outside} was created before the trial, so what it logs belongs to none: "
                "create it within the objective"
            )
        return ""

    def _collect_meanwhile(self) -> None:
        if self._log.run.is_start_known:
            # The function may be about to log what it has just written to an event file.
            self._collect(is_delayed=True)

    def _collect_now(self) -> None:
        finish_writers(is_over=False)
        self._collect()

    def _collect(self, is_delayed: bool = False, is_over: bool = False) -> None:
        with self._lock:
            streams = self._files.find(_processes(), is_over)
            for found in self._files.read(streams, self._accepts, is_delayed):
                self._log.hold_written(found.values, found.step, found.event)

    def _accepts(self, name: str) -> bool:
        return name not in self._reserved and not self._log.has_logged(name)


def _processes() -> list[psutil.Process]:
    """The processes that can have event files open: child processes, and this one if it uses TensorFlow."""
    this = [psutil.Process()] if "tensorflow" in sys.modules else []
    return [*this, *processes.descendants()]
